/* One HTTP request and the answer that is owed to it, as the http layer hands it to the layer
 * above. The head is copied out of the read buffer once; everything else points into that copy.
 *
 * Lifetime: reference-counted under the GIL. The connection holds one reference while the
 * exchange lasts; the layer above takes its own when a handler outlives the callback. A request
 * whose client is gone stays readable; answering it does nothing.
 * Threads: made and answered on the loop's thread. After on_head the head no longer changes, so
 * a thread that holds a reference and the GIL may read it.
 */
#ifndef FLUVIAL_HTTP_REQUEST_H
#define FLUVIAL_HTTP_REQUEST_H

#include "base/py.h"
#include "base/buf.h"
#include "base/slice.h"
#include "net/addr.h"

typedef struct HttpConn HttpConn;
typedef struct HttpServer HttpServer;

/* Offsets into HttpRequest.head. Names are in lower case; values have no outer white space. */
typedef struct HttpField {
    uint32_t name, name_len;
    uint32_t value, value_len;
} HttpField;

typedef enum HttpBodyMode {
    HTTP_BODY_DISCARD, /* nobody wants it: read within limits and dropped */
    HTTP_BODY_COLLECT, /* gathered in HttpRequest.body; on_request comes when it is complete */
    HTTP_BODY_STREAM, /* on_request comes at once, then on_body for each piece, on_body_end */
} HttpBodyMode;

typedef enum HttpAnswer {
    HTTP_ANSWER_NONE,      /* nothing written yet */
    HTTP_ANSWER_STREAMING, /* the head is out; http_stream_end is owed */
    HTTP_ANSWER_DONE,      /* complete, or abandoned because the client is gone */
} HttpAnswer;

typedef struct HttpRequest HttpRequest;
struct HttpRequest {
    uint32_t refs;
    HttpServer *server; /* borrowed; outlives its requests */
    HttpConn *conn; /* borrowed; NULL once the exchange is over or the client gone */

    uint8_t method; /* llhttp_method_t */
    uint8_t minor;  /* of HTTP/1.x: 0 or 1 */
    bool is_head;
    bool keep_alive;      /* what the request asks for */
    bool expect_continue; /* 100 is owed before the body is read */
    bool has_body;        /* Content-Length above 0, or chunked */
    bool body_complete;
    bool secure; /* came through TLS */
    bool eof;    /* the client sends nothing more, see HttpOps.on_eof */
    bool left;   /* it has probably gone, see HttpOps.on_left */
    HttpBodyMode body_mode;
    HttpAnswer answer;
    int64_t content_length; /* bytes; -1 when chunked or absent */
    uint64_t body_limit;    /* bytes; 0: none. HttpLimits.body; on_head may change it */

    Buf head;                  /* owned: target, then fields */
    uint32_t target_len;       /* the target is head.ptr[0 .. target_len) as sent */
    uint32_t path, path_len;   /* of it, the path: offset and bytes; never empty */
    uint32_t query, query_len; /* of it, what stands between '?' and '#' */
    uint32_t nfields, cap_fields;
    HttpField *fields; /* owned: in order of arrival, as sent */
    /* Indices into fields; -1 when absent. */
    int32_t host, content_type, cookie, upgrade;

    Buf body; /* owned; COLLECT only: decoded from its transfer coding */

    NetAddr peer; /* of the client; family AF_UNSPEC for a Unix socket */

    /* The http layer's own: how far the exchange is. */
    bool told;      /* on_head was called */
    bool requested; /* on_request was called */
    bool in_flight; /* counts as an unanswered request */
    bool close;     /* the connection ends with this answer */
    bool bodyless;  /* the answer has no body: HEAD, 204, 304 */
    bool chunked;   /* the streamed answer is */
    int64_t
        length_left; /* bytes that the streamed answer still owes; -1 when not known */
    HttpRequest *next; /* in the server's free list */
};

static inline void
http_request_ref(HttpRequest *req)
{
    req->refs++;
}
void http_request_unref(HttpRequest *req);

/* The area of HttpOps.app_size bytes behind the request that belongs to the layer above; zeroed
 * when the request begins, given to app_clear before it ends. */
static inline void *
http_request_app(HttpRequest *req)
{
    return req + 1;
}

static inline Slice
http_request_target(const HttpRequest *req)
{
    return slice_of(req->head.ptr, req->target_len);
}
static inline Slice
http_request_path(const HttpRequest *req)
{
    return slice_of(req->head.ptr + req->path, req->path_len);
}
/* Without the '?'; empty when there is none. */
static inline Slice
http_request_query(const HttpRequest *req)
{
    return slice_of(req->head.ptr + req->query, req->query_len);
}
/* Upper-case name, e.g. "GET". Static memory, and NUL-terminated. */
Slice http_request_method(const HttpRequest *req);

static inline Slice
http_field_name(const HttpRequest *req, uint32_t i)
{
    return slice_of(req->head.ptr + req->fields[i].name, req->fields[i].name_len);
}
static inline Slice
http_field_value(const HttpRequest *req, uint32_t i)
{
    return slice_of(req->head.ptr + req->fields[i].value, req->fields[i].value_len);
}
/* A request that no connection brought, with one reference and without fields. It is complete, and
 * answering it does nothing; the layer above treats it as one that on_head has told it of. NULL
 * when out of memory. */
HttpRequest *http_request_make(HttpServer *server, unsigned method, int minor,
                               Slice path, Slice query);
/* Adds a field to such a request. 0 or UV_ENOMEM. */
int http_request_add_field(HttpRequest *req, Slice name, Slice value);

/* The first field with this lower-case name, starting at index `from`; -1 when none. */
int32_t http_field_find(const HttpRequest *req, Slice name, uint32_t from);

/* Addresses of the two ends as text (see net/addr.h). The client's is known as long as the
 * request lives; it is empty for a Unix socket. The server's is looked up, once for each
 * connection; UV_ENOTCONN when the client is gone. */
int http_request_client(const HttpRequest *req, NetName *out);
int http_request_server(const HttpRequest *req, NetName *out);
/* What is known of its connection's TLS (see net/server_tls_facts.h): a new dict; None without TLS, and
 * when the client is gone. NULL with an exception set. */
PyObject *http_request_tls(const HttpRequest *req);
/* The server's as an address; AF_UNSPEC for a Unix socket. UV_ENOTCONN as above. */
int http_request_local(const HttpRequest *req, NetAddr *out);

#endif
