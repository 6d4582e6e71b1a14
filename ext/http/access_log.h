/* The access log: one line for each answer, gathered, and handed to a thread that writes them before
 * the loop blocks. When they aren't read, lines are dropped past a limit, and counted. Owned by the
 * server.
 * Thread: the loop's.
 */
#ifndef FLUVIAL_HTTP_ACCESS_LOG_H
#define FLUVIAL_HTTP_ACCESS_LOG_H

#include "base/py.h"
#include "base/buf.h"
#include "http/log_writer.h"
#include "http/request.h"

typedef struct AccessLog {
    LogWriter *writer; /* owned; NULL: off */
    Buf lines;
    size_t limit;     /* bytes that may wait; 0: any number */
    uint64_t dropped; /* lines, not yet reported */
} AccessLog;

/* Lines go to `fd`, which is copied; -1: there are none. `limit` is in bytes. */
void access_log_open(AccessLog *log, int fd, size_t limit);
/* One line, e.g. `INFO:     127.0.0.1:53124 - "GET /x HTTP/1.1" 200 OK`. `req` may be NULL: a
 * request line that could not be read. */
void access_log_add(AccessLog *log, const NetAddr *peer, const HttpRequest *req,
                    int status);
void access_log_flush(AccessLog *log);
/* Waits for the last lines, but not for a reader that takes nothing. */
void access_log_settle(AccessLog *log);
void access_log_free(AccessLog *log);

#endif
