/* What the fuzzers share: a real server on a real loop, above it a layer that calls no Python, and a client's
 * side of a connection over a socket pair. What the layer does with a request is read from the last byte of the
 * path (plan_of in app.c), so that a fuzzer can choose.
 * Thread: one, with the GIL; one connection at a time.
 */
#ifndef FLUVIAL_FUZZ_APP_H
#define FLUVIAL_FUZZ_APP_H

#include "base/py.h"
#include "base/slice.h"
#include "http/conn.h"
#include "http/server.h"

enum { REPLY_MAX = 1 << 20 }; /* bytes kept of what the server sends */

typedef struct Reply {
    size_t len;
    char bytes[REPLY_MAX];
} Reply;

/* What is answered depends on what has arrived by then. */
extern bool fuzz_timed;
/* Answers may be larger than a client's windows; Reply keeps their end only. */
extern bool fuzz_large;

/* What libFuzzer calls. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process when it isn't. */
void fuzz_check(bool good, const char *what);
/* Starts Python, the loop and the server. */
HttpServer *fuzz_start(const HttpLimits *limits);

/* One iteration of the loop, which doesn't block. */
void fuzz_turn(void);
/* Opens a connection; returns the client's descriptor. */
int fuzz_open(Reply *reply);
/* The server's side of it; NULL when it is closed. */
HttpConn *fuzz_conn(void);
/* Reads what has come. False at the end of the connection. */
bool fuzz_read(Reply *reply, int fd);
/* Sends what the server takes before it closes. False when it has closed. */
bool fuzz_send(Reply *reply, int fd, Slice piece);
/* Sends end-of-file, unless the server has closed, and sees that nothing is left. */
void fuzz_close(Reply *reply, int fd, bool open);
/* A whole connection: `data`, at most `step` bytes at a time. */
void fuzz_serve(Reply *reply, Slice data, size_t step);
/* Ends the process unless the two are the same, dates apart. Changes both. */
void fuzz_compare(Reply *whole, Reply *pieces);

#endif
