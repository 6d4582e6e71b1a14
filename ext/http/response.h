/* Answering an HttpRequest: in one go, or as a stream. Framing (Content-Length, chunked,
 * Connection, Date, Server, HEAD, 204 and 304) is decided here, so that no caller can get it
 * wrong; see RFC 9112 section 6.
 *
 * Thread: the loop's, with the GIL. Each does nothing and returns
 * UV_ECANCELED when the client is gone or the answer is complete; other results are 0 or a
 * negative UV_E*. None of them calls back, but on_writable when an answer is complete and somebody
 * may wait for room, and on_gone where it says so: a write that fails shows as on_gone soon after.
 */
#ifndef FLUVIAL_HTTP_RESPONSE_H
#define FLUVIAL_HTTP_RESPONSE_H

#include "base/py.h"
#include "http/request.h"

/* Header fields of an answer, gathered by http_fields_add. A zeroed struct is empty; end with
 * http_fields_free. Reusable after http_fields_clear. */
typedef struct HttpFields {
    Buf raw; /* owned: "name: value\r\n" … */
    bool has_date, has_server, has_content_type, close;
    int64_t content_length; /* as the caller stated it */
    bool has_content_length;
} HttpFields;

/* Adds a field. Content-Length is noted, Connection: close honoured, other hop-by-hop fields
 * (RFC 9110 section 7.6.1) and Transfer-Encoding dropped. UV_EINVAL when the name is not a
 * token or the value has a control character: the caller reports it, nothing is added. */
int http_fields_add(HttpFields *fields, Slice name, Slice value);
void http_fields_clear(HttpFields *fields);
void http_fields_free(HttpFields *fields);
/* Whether a field's value has no control character but tabs, so that it can't end its line. */
bool http_value_is_clean(Slice value);

typedef struct HttpHead {
    int status;               /* 200 to 599 */
    Slice content_type;       /* empty: none, or among the fields */
    const HttpFields *fields; /* borrowed; may be NULL */
    Slice reason; /* the phrase behind the status; empty: http_reason(status) */
} HttpHead;

/* The whole answer. `body` is copied when small; otherwise it is kept alive by `owner`
 * (borrowed, may be NULL: always copied) until written. */
int http_respond(HttpRequest *req, const HttpHead *head, Slice body, PyObject *owner);

/* An answer in pieces: begin, any number of writes, end. `length` is the total in bytes, or -1
 * when unknown: chunked, or until close for HTTP/1.0. */
int http_stream_begin(HttpRequest *req, const HttpHead *head, int64_t length);
int http_stream_write(HttpRequest *req, Slice piece, PyObject *owner);
/* Completes. When fewer bytes came than `length` said, the connection is closed instead, so
 * that the client sees that the answer is cut off; UV_EPROTO then. More is UV_EMSGSIZE at the write. */
int http_stream_end(HttpRequest *req);
/* As http_stream_end, with trailer fields; they are dropped where the framing has no place for
 * them: it has one when the length was unknown and the client speaks HTTP/1.1. */
int http_stream_end_with(HttpRequest *req, const HttpFields *trailers);

/* An interim answer (103 …) with these fields before the answer itself; dropped for HTTP/1.0, whose
 * clients know none. */
int http_inform(HttpRequest *req, int status, const HttpFields *fields);

/* What is written between the two leaves in one system call, as far as it fits. Nothing else may be
 * done with the connection in between. */
typedef struct HttpBatch {
    HttpConn *conn; /* borrowed; NULL: nothing is gathered */
} HttpBatch;
HttpBatch http_batch_begin(HttpRequest *req);
void http_batch_end(HttpBatch batch);

/* A connection's socket, for a thread that writes a part of a streamed answer itself. */
typedef struct HttpLoan {
    int fd; /* a duplicate, the borrower's to close; in non-blocking mode */
    uint32_t
        timeout; /* ms without the peer taking a byte after which to give up; 0: none */
} HttpLoan;
/* Whether the bytes of a streamed answer reach the socket as they are: without chunks, and without
 * TLS. */
bool http_can_lend(const HttpRequest *req);
/* Lends the socket of a streamed answer. UV_EAGAIN while something waits to be written:
 * on_writable follows when nothing does. UV_ENOTSUP unless http_can_lend. Until http_stream_lent
 * nothing else can be written (UV_EBUSY). A connection that is closed meanwhile shuts the socket
 * down, which wakes a borrower that waits for it. */
int http_stream_lend(HttpRequest *req, HttpLoan *loan);
/* The borrower has written `bytes` and is done. */
void http_stream_lent(HttpRequest *req, uint64_t bytes);
/* The borrower, a part of the loop, has written `bytes` and goes on when the socket takes more. The
 * client's deadline for taking some runs until http_stream_lent; on_gone follows when it is over. */
void http_stream_lent_part(HttpRequest *req, uint64_t bytes);
/* The borrower has found the socket disconnected: on_gone follows. */
void http_stream_lost(HttpRequest *req);

/* Whether more than the high-water mark waits to be written before the answer goes on. on_writable
 * follows when not, also because the answer is complete or given up. */
bool http_stream_full(const HttpRequest *req);

/* The answer can't be completed: closes the connection. No on_gone follows. */
void http_abort(HttpRequest *req);
/* The same for one who isn't alone with the request: on_gone comes at once. */
void http_abort_told(HttpRequest *req);

/* A complete answer with the body {"detail":"<reason phrase>"} and this status. */
int http_respond_error(HttpRequest *req, int status);

/* "Not Found" for 404 …; "Unknown" for a status that RFC 9110 and the IANA registry don't name. */
Slice http_reason(int status);

#endif
