/* Writing a response as it is, compressed or not. response.c has checked what it is asked for, and
 * coded.c comes here with what it has compressed. A request of HTTP/2 is passed on to h2.h.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_RESPONSE_PLAIN_H
#define FLUVIAL_HTTP_RESPONSE_PLAIN_H

#include "base/py.h"
#include "http/conn.h"
#include "http/response_fields.h"

/* A response as it is, without another look at its head. */
int response_whole(HttpRequest *req, const HttpHead *head, Slice body, PyObject *owner);
int response_begin(HttpRequest *req, const HttpHead *head, int64_t length);
/* A piece of the body, of which there is at least one byte. 0, or an error after conn_break. */
int response_piece(HttpConn *c, Slice piece, PyObject *owner);
/* The end of the body: the last chunk, if there are chunks. 0, or an error after conn_break. */
int response_last(HttpConn *c, Slice trailers);
/* Marks the response as complete. */
void response_done(HttpConn *c);

#endif
