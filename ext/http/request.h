/* One HTTP request and the state of its response, as the http layer passes it to the layer
 * above. The head is copied out of the read buffer once; all slices point into that copy.
 *
 * Lifetime: reference-counted under the GIL. The connection holds one reference while the
 * exchange lasts. The layer above takes its own when a handler outlives the callback. A request
 * whose client has gone stays readable; responding to it does nothing.
 * Threads: created and responded to on the loop's thread. After on_head the head no longer
 * changes, so a thread that holds a reference and the GIL may read it.
 */
#ifndef FLUVIAL_HTTP_REQUEST_H
#define FLUVIAL_HTTP_REQUEST_H

#include "base/py.h"
#include "base/buf.h"
#include "base/slice.h"
#include "net/addr.h"

typedef struct HttpConn HttpConn;
typedef struct H2Stream H2Stream;
typedef struct HttpServer HttpServer;

/* Offsets into HttpRequest.head. Names are in lower case; values have no outer white space. */
typedef struct HttpField {
    uint32_t name, name_len;
    uint32_t value, value_len;
} HttpField;

enum { METHOD_UNKNOWN = 255 }; /* a request of HTTP/2 that is refused: "-" in the log */

typedef enum HttpBodyMode {
    HTTP_BODY_DISCARD, /* not needed: read within the limits and dropped */
    HTTP_BODY_COLLECT, /* gathered in HttpRequest.body; on_request follows when it is complete */
    HTTP_BODY_STREAM, /* on_request at once, then on_body for each piece and on_body_end */
} HttpBodyMode;

typedef enum HttpResponseStage {
    HTTP_RESPONSE_NONE,      /* nothing written yet */
    HTTP_RESPONSE_STREAMING, /* the head is out; http_stream_end must follow */
    HTTP_RESPONSE_DONE,      /* complete, or abandoned because the client has gone */
} HttpResponseStage;

typedef struct HttpRequest HttpRequest;
struct HttpRequest {
    uint32_t refs;
    HttpServer *server; /* borrowed; outlives its requests */
    HttpConn *conn; /* borrowed; NULL once the exchange is over or the client has gone,
                     * and for HTTP/2: see http_request_is_open */

    uint8_t method; /* llhttp_method_t, or METHOD_UNKNOWN */
    uint8_t minor;  /* of HTTP/1.x: 0 or 1; HTTP_2 */
    bool is_head;
    bool keep_alive;      /* what the request asks for */
    bool expect_continue; /* 100 (Continue) must be sent before the body is read */
    bool has_body;        /* Content-Length above 0, or chunked */
    bool body_complete;
    bool secure; /* arrived over TLS */
    bool
        https; /* the scheme of its URL: as `secure`, unless a trusted proxy says otherwise */
    bool forwarded; /* a trusted proxy has sent one of the fields of forwarded.h */
    bool eof;       /* the client sends nothing more, see HttpOps.on_eof */
    bool left;      /* the client has probably gone, see HttpOps.on_left */
    HttpBodyMode body_mode;
    HttpResponseStage response;
    int64_t content_length; /* bytes; -1 when chunked or absent */
    uint64_t
        body_limit; /* bytes; 0: none. Starts as HttpLimits.body; on_head may change it */

    uint64_t began; /* uv_now() of its first byte */

    Buf head;                  /* owned: target, then fields */
    uint32_t target_len;       /* the target is head.ptr[0 .. target_len) as sent */
    uint32_t path, path_len;   /* the target's path: offset and bytes; never empty */
    uint32_t query, query_len; /* the target's part between '?' and '#' */
    uint32_t prefix,
        prefix_len;      /* in head: what a trusted proxy has removed from the path */
    uint32_t id, id_len; /* in head: see http_request_id */
    uint32_t nfields, cap_fields;
    HttpField *fields; /* owned: in order of arrival, as sent */
    /* Indices into fields; -1 when absent. */
    int32_t host, content_type, cookie, upgrade;

    Buf body; /* owned; COLLECT only: decoded from its transfer coding */

    /* The client's address; AF_UNSPEC for a Unix socket. A trusted proxy's word replaces it. */
    NetAddr peer;

    /* Private to the http layer: how far the exchange is. */
    bool told;      /* on_head was called */
    bool requested; /* on_request was called */
    bool in_flight; /* counted in HttpStats.in_flight */
    bool close;     /* the connection ends after this response */
    bool bodyless;  /* the response has no body: HEAD, 204, 304 */
    bool chunked;   /* the streamed response is */
    int64_t
        length_left; /* bytes of the streamed response still to come; -1: not known */
    union {
        HttpRequest *next; /* in the server's free list */
        H2Stream
            *h2; /* borrowed, of HTTP/2; NULL otherwise and once the exchange is over */
    };

    bool refused; /* exchange_reject has responded, and logged it */
    int status;   /* of the response's head, once that is written; else 0 */

    /* For the access log, and only while it has a format (http_server_is_timed). */
    uint64_t body_out; /* bytes of the response's body that were written */
    uint64_t rest_out; /* bytes of its head and framing */
    uint64_t began_ns; /* loop_now_ns() of the first byte */
    uint64_t waited;   /* ns for which its handler waited for a thread */
    Buf sent_fields; /* owned: the header fields of the response, if the log wants them */
};

enum { HTTP_2 = 2 }; /* HttpRequest.minor of a request by HTTP/2 */

/* Whether its exchange lasts: the client is there, and the response isn't complete. */
static inline bool
http_request_is_open(const HttpRequest *req)
{
    return req->conn != NULL || req->h2 != NULL;
}

/* "HTTP/1.1" …, NUL-terminated. */
static inline Slice
http_request_version(const HttpRequest *req)
{
    return req->minor == 1   ? SLICE("HTTP/1.1")
           : req->minor == 0 ? SLICE("HTTP/1.0")
                             : SLICE("HTTP/2.0");
}

static inline void
http_request_ref(HttpRequest *req)
{
    req->refs++;
}
void http_request_unref(HttpRequest *req);

/* The HttpOps.app_size bytes after the request, which belong to the layer above. They are zeroed
 * when the request begins; HttpOps.app_clear releases what they hold before it ends. */
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
/* What a trusted proxy has removed from the path: empty, or begins with '/' and doesn't end so. */
static inline Slice
http_request_prefix(const HttpRequest *req)
{
    return slice_of(req->head.ptr + req->prefix, req->prefix_len);
}
/* The id of the request; empty: it has none (see request_id.h). */
static inline Slice
http_request_id(const HttpRequest *req)
{
    return slice_of(req->head.ptr + req->id, req->id_len);
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
/* A request that came over no connection, with one reference and without fields. It is complete, and
 * responding to it does nothing. The layer above treats it like one that on_head has announced.
 * NULL when out of memory. */
HttpRequest *http_request_make(HttpServer *server, unsigned method, int minor,
                               Slice path, Slice query);
/* Adds a field to such a request. 0 or UV_ENOMEM. */
int http_request_add_field(HttpRequest *req, Slice name, Slice value);

/* The first field with this lower-case name, starting at index `from`; -1 when none. */
int32_t http_field_find(const HttpRequest *req, Slice name, uint32_t from);

/* Addresses of the two ends as text (see net/addr.h). The client's is known as long as the
 * request lives; it is empty for a Unix socket. The server's is looked up once for each
 * connection; UV_ENOTCONN when the client has gone. */
int http_request_client(const HttpRequest *req, NetName *out);
int http_request_server(const HttpRequest *req, NetName *out);
/* Facts about the connection's TLS (see net/server_tls_facts.h): a new dict, or None without TLS and
 * when the client has gone. NULL with an exception set. */
PyObject *http_request_tls(const HttpRequest *req);
/* The version of the connection's TLS, e.g. "TLSv1.3". Static memory; empty without TLS and when the
 * client has gone. */
Slice http_request_tls_version(const HttpRequest *req);
/* The server's address; AF_UNSPEC for a Unix socket. UV_ENOTCONN as above. */
int http_request_local(const HttpRequest *req, NetAddr *out);
/* The connection that it came on, also by HTTP/2; NULL once the exchange is over. */
HttpConn *http_request_conn(const HttpRequest *req);
/* HttpOps.route for it: the pattern of its path's route, or empty. */
Slice http_request_route(const HttpRequest *req);

/* Whether the request, whose head is complete, is for a path of http_server_probes. */
bool http_request_is_probe(const HttpRequest *req);
/* Whether it is for one of these or of http_server_urgent. */
bool http_request_is_urgent(const HttpRequest *req);

/* Private to the http layer: makes room for more fields. 0 or UV_ENOMEM. */
int request_fields_grow(HttpRequest *req);

#endif
