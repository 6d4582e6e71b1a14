/* Responding to an HttpRequest: in one call, or as a stream. Framing (Content-Length, chunked,
 * Connection, Date, Server, HEAD, 204 and 304) is decided here, so that no caller can get it
 * wrong; see RFC 9112 section 6.
 *
 * Thread: the loop's, with the GIL.
 * Results: 0 or a negative UV_E*. Each function does nothing and returns UV_ECANCELED when the client
 * has gone or the response is complete.
 * Callbacks: on_writable when a response is complete and a writer may wait for room, and on_gone
 * where a function says so; no others. A write that fails causes on_gone soon after.
 */
#ifndef FLUVIAL_HTTP_RESPONSE_H
#define FLUVIAL_HTTP_RESPONSE_H

#include "base/py.h"
#include "http/request.h"
#include "http/response_fields.h"

/* Sends a whole response. A small `body` is copied; a larger one is kept alive by `owner` until it is
 * written. `owner` is borrowed; when it is NULL the body is always copied. */
int http_respond(HttpRequest *req, const HttpHead *head, Slice body, PyObject *owner);

/* A response in pieces: begin, any number of writes, end. `length` is the total in bytes, or -1
 * when unknown; the response is then chunked, or ends with the connection for HTTP/1.0. */
int http_stream_begin(HttpRequest *req, const HttpHead *head, int64_t length);
int http_stream_write(HttpRequest *req, Slice piece, PyObject *owner);
/* Completes the response. When fewer bytes were written than `length` promised, the connection is
 * closed so that the client can see that the response is incomplete, and the result is UV_EPROTO.
 * When more are written, the write returns UV_EMSGSIZE. */
int http_stream_end(HttpRequest *req);
/* As http_stream_end, with trailer fields. They are sent only in a chunked response, that is, when the
 * length was unknown and the client speaks HTTP/1.1; otherwise they are dropped. */
int http_stream_end_with(HttpRequest *req, const HttpFields *trailers);

/* Sends an interim response (103 …) with these fields. Dropped for an HTTP/1.0 client, which would not
 * understand it. */
int http_inform(HttpRequest *req, int status, const HttpFields *fields);
/* The application may go on for long after what it has just written to the connection: that leaves soon (out_offer). */
void http_offer(HttpConn *c);

/* What is written between begin and end leaves in one system call, as far as it fits. Nothing else may
 * be done with the connection in between. */
typedef struct HttpBatch {
    HttpConn *conn; /* borrowed; NULL: nothing is gathered */
} HttpBatch;
HttpBatch http_batch_begin(HttpRequest *req);
void http_batch_end(HttpBatch batch);

/* Whether the server compresses the response, so that its bytes don't reach the socket as they are. `length`
 * as in http_stream_begin. */
bool http_is_compressed(const HttpRequest *req, const HttpHead *head, int64_t length);

/* A connection's socket, for a thread that writes a part of a streamed response itself. */
typedef struct HttpLoan {
    int fd; /* a duplicate, the borrower's to close; in non-blocking mode */
    uint32_t
        timeout; /* ms without the peer taking a byte after which to give up; 0: none */
} HttpLoan;
/* Whether the bytes of a streamed response reach the socket as they are: neither chunked nor
 * compressed nor encrypted. */
bool http_can_lend(const HttpRequest *req);
/* Lends the socket of a streamed response. Until http_stream_lent nothing else can be written
 * (UV_EBUSY). UV_EAGAIN while bytes are queued; on_writable follows when the queue is empty.
 * UV_ENOTSUP unless http_can_lend. When the connection is closed meanwhile, the socket is shut
 * down, which wakes a borrower that waits for it. */
int http_stream_lend(HttpRequest *req, HttpLoan *loan);
/* The borrower has written `bytes` and is done. */
void http_stream_lent(HttpRequest *req, uint64_t bytes);
/* The borrower, which runs on the loop, has written `bytes` and continues when the socket takes more.
 * HttpLimits.write_timeout applies until http_stream_lent; on_gone follows when it has passed. */
void http_stream_lent_part(HttpRequest *req, uint64_t bytes);
/* The borrower has found the socket disconnected: on_gone follows. */
void http_stream_lost(HttpRequest *req);

/* Whether more bytes than the high-water mark are queued, so that the caller should wait before it
 * writes more. on_writable follows when this is over, also because the response is complete or given
 * up. */
bool http_stream_full(const HttpRequest *req);

/* The response can't be completed: closes the connection. No on_gone follows. */
void http_abort(HttpRequest *req);
/* The same for a caller that shares the request with others: on_gone is called at once. */
void http_abort_told(HttpRequest *req);

/* Sends a complete response with this status and the body {"detail":"<reason phrase>"}. */
int http_respond_error(HttpRequest *req, int status);
/* The same with 503 and Retry-After: 1, for a request that finds too many before it. */
int http_respond_busy(HttpRequest *req);

#endif
