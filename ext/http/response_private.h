/* How response.c writes what coded.c gives it. Thread: the loop's. */
#ifndef FLUVIAL_HTTP_RESPONSE_PRIVATE_H
#define FLUVIAL_HTTP_RESPONSE_PRIVATE_H

#include "http/conn.h"
#include "http/response.h"

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
