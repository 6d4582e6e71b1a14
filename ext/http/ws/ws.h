/* WebSocket (RFC 6455) with permessage-deflate (RFC 7692), as the layer above sees it (ADR 10). The
 * layer above sends and receives whole messages. Frames, pings, pongs, fragments, compression, UTF-8,
 * limits and the close handshake are handled here.
 *
 * An upgrade begins as an ordinary HttpRequest. In HttpOps.on_head the layer above calls
 * ws_is_offered(), and returns HTTP_BODY_DISCARD if it wants a WebSocket. In on_request, or later, it
 * accepts with ws_accept(), or declines by responding as to any other request (http_respond…). If the
 * client goes away before that, HttpOps.on_gone is called.
 *
 * ws_accept() ends the exchange: the request stays readable, and responding to it does nothing. From
 * then on the layer above is called through WsOps. The last call is on_close, which comes exactly
 * once; the WsConn must not be used after it.
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
    /* The queued bytes have drained (after ws_is_full was true). */
    void (*on_drain)(WsConn *ws);
    /* Whether earlier messages are still being handled. Called when the client has broken a rule: the
     * connection fails only after the messages before that have been handled. When the result is
     * true the callee must call ws_idle() later. May be NULL. */
    bool (*is_busy)(WsConn *ws);
    /* The WebSocket has ended, on either side and for any reason. No message follows, and sending
     * does nothing. `code` is the client's code, WS_NO_CODE or WS_ABNORMAL; when the client has
     * broken a rule or a limit, it is the code that was sent to it. `reason` is UTF-8, valid during
     * the call. `clean`: both close frames were exchanged. */
    void (*on_close)(WsConn *ws, int code, Slice reason, bool clean);
} WsOps;

/* ---- The opening handshake --------------------------------------------------------------- */

/* Whether the request asks for a WebSocket: GET in HTTP/1.1 without a body, "websocket" in
 * Upgrade, "upgrade" in Connection. If not, the caller treats it as if it had no Upgrade field. */
bool ws_is_offered(const HttpRequest *req);

/* In on_request, checks the rest of an offer: version, key, origin. When something is wrong, it
 * responds with 400, 403 or 426, and the result is false. */
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

/* Responds with 101. 0, and the connection in *out. UV_ECANCELED when the client has gone or a
 * response has begun. UV_EINVAL when ws_check would fail or the subprotocol is not a token. */
int ws_accept(HttpRequest *req, const WsAccept *accept, WsConn **out);

/* ---- The open connection ----------------------------------------------------------------- */

void *ws_context(const WsConn *ws);

/* Sends a message. Small `data` is copied, larger data is kept alive by `owner` (borrowed; NULL:
 * always copied). Text must be UTF-8. 0; UV_ECANCELED when the connection is closing; another
 * negative UV_E* when it has failed; on_close follows soon then. */
int ws_send_text(WsConn *ws, Slice data, PyObject *owner);
int ws_send_binary(WsConn *ws, Slice data, PyObject *owner);

/* Whether more bytes than the high-water mark are queued. on_drain follows when this is over. More
 * messages can be sent nevertheless. */
bool ws_is_full(const WsConn *ws);

/* Begins the close handshake. Messages from the client are dropped from now on. on_close follows when
 * the client's close frame has arrived, or after HttpLimits.ws_close_timeout. `code` is 1000 to
 * 1003, 1007 to 1014, 3000 to 4999, or WS_NO_CODE for none. `reason` is UTF-8 of at most
 * WS_REASON_MAX bytes; it must be empty without a code. UV_EINVAL otherwise. UV_ECANCELED when the
 * WebSocket is already closing. */
int ws_close(WsConn *ws, int code, Slice reason);

/* All messages passed to on_message have been handled; see WsOps.is_busy. */
void ws_idle(WsConn *ws);

/* Back-pressure: no on_message between pause and resume. While paused, a lost connection is noticed, but
 * a close frame of the client isn't read. */
void ws_pause(WsConn *ws);
void ws_resume(WsConn *ws);

#endif
