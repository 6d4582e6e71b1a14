/* HTTP/2 (RFC 9113) on a connection of this layer: what the files of HTTP/1.1 know of it. Framing, HPACK
 * and flow control are nghttp2's; see h2_conn.h for the rest, and ADR 29.
 *
 * A request that came by HTTP/2 has HttpRequest.conn NULL and HttpRequest.h2 set while its exchange lasts.
 * So the functions of response.h try the connection first, and these functions when there is none: they
 * return UV_ECANCELED when the exchange is over. Without nghttp2 they are all that is left. HTTP/3 would
 * come in the same way (ADR 30).
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_H2_H
#define FLUVIAL_HTTP_H2_H

#include "base/py.h"
#include "http/conn.h"
#include "http/ops.h"
#include "http/response_fields.h"

#include <uv.h>

/* The protocol of a stream that extended CONNECT has made a tunnel (RFC 8441). The stream owns its object, `tunnel`, and
 * keeps the bytes that it can't use yet. See UpgradeOps. */
typedef struct H2TunnelOps {
    /* Reads bytes, which it may change, perhaps none. `*tunnel` is the object, until it has ended. Returns how many
     * it has used. `*spent`: what the tunnels of this connection have used up of the turn that they share. `*yielded`:
     * it waits for the next one. */
    size_t (*read)(void *const *tunnel, char *ptr, size_t len, uint32_t *spent,
                   bool *yielded);
    bool (*is_blocked)(const void *tunnel);
    void (*eof)(void *tunnel);
    void (*drop)(void *tunnel);
    void (*drained)(void *tunnel);
    void (*drain)(void *tunnel);
    /* Once a second. */
    void (*look)(void *tunnel, uint64_t now);
} H2TunnelOps;

#ifdef FLUVIAL_HTTP2

/* nghttp2's version; empty without it. */
const char *h2_version(void);
/* The connection speaks HTTP/2 from now on. `prefaced`: the client's preface has been read. */
void h2_begin(HttpConn *c, bool prefaced);
/* Whether the current request of HTTP/1.1, whose head is complete, asks for HTTP/2 by Upgrade and can have it. */
bool h2_is_offered(const HttpConn *c);
/* Accepts that, once the request is complete: it becomes the first stream. */
void h2_upgrade(HttpConn *c);
/* Drops a reference to the memory that a server's connections share (h2_mem.h); NULL: nothing. */
void h2_mem_unref(struct H2Mem *mem);
/* Whether the TLS handshake has chosen HTTP/2. */
bool h2_is_chosen(const HttpConn *c);
/* As out_offer: what was submitted leaves soon, whatever runs next. */
void h2_offer_conn(HttpConn *c);
/* Whether the connection speaks it. */
bool h2_is_spoken(const HttpConn *c);
/* The connection of a request that came by HTTP/2; NULL when its exchange is over. */
HttpConn *h2_conn_of(const HttpRequest *req);

/* As the functions of response.h that begin with http_. */
int h2_respond(HttpRequest *req, const HttpHead *head, Slice body, PyObject *owner);
int h2_stream_begin(HttpRequest *req, const HttpHead *head, int64_t length);
int h2_stream_write(HttpRequest *req, Slice piece, PyObject *owner);
int h2_stream_end(HttpRequest *req, const HttpFields *trailers);
int h2_inform(HttpRequest *req, int status, const HttpFields *fields);
bool h2_stream_full(const HttpRequest *req);
void h2_abort(HttpRequest *req, bool told);
void h2_body_pause(HttpRequest *req);
void h2_body_resume(HttpRequest *req);

/* Accepts the request, with these fields in the response (borrowed). 0, and the stream in *out. UV_ECANCELED when
 * the client has gone or a response has begun. */
int h2_tunnel_open(HttpRequest *req, const HttpFields *fields, const H2TunnelOps *ops,
                   void *tunnel, H2Stream **out);
/* Sends `head`, which is copied, and `payload`, as h2_stream_write. */
int h2_tunnel_write(H2Stream *s, Slice head, Slice payload, PyObject *owner);
/* Whether its writers should wait; whether something waits to be sent. */
bool h2_tunnel_is_full(const H2Stream *s);
bool h2_tunnel_is_moving(const H2Stream *s);
NetAddr h2_tunnel_peer(const H2Stream *s);
/* uv_now(). */
uint64_t h2_tunnel_now(const H2Stream *s);
/* The object may read again. */
void h2_tunnel_wake(H2Stream *s);
/* The object is gone. Then the stream ends after what was sent, or is reset. */
void h2_tunnel_release(H2Stream *s);
void h2_tunnel_end(H2Stream *s);
void h2_tunnel_abort(H2Stream *s);

/* What coded.c does with a stream whose response is compressed. */
Coded **h2_coded(H2Stream *s);
/* A piece of the body, and its end. 0 or an error: the stream is reset. */
int h2_coded_piece(H2Stream *s, Slice piece, PyObject *owner);
int h2_coded_last(H2Stream *s, Slice trailers);
void h2_coded_fail(H2Stream *s);
/* There is room for more unless the client has to read first. */
void h2_coded_writable(H2Stream *s);

/* What drain.c asks of a connection that speaks HTTP/2. */
bool h2_request_is_pending(const HttpRequest *req);
void h2_each_pending(const HttpConn *c, uint64_t now,
                     void (*found)(void *arg, HttpPending pending), void *arg);
void h2_end_streams(HttpConn *c);

#else

static inline const char *
h2_version(void)
{
    return "";
}

static inline void
h2_begin(HttpConn *c, bool prefaced)
{
    (void)prefaced;
    conn_close(c, false);
}

static inline bool
h2_is_offered(const HttpConn *c)
{
    (void)c;
    return false;
}

static inline void
h2_upgrade(HttpConn *c)
{
    (void)c;
}

static inline void
h2_mem_unref(struct H2Mem *mem)
{
    (void)mem;
}

static inline bool
h2_is_chosen(const HttpConn *c)
{
    (void)c;
    return false;
}

static inline bool
h2_is_spoken(const HttpConn *c)
{
    (void)c;
    return false;
}

static inline void
h2_offer_conn(HttpConn *c)
{
    (void)c;
}

static inline HttpConn *
h2_conn_of(const HttpRequest *req)
{
    (void)req;
    return NULL;
}

static inline int
h2_respond(HttpRequest *req, const HttpHead *head, Slice body, PyObject *owner)
{
    (void)req, (void)head, (void)body, (void)owner;
    return UV_ECANCELED;
}

static inline int
h2_stream_begin(HttpRequest *req, const HttpHead *head, int64_t length)
{
    (void)req, (void)head, (void)length;
    return UV_ECANCELED;
}

static inline int
h2_stream_write(HttpRequest *req, Slice piece, PyObject *owner)
{
    (void)req, (void)piece, (void)owner;
    return UV_ECANCELED;
}

static inline int
h2_stream_end(HttpRequest *req, const HttpFields *trailers)
{
    (void)req, (void)trailers;
    return UV_ECANCELED;
}

static inline int
h2_inform(HttpRequest *req, int status, const HttpFields *fields)
{
    (void)req, (void)status, (void)fields;
    return UV_ECANCELED;
}

static inline bool
h2_stream_full(const HttpRequest *req)
{
    (void)req;
    return false;
}

static inline void
h2_abort(HttpRequest *req, bool told)
{
    (void)req, (void)told;
}

static inline void
h2_body_pause(HttpRequest *req)
{
    (void)req;
}

static inline void
h2_body_resume(HttpRequest *req)
{
    (void)req;
}

static inline int
h2_tunnel_open(HttpRequest *req, const HttpFields *fields, const H2TunnelOps *ops,
               void *tunnel, H2Stream **out)
{
    (void)req, (void)fields, (void)ops, (void)tunnel, (void)out;
    return UV_ECANCELED;
}

static inline int
h2_tunnel_write(H2Stream *s, Slice head, Slice payload, PyObject *owner)
{
    (void)s, (void)head, (void)payload, (void)owner;
    return UV_ECONNRESET;
}

static inline bool
h2_tunnel_is_full(const H2Stream *s)
{
    (void)s;
    return false;
}

static inline bool
h2_tunnel_is_moving(const H2Stream *s)
{
    (void)s;
    return false;
}

static inline NetAddr
h2_tunnel_peer(const H2Stream *s)
{
    (void)s;
    Py_UNREACHABLE();
}

static inline uint64_t
h2_tunnel_now(const H2Stream *s)
{
    (void)s;
    return 0;
}

static inline void
h2_tunnel_wake(H2Stream *s)
{
    (void)s;
}

static inline void
h2_tunnel_release(H2Stream *s)
{
    (void)s;
}

static inline void
h2_tunnel_end(H2Stream *s)
{
    (void)s;
}

static inline void
h2_tunnel_abort(H2Stream *s)
{
    (void)s;
}

static inline Coded **
h2_coded(H2Stream *s)
{
    (void)s;
    Py_UNREACHABLE();
}

static inline int
h2_coded_piece(H2Stream *s, Slice piece, PyObject *owner)
{
    (void)s, (void)piece, (void)owner;
    return UV_ECANCELED;
}

static inline int
h2_coded_last(H2Stream *s, Slice trailers)
{
    (void)s, (void)trailers;
    return UV_ECANCELED;
}

static inline void
h2_coded_fail(H2Stream *s)
{
    (void)s;
}

static inline void
h2_coded_writable(H2Stream *s)
{
    (void)s;
}

static inline bool
h2_request_is_pending(const HttpRequest *req)
{
    (void)req;
    return false;
}

static inline void
h2_each_pending(const HttpConn *c, uint64_t now,
                void (*found)(void *arg, HttpPending pending), void *arg)
{
    (void)c, (void)now, (void)found, (void)arg;
}

static inline void
h2_end_streams(HttpConn *c)
{
    (void)c;
}

#endif

#endif
