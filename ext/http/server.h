/* The HTTP server: listeners, its connections, limits and deadlines. Knows nothing of routes:
 * the layer above is told through one const struct of functions.
 *
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_SERVER_H
#define FLUVIAL_HTTP_SERVER_H

#include "base/py.h"
#include "http/request.h"
#include "http/response.h"
#include "loop/loop.h"

#include <openssl/types.h>

/* What was refused without asking the upper layer, and why. */
typedef struct HttpRefusal {
    int status; /* of the response; a close code (1000 or more) for a WebSocket; 0: the TLS handshake */
    const char *reason;
    const char *limit; /* the field of HttpLimits that was exceeded, or NULL */
} HttpRefusal;

typedef struct HttpOps {
    size_t app_size; /* bytes of http_request_app */
    /* The head is complete and well-formed. The callee decides what becomes of the body; it may
     * also answer at once (on_request doesn't come then). */
    HttpBodyMode (*on_head)(HttpRequest *req);
    /* Handle the request: when the body is complete, for STREAM before it. The callee answers
     * now or, holding a reference, later. */
    void (*on_request)(HttpRequest *req);
    /* STREAM only. The piece is valid during the call. */
    void (*on_body)(HttpRequest *req, Slice piece);
    void (*on_body_end)(HttpRequest *req);
    /* The client went away, or sent a malformed or too large body, before the answer was
     * complete. Answering does nothing from now on. */
    void (*on_gone)(HttpRequest *req);
    /* May be NULL. The client will send nothing more. It may read on, or it has gone: only a write
     * tells. So what is held back of the answer is best written now. */
    void (*on_eof)(HttpRequest *req);
    /* May be NULL. The same, a second has passed without a byte of the answer, and nothing could be
     * written to find out: the client has probably gone. `for_long`: HttpLimits.half_closed has
     * passed, or the client has turned out to be gone: who only waits should give up. Answering still
     * works, or seems to. May come more than once. */
    void (*on_left)(HttpRequest *req, bool for_long);
    /* What waited to be written has drained, or is no reason to wait any more, since the answer is
     * complete (after http_stream_full was true, or before the request's body was). */
    void (*on_writable)(HttpRequest *req);
    /* Release what http_request_app holds. */
    void (*app_clear)(HttpRequest *req);
    /* May be NULL. A client was refused something, see HttpRefusal, which is valid during the
     * call. */
    void (*on_refused)(void *context, const NetAddr *peer, const HttpRefusal *refusal);
    /* Drained: the last connection is closed after http_server_drain. `context` as below. */
    void (*on_drained)(void *context);
} HttpOps;

/* Every limit, with its default (http_limits_default). 0 switches a limit off. */
typedef struct HttpLimits {
    uint32_t request_line;     /* 8 KiB of target; more: 414 */
    uint32_t header_block;     /* 64 KiB; more: 431 */
    uint32_t header_fields;    /* 100; more: 431 */
    uint64_t body;             /* 16 MiB; more: 413 */
    uint32_t trailer_block;    /* 8 KiB; more: 400 */
    uint32_t chunk_extensions; /* 4 KiB in one body; more: 400 */
    uint32_t
        header_timeout;  /* 10,000 ms from the first byte to the end of the head: 408 */
    uint32_t body_rate;  /* 240 bytes/s averaged, after body_grace: 408 */
    uint32_t body_grace; /* 5,000 ms */
    uint32_t keep_alive; /* 75,000 ms between requests, and before the first */
    uint32_t write_timeout; /* 60,000 ms without the peer taking a byte: closed */
    uint32_t half_closed; /* 5,000 ms of silence after the client's FIN: it has left */
    /* After an answer that ends the connection what the client still sends is read and dropped, since
     * a reset would take the answer with it. */
    uint32_t linger_time;    /* 30,000 ms in all */
    uint32_t linger_timeout; /* 5,000 ms without a byte */
    uint64_t linger_bytes;   /* 48 MiB */
    uint32_t connections;    /* 65,536 at once; more wait in the kernel's backlog */
    uint32_t in_flight; /* 16,384 unanswered requests at once; more: 503, Retry-After */
    uint32_t pipelined; /* 64 KiB read ahead of an unanswered request */

    /* WebSockets. */
    uint64_t ws_message;           /* 16 MiB, decompressed; more: closed with 1009 */
    uint64_t ws_frame;             /* 16 MiB of payload; more: 1009 */
    uint32_t ws_queue;             /* 32 messages that the upper layer keeps unread */
    uint32_t ws_ping_interval;     /* 20,000 ms of silence before a ping; 0: no pings */
    uint32_t ws_ping_timeout;      /* 20,000 ms of silence after it: connection lost */
    uint32_t ws_close_timeout;     /* 10,000 ms for the answer to a close frame */
    uint32_t ws_deflate;           /* 1: permessage-deflate where offered; 0: never */
    uint32_t ws_deflate_threshold; /* 64 bytes; shorter messages aren't compressed */
    uint32_t log_buffer; /* 1 MiB of lines that wait to be written; more are dropped */
} HttpLimits;
void http_limits_default(HttpLimits *limits);

/* Makes a server. `context` is the upper layer's own, returned by http_server_context. */
HttpServer *http_server_new(Loop *loop, const HttpOps *ops, const HttpLimits *limits,
                            void *context);
void *http_server_context(const HttpServer *server);
Loop *http_server_loop(const HttpServer *server);

/* Accepts connections on the bound (not yet listening) socket `fd`, which is the server's from
 * then on when the result is 0. */
int http_server_listen(HttpServer *server, int fd, bool is_unix, int backlog);

/* Speaks TLS on all connections from now on, set up by `ctx` (borrowed; a reference is taken): to be
 * called before http_server_listen. 0 or UV_ENOMEM. */
int http_server_secure(HttpServer *server, SSL_CTX *ctx);

/* Begins an orderly stop: no new connections, idle ones closed, the others closed after the
 * answers they owe. on_drained follows, never before this returns. */
void http_server_drain(HttpServer *server);
/* Closes every connection now; on_drained follows. */
void http_server_abort(HttpServer *server);
/* Frees a server that is drained or never listened. Requests that the layer above still holds
 * stay valid; until their app_clear has been called, so must the context. */
void http_server_free(HttpServer *server);

/* One line per answered request to the descriptor `fd` (-1: off), gathered and written before
 * the loop blocks. */
void http_server_access_log(HttpServer *server, int fd);

/* The origins whose pages may open WebSockets, in lower case, separated by spaces; `same` stands
 * for the host that the request names. Empty, as at first: all. 0 or UV_ENOMEM. */
int http_server_ws_origins(HttpServer *server, Slice origins);

const HttpLimits *http_server_limits(const HttpServer *server);

/* Counters since the start, for tests and metrics. */
typedef struct HttpStats {
    uint64_t accepted, requests, responses, rejected;
    uint32_t open, in_flight;
} HttpStats;
HttpStats http_server_stats(const HttpServer *server);

/* Back-pressure on a STREAM body: no on_body between pause and resume. Pausing in on_request
 * also holds back the "100 Continue" that a client may wait for. */
void http_body_pause(HttpRequest *req);
void http_body_resume(HttpRequest *req);

#endif
