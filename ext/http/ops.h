/* What a server tells the layer above: the functions that it calls, and what these and the reports of
 * server.h are about.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_OPS_H
#define FLUVIAL_HTTP_OPS_H

#include "base/py.h"
#include "base/slice.h"
#include "http/metrics.h"
#include "http/request.h"

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

/* A request without its whole response, or a WebSocket. `request` is valid during the call. */
typedef struct HttpPending {
    const HttpRequest *request;
    bool websocket, stream; /* stream: see http_server_end_streams */
    uint64_t age;           /* ms since the request began */
} HttpPending;

/* Counters since the start, for tests and metrics. */
typedef struct HttpStats {
    uint64_t accepted, requests, responses, rejected;
    uint64_t received, sent; /* bytes, without TLS */
    uint64_t tls_done, tls_failed, websockets_accepted;
    uint32_t open, in_flight, websockets;
} HttpStats;

#endif
