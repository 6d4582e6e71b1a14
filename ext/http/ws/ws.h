/* WebSocket (RFC 6455) with permessage-deflate (RFC 7692), as the layer above sees it (ADR 10).
 *
 * An upgrade begins as an ordinary HttpRequest: in HttpOps.on_head the layer above asks
 * ws_is_offered(), and answers HTTP_BODY_DISCARD when it wants a WebSocket. In on_request, or
 * later, it accepts with ws_accept(), or declines by answering the request as any other
 * (http_respond…). A client that goes away before that shows as HttpOps.on_gone.
 *
 * ws_accept() ends the exchange: the request stays readable, answering it does nothing. From
 * then on the layer above is told through WsOps, until on_close, which comes exactly once and
 * last: the WsConn must not be used after it. Frames, pings, pongs, fragments, compression, UTF-8, limits and
 * the close handshake are dealt with here; what goes up and down are whole messages.
 *
 * Thread: the loop's, with the GIL. No function here calls back.
 */
#ifndef FLUVIAL_HTTP_WS_WS_H
#define FLUVIAL_HTTP_WS_WS_H

#include "base/py.h"
#include "http/request.h"
#include "http/response.h"

typedef struct WsConn WsConn;

/* Close codes of RFC 6455 section 7.4.1. */
enum {
    WS_NORMAL = 1000,
    WS_GOING_AWAY = 1001,
    WS_PROTOCOL_ERROR = 1002,
    WS_UNSUPPORTED_DATA = 1003,
    WS_NO_CODE = 1005,  /* never sent: the client's close frame had none */
    WS_ABNORMAL = 1006, /* never sent: the connection was lost without a close frame */
    WS_INVALID_DATA = 1007,
    WS_TOO_BIG = 1009,
    WS_INTERNAL_ERROR = 1011,
    WS_SERVICE_RESTART = 1012,
};

enum { WS_REASON_MAX = 123 }; /* bytes of UTF-8 */

typedef struct WsOps {
    /* A whole message; `data` is stolen: str for text, bytes for binary. The callee may use the
     * ws functions below. */
    void (*on_message)(WsConn *ws, PyObject *data);
    /* What waited to be written has drained (after ws_is_full was true). */
    void (*on_drain)(WsConn *ws);
    /* Whether messages are still being worked on: those before a fault of the client's are to be
     * answered before the connection fails. The callee owes ws_idle() then. May be NULL. */
    bool (*is_busy)(WsConn *ws);
    /* It is over, whoever ended it, for whatever reason: no message follows, sending does
     * nothing. `code` is the client's, WS_NO_CODE or WS_ABNORMAL, or, when the client broke a
     * rule or a limit, the one that it was sent. `reason` is UTF-8, valid during the call.
     * `clean`: both close frames were exchanged. */
    void (*on_close)(WsConn *ws, int code, Slice reason, bool clean);
} WsOps;

/* ---- The opening handshake --------------------------------------------------------------- */

/* Whether the request asks for a WebSocket: GET in HTTP/1.1 without a body, "websocket" in
 * Upgrade, "upgrade" in Connection. Otherwise it is to be treated as if it had no Upgrade. */
bool ws_is_offered(const HttpRequest *req);

/* In on_request, checks the rest of an offer: version, key, origin. When something is wrong, the
 * request is answered (400, 403 or 426) and the result is false. */
bool ws_check(HttpRequest *req);

/* The subprotocols that the client offers, in its order. Begin with a zeroed struct; false at
 * the end. The slices live as long as the request. */
typedef struct WsOffers {
    bool begun;
    int32_t field;
    Slice rest;
} WsOffers;
bool ws_next_subprotocol(const HttpRequest *req, WsOffers *offers, Slice *out);

typedef struct WsAccept {
    Slice subprotocol;        /* empty: none */
    const HttpFields *fields; /* borrowed; may be NULL */
    const WsOps *ops;         /* static */
    void *context;            /* the caller's own, see ws_context */
} WsAccept;

/* Answers 101. 0, and the connection in *out; UV_ECANCELED when the client is gone or the
 * request was answered; UV_EINVAL when ws_check was not passed or the subprotocol is not a
 * token. */
int ws_accept(HttpRequest *req, const WsAccept *accept, WsConn **out);

/* ---- The open connection ----------------------------------------------------------------- */

void *ws_context(const WsConn *ws);

/* Sends a message. `data` is copied when small, otherwise kept alive by `owner` (borrowed; NULL:
 * always copied). Text must be UTF-8. 0; UV_ECANCELED when the connection is closing; another
 * negative UV_E* when it failed, which on_close tells soon after. */
int ws_send_text(WsConn *ws, Slice data, PyObject *owner);
int ws_send_binary(WsConn *ws, Slice data, PyObject *owner);

/* Whether more than the high-water mark waits to be written; on_drain follows when not. Messages
 * are taken nevertheless. */
bool ws_is_full(const WsConn *ws);

/* Begins the close handshake: messages from the client are dropped from now on; on_close follows
 * when its close frame has come, or doesn't in time. `code` is WS_NO_CODE for none, 1000 to 1003, 1007 to
 * 1014, or 3000 to 4999; `reason` UTF-8 of at most WS_REASON_MAX bytes, none without a code:
 * UV_EINVAL otherwise. UV_ECANCELED when it is closing already. */
int ws_close(WsConn *ws, int code, Slice reason);

/* All messages that were told have been worked on. */
void ws_idle(WsConn *ws);

/* Back-pressure: no on_message between pause and resume. Also while paused, the connection notices that
 * it is lost, but not that the client closed it. */
void ws_pause(WsConn *ws);
void ws_resume(WsConn *ws);

#endif
