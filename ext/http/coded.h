/* Responses in a content coding, for clients that accept it (RFC 9110 section 8.4): their bodies on the way
 * through an encoder. compressor.c decides which responses these are; response.c asks here whenever a server
 * compresses (ADR 28).
 *
 * Pieces of OFF_LOOP bytes and more are encoded on one of libuv's threads. Meanwhile further ones wait, and so
 * does the writer (http_stream_full).
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_CODED_H
#define FLUVIAL_HTTP_CODED_H

#include "base/py.h"
#include "coding/coding.h"
#include "http/request.h"
#include "http/response_fields.h"

typedef struct Coded
    Coded; /* one that is being written; HttpConn.coded or H2Stream.coded owns it */

/* http_respond, http_stream_begin, http_stream_write and http_stream_end_with, after their checks. */
int coded_respond(HttpRequest *req, const HttpHead *head, Slice body, PyObject *owner);
int coded_begin(HttpRequest *req, const HttpHead *head, int64_t length);
int coded_write(Coded *self, Slice piece);
/* When it returns the owner may be without `self`. */
int coded_end(Coded *self, Slice trailers);

/* Whether a piece is being encoded. `self` may be NULL here and below. */
bool coded_is_busy(const Coded *self);
/* Bytes that the length promised by coded_begin lacks; 0 also when none was. */
int64_t coded_missing(const Coded *self);

/* The exchange is over, perhaps before its response was complete. The owner forgets it. */
void coded_drop(Coded *self);

#endif
