/* The HTTP server: listeners, connections, limits and deadlines. It knows nothing of routes and
 * calls the layer above through one const struct of functions, HttpOps.
 *
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_SERVER_H
#define FLUVIAL_HTTP_SERVER_H

#include "base/py.h"
#include "coding/coding.h"
#include "http/access_format.h"
#include "http/metrics.h"
#include "http/request.h"
#include "http/response.h"
#include "loop/loop.h"
#include "net/server_tls_set.h"

/* What was refused without calling the upper layer, and why. */
typedef struct HttpRefusal {
    /* Of the response; a close code (1000 or more) for a WebSocket; 0: the TLS handshake; -1: the whole
     * connection, by the rules of the PROXY protocol; HTTP_REFUSED_H2: the same by those of HTTP/2. */
    int status;
    const char *reason;
    const char *limit; /* the field of HttpLimits that was exceeded, or NULL */
} HttpRefusal;

enum { HTTP_REFUSED_H2 = -2 };

typedef struct HttpOps {
    size_t app_size; /* bytes of http_request_app */
    /* The head is complete and well-formed. The callee decides what happens to the body. It may
     * also respond at once; then on_request isn't called. */
    HttpBodyMode (*on_head)(HttpRequest *req);
    /* Handle the request. Called when the body is complete; with HTTP_BODY_STREAM before the body.
     * The callee responds now, or takes a reference and responds later. */
    void (*on_request)(HttpRequest *req);
    /* STREAM only. The piece is valid during the call. */
    void (*on_body)(HttpRequest *req, Slice piece);
    void (*on_body_end)(HttpRequest *req);
    /* The client has gone, or has sent a malformed or too large body, before the response was
     * complete. Responding does nothing from now on. */
    void (*on_gone)(HttpRequest *req);
    /* May be NULL. The client has sent FIN. It may still read, or it may have gone; only a write can
     * tell. So the callee should now write whatever it holds back of the response. */
    void (*on_eof)(HttpRequest *req);
    /* May be NULL. The client has probably gone: it has sent FIN, a second has passed without a byte
     * of the response, and nothing could be written to find out. `for_long`: HttpLimits.half_closed
     * has passed, or the client has certainly gone. A handler that only waits should give up then.
     * Writing still works, or seems to. May be called more than once. */
    void (*on_left)(HttpRequest *req, bool for_long);
    /* There is no more reason to wait for room to write. Called when the queue has drained after
     * http_stream_full was true, and when the response is complete. Also called when the response
     * is complete before the request's body. */
    void (*on_writable)(HttpRequest *req);
    /* May be NULL. The pattern of the path's route, or empty: for the log. Valid as long as the request. */
    Slice (*route)(const HttpRequest *req);
    /* May be NULL. The path of the request's route, or another text by which requests are counted: few of them.
     * `*key` becomes a number that no other text ever has in this server; 0: there is none. */
    Slice (*label)(const HttpRequest *req, uint64_t *key);
    /* May be NULL. An iteration of the loop is about to end: count what this layer doesn't know. */
    void (*on_turn)(void *context, Metrics *metrics);
    /* Release what http_request_app holds. */
    void (*app_clear)(HttpRequest *req);
    /* May be NULL. A client was refused something. `refusal` is valid during the call. */
    void (*on_refused)(void *context, const NetAddr *peer, const HttpRefusal *refusal);
    /* After http_server_drain: the last connection is closed. `context` is http_server_context. */
    void (*on_drained)(void *context);
} HttpOps;

/* Every limit, with its default (http_limits_default). 0 switches a limit off. */
typedef struct HttpLimits {
    uint32_t request_line;  /* 8 KiB of target; more: 414 */
    uint32_t header_block;  /* 64 KiB; more: 431 */
    uint32_t header_fields; /* 100; more: 431 */
    uint64_t body;          /* 16 MiB; more: 413 */
    uint64_t
        form_size; /* 2 GiB of a multipart form that is read as it arrives; more: 413 */
    uint32_t trailer_block;    /* 8 KiB; more: 400 */
    uint32_t chunk_extensions; /* 4 KiB in one body; more: 400 */
    uint32_t
        header_timeout;  /* 10,000 ms from the first byte to the end of the head: 408 */
    uint32_t body_rate;  /* 240 bytes/s averaged, after body_grace: 408 */
    uint32_t body_grace; /* 5,000 ms */
    uint32_t keep_alive; /* 75,000 ms between requests, and before the first */
    uint32_t write_timeout; /* 60,000 ms without the peer taking a byte: closed */
    uint32_t half_closed; /* 5,000 ms of silence after the client's FIN: it has left */
    /* Lingering: after the last response, what the client still sends is read and dropped. Closing at
     * once would send a reset, and the client might lose the response. */
    uint32_t linger_time;    /* 30,000 ms in all */
    uint32_t linger_timeout; /* 5,000 ms without a byte */
    uint64_t linger_bytes;   /* 48 MiB */
    uint32_t connections;    /* 65,536 at once; more wait in the kernel's backlog */
    uint32_t in_flight; /* 16,384 unanswered requests at once; more: 503, Retry-After */
    uint32_t request_timeout; /* 0 (off) ms for the upper layer's response; more: 504 */
    uint32_t
        cancel_on_disconnect; /* 1: a handler whose client leaves is cancelled; 0 */
    uint32_t pipelined;       /* 64 KiB read ahead of an unanswered request */

    /* HTTP/2. */
    uint32_t h2;         /* 1: spoken where the client asks for it; 0: HTTP/1.1 only */
    uint32_t h2_streams; /* 128 at once on a connection; more are refused */
    uint32_t
        h2_window; /* 256 KiB of a stream's body that may wait for the upper layer */
    uint32_t
        h2_resets; /* 200 streams of a connection reset in a second; more: it is closed */
    uint32_t
        h2_controls; /* 1,000 frames in a second that ask for nothing; more: closed */
    uint32_t h2_continuations; /* 16 CONTINUATION frames in one head; more: closed */
    uint32_t
        h2_stall; /* 30,000 ms in which a response is read slower than body_rate: reset */

    /* WebSockets. */
    uint64_t ws_message;           /* 16 MiB, decompressed; more: closed with 1009 */
    uint64_t ws_frame;             /* 16 MiB of payload; more: 1009 */
    uint32_t ws_queue;             /* 32 messages that the upper layer keeps unread */
    uint32_t ws_ping_interval;     /* 20,000 ms of silence before a ping; 0: no pings */
    uint32_t ws_ping_timeout;      /* 20,000 ms of silence after it: connection lost */
    uint32_t ws_close_timeout;     /* 10,000 ms for the reply to a close frame */
    uint32_t ws_deflate;           /* 1: permessage-deflate where offered; 0: never */
    uint32_t ws_deflate_threshold; /* 64 bytes; shorter messages aren't compressed */
    uint32_t decode_ratio; /* 100: bytes that one of a compressed body may stand for */
    uint32_t log_buffer;   /* 1 MiB of log lines not yet written; more are dropped */
} HttpLimits;
void http_limits_default(HttpLimits *limits);

/* Creates a server. `context` belongs to the upper layer; http_server_context returns it. */
HttpServer *http_server_new(Loop *loop, const HttpOps *ops, const HttpLimits *limits,
                            void *context);
void *http_server_context(const HttpServer *server);
Loop *http_server_loop(const HttpServer *server);

/* Accepts connections on the socket `fd`, which is bound but not yet listening. The server owns it
 * from then on if the result is 0. `proxied`: each connection begins with a header of the PROXY protocol,
 * and only trusted proxies may connect. */
int http_server_listen(HttpServer *server, int fd, bool is_unix, int backlog,
                       bool proxied);

/* Other processes accept from the sockets that http_server_listen gets from now on. */
void http_server_share(HttpServer *server);

/* Serves the connected Unix socket `fd`, which is non-blocking. The server owns it from then on if the
 * result is 0. */
int http_server_take(HttpServer *server, int fd);

/* Uses TLS on all connections, configured by `set` (borrowed; a reference is taken). Must be called
 * before http_server_listen; after that again at any time, for the connections that come then. 0 or UV_ENOMEM. */
int http_server_secure(HttpServer *server, SecureSet *set);
bool http_server_is_secure(const HttpServer *server);

/* Begins an orderly stop. The listeners are closed; `queued`: after the connections in their queues have been
 * accepted. Each connection is closed after the response that it owes. `idle`: connections that owe no response are
 * closed at once, except those on which a request is on its way, or may be, because the last response began before
 * the stop and said that the connection stays open. A second call closes these, too. on_drained is called at the
 * end, never before this returns. */
void http_server_drain(HttpServer *server, bool idle, bool queued);
/* Breaks off the streamed responses whose length isn't known, which may never end: on_gone follows for
 * each. */
void http_server_end_streams(HttpServer *server);
/* Whether it is running: on_gone means then that the server stops, not that the client has left. */
bool http_server_ends_streams(const HttpServer *server);
/* A request without its whole response, or a WebSocket. `request` is valid during the call. */
typedef struct HttpPending {
    const HttpRequest *request;
    bool websocket, stream; /* stream: see http_server_end_streams */
    uint64_t age;           /* ms since the request began */
} HttpPending;
/* Calls `found` for each, which must not call back into the server. */
void http_server_pending(HttpServer *server,
                         void (*found)(void *arg, HttpPending pending), void *arg);
/* Whether http_server_pending finds the request. */
bool http_request_is_pending(const HttpRequest *req);
/* Closes every connection now; on_drained follows. */
void http_server_abort(HttpServer *server);
/* Frees a server that is drained or never listened. Requests that the layer above still holds
 * stay valid. The context must stay valid until app_clear has been called for each of them. */
void http_server_free(HttpServer *server);

/* Writes one line per response to the descriptor `fd` (-1: off). The lines are gathered, and handed to
 * the writing thread before the loop blocks. */
void http_server_access_log(HttpServer *server, int fd);
/* Writes them to `fd` from now on: see access_log_reopen. */
int http_server_reopen_log(HttpServer *server, int fd);
/* The layout of these lines, which the server owns from then on. NULL, the default: the plain one. */
void http_server_access_format(HttpServer *server, AccessFormat *format);
/* Brings what is counted in memory up to date, which otherwise may be METRICS_STALE ms old. */
void http_server_measure(HttpServer *server);
/* Counts in that memory: the arguments of metrics_new. Once, before the server listens. 0 or a negative UV_E*. */
int http_server_metrics(HttpServer *server, void *memory, size_t size, uint64_t slot);
/* Whether the times of requests are measured. */
bool http_server_is_timed(const HttpServer *server);

/* The origins whose pages may open WebSockets, in lower case, separated by spaces. `same` stands for
 * the host that the request names, `*` for all. Empty (the default): all origins, but for a request to a
 * local name (localhost, 127.0.0.1) that no proxy has forwarded only local ones. 0 or UV_ENOMEM. */
int http_server_ws_origins(HttpServer *server, Slice origins);

/* The hosts that requests may name, in lower case, separated by spaces; `*.example.org` stands for all
 * names below it. Others get a 400. Empty (the default): all. 0 or UV_ENOMEM. */
int http_server_hosts(HttpServer *server, Slice hosts);

/* The fields that responses have which don't bring their own of that name: `lines` are "name: value\r\n" …, none of
 * them about framing or the connection. `no_server` and `no_date`: without the usual Server, the usual Date.
 * 0 or UV_ENOMEM. */
int http_server_fields(HttpServer *server, Slice lines, bool no_server, bool no_date);

/* The paths, separated by spaces, of what tells whether the server is well. They are asked for by addresses, so any
 * host may be named for them, and they get an answer however many requests are in flight. 0 or UV_ENOMEM. */
int http_server_probes(HttpServer *server, Slice paths);
/* Whether the request, whose head is complete, is for one of them. */
bool http_request_is_probe(const HttpRequest *req);

/* More paths whose requests get an answer however many are in flight, separated by spaces. 0 or UV_ENOMEM. */
int http_server_urgent(HttpServer *server, Slice paths);
/* Whether the request, whose head is complete, is for one of these, or is a probe. */
bool http_request_is_urgent(const HttpRequest *req);

/* Who is believed what about clients: the arguments of trust_set (trust.h). The default: nobody. */
int http_server_proxies(HttpServer *server, Slice nets, bool unix_sockets,
                        uint8_t fields);
/* Who may connect to listeners with the PROXY protocol. The default: those that are believed. */
int http_server_greeters(HttpServer *server, Slice nets, bool unix_sockets);

/* Gives each request an id, which a trusted peer may send in the field `name`, and sends it back in that field:
 * see request_ids_set. */
int http_server_request_ids(HttpServer *server, Slice name);

/* Which responses are compressed, and how (coded.h). */
typedef struct HttpCompression {
    Coding codings[CODINGS - 1]; /* the best one first */
    int levels[CODINGS - 1];
    unsigned n;     /* how many; 0 (the default): nothing is compressed */
    uint64_t least; /* bytes: a shorter body stays as it is */
    /* Content types, in lower case and separated by spaces: whole ones, a star for the subtype, or a star
     * followed by "+json" or the like. */
    Slice types;
} HttpCompression;
/* The codings in which bodies of requests are decoded; others are refused with 415. By default all bodies are
 * left as they are, with their Content-Encoding. */
void http_server_decode(HttpServer *server, const bool codings[CODINGS]);
/* Before http_server_listen. 0 or UV_ENOMEM. */
int http_server_compress(HttpServer *server, const HttpCompression *rules);

const HttpLimits *http_server_limits(const HttpServer *server);

/* Of the library for HTTP/2; empty without it. */
const char *http_nghttp2_version(void);

/* Counters since the start, for tests and metrics. */
typedef struct HttpStats {
    uint64_t accepted, requests, responses, rejected;
    uint64_t received, sent; /* bytes, without TLS */
    uint64_t tls_done, tls_failed, websockets_accepted;
    uint32_t open, in_flight, websockets;
} HttpStats;
HttpStats http_server_stats(const HttpServer *server);

/* Back-pressure on an HTTP_BODY_STREAM body: no on_body between pause and resume. Pausing in
 * on_request also holds back the "100 Continue" that a client may wait for. */
void http_body_pause(HttpRequest *req);
void http_body_resume(HttpRequest *req);

#endif
