/* A WebSocket from its acceptance to its end (see ws.h and ws_conn.h): the close handshake, the calls to
 * the layer above, and the timeouts. The loop's thread.
 *
 * It ends in one of four ways: both close frames are exchanged (ws_closed), the client breaks a rule
 * (ws_fail), the connection is lost or too slow (ws_lost), or the connection is closed for another
 * reason (ws_drop).
 */
#include "base/py.h"

#include "base/utf8.h"
#include "http/h2.h"
#include "http/out.h"
#include "http/ws/ws_conn.h"

#include <uv.h>

/* ---- The end ----------------------------------------------------------------------------- */

static void
ws_free(WsConn *ws)
{
    ws_message_clear(&ws->message);
    ws_deflate_free(&ws->deflate);
    PyMem_RawFree(ws->control);
    PyMem_RawFree(ws);
}

/* Detaches the WebSocket from its connection, calls on_close and frees it. `reason` may point into the
 * WsConn. */
static void
ws_end(WsConn *ws, int code, Slice reason, bool clean)
{
    if (ws->stream != NULL) {
        h2_tunnel_release(ws->stream);
    } else {
        ws->conn->upgraded = NULL;
    }
    ws->ops->on_close(ws, code, reason, clean);
    ws_free(ws);
}

static void
ws_write_close(WsConn *ws, int code, Slice reason)
{
    char payload[WS_CONTROL_MAX];
    size_t len = 0;
    if (code != WS_NO_CODE) {
        payload[0] = (char)(code >> 8);
        payload[1] = (char)code;
        if (reason.len != 0) { /* memcpy takes no NULL, which an empty slice may have */
            memcpy(payload + 2, reason.ptr, reason.len);
        }
        len = 2 + reason.len;
    }
    ws_write_control(ws, WS_OP_CLOSE, slice_of(payload, len));
}

/* Where it lives, for when it has ended. */
typedef struct WsPlace {
    HttpConn *conn;
    H2Stream *stream;
} WsPlace;

static WsPlace
ws_place(const WsConn *ws)
{
    return (WsPlace){ws->conn, ws->stream};
}

/* What was written is sent, and then the connection or the stream ends. */
static void
ws_finish(WsPlace place)
{
    if (place.stream != NULL) {
        h2_tunnel_end(place.stream);
    } else {
        conn_finish(place.conn);
    }
}

/* A copy: ws_end may release the request. */
static NetAddr
ws_peer(const WsConn *ws)
{
    return ws->stream != NULL ? h2_tunnel_peer(ws->stream) : ws->conn->req->peer;
}

/* It may read again. */
static void
ws_wake(WsConn *ws)
{
    if (ws->stream != NULL) {
        h2_tunnel_wake(ws->stream);
    } else {
        conn_settle_later(ws->conn);
    }
}

/* The turn of its fault has come. */
static void
ws_due(WsConn *ws)
{
    if (ws->stream != NULL) {
        ws->due = true;
    } else {
        ws->conn->held = true;
    }
    ws_wake(ws);
}

/* The server closes TCP first (RFC 6455 section 7.1.1). conn_finish still reads for a moment: with
 * unread bytes the kernel would reset the connection, and the close frame could be lost. */
void
ws_closed(WsConn *ws, int code, Slice reason)
{
    WsPlace place = ws_place(ws);
    if (ws->state == WS_OPEN) {
        ws_write_close(ws, code, slice_of("", 0));
    }
    ws_end(ws, code, reason, true);
    ws_finish(place);
}

void
ws_fail(WsConn *ws, WsFault fault)
{
    WsPlace place = ws_place(ws);
    HttpServer *server = ws->server;
    NetAddr peer = ws_peer(ws);
    Slice reason = slice_of(fault.reason, strlen(fault.reason));
    if (ws->state == WS_OPEN) {
        ws_write_close(ws, fault.code, reason);
    }
    ws_end(ws, fault.code, reason, false);
    ws_finish(place);
    server_refused(server, &peer, (HttpRefusal){fault.code, fault.reason, fault.limit});
}

void
ws_fail_in_turn(WsConn *ws, WsFault fault)
{
    if (ws->state != WS_OPEN || ws->ops->is_busy == NULL || !ws->ops->is_busy(ws)) {
        ws_fail(ws, fault);
        return;
    }
    ws->fault = fault;
    ws_message_clear(&ws->message);
}

void
ws_idle(WsConn *ws)
{
    if (unlikely(ws->fault.code != 0)) {
        ws_due(ws);
    }
}

/* The connection is lost: nothing more can be expected from the client. */
void
ws_lost(WsConn *ws, Slice reason)
{
    WsPlace place = ws_place(ws);
    ws_end(ws, WS_ABNORMAL, reason, false);
    if (place.stream != NULL) {
        h2_tunnel_abort(place.stream);
    } else {
        conn_close(place.conn, false);
    }
}

void
ws_half_closed(WsConn *ws)
{
    WsPlace place = ws_place(ws);
    ws_end(ws, WS_ABNORMAL, slice_of("", 0), false);
    ws_finish(place);
}

static void
ws_eof(HttpConn *c)
{
    ws_lost(c->upgraded, slice_of("", 0));
}

void
ws_drop_it(WsConn *ws)
{
    ws_end(ws, WS_ABNORMAL, slice_of("", 0), false);
}

static void
ws_drop(HttpConn *c)
{
    ws_drop_it(c->upgraded);
}

static bool
close_is_valid(int code, Slice reason)
{
    Utf8 utf8 = {0};
    if (code == WS_NO_CODE) {
        return reason.len == 0;
    }
    return ws_code_is_valid(code) && reason.len <= WS_REASON_MAX
           && utf8_feed(&utf8, reason) && utf8_is_whole(&utf8);
}

int
ws_close(WsConn *ws, int code, Slice reason)
{
    if (!close_is_valid(code, reason)) {
        return UV_EINVAL;
    }
    if (ws->state != WS_OPEN) {
        return UV_ECANCELED;
    }
    ws_write_close(ws, code, reason);
    ws->state = WS_CLOSE_SENT;
    ws->paused = false;
    ws->pong_due = false;
    Py_CLEAR(ws->message.whole);
    Py_CLEAR(ws->message.buffer);
    if (ws->fault.code != 0) {
        ws_due(ws);
    } else {
        ws_wake(ws);
    }
    return 0;
}

void
ws_drain_it(WsConn *ws)
{
    (void)ws_close(ws, WS_SERVICE_RESTART, slice_of("", 0));
}

static void
ws_drain(HttpConn *c)
{
    ws_drain_it(c->upgraded);
}

/* ---- Timeouts ---------------------------------------------------------------------------- */

DeadlineKind
ws_waits_for(const WsConn *ws)
{
    if (ws->state == WS_CLOSE_SENT || ws->fault.code != 0) {
        return DEADLINE_WS_CLOSE;
    }
    if (ws->pinged) {
        return DEADLINE_WS_PONG;
    }
    if (ws_limits(ws)->ws_ping_interval != 0) {
        return DEADLINE_WS_PING;
    }
    bool queued = ws->conn != NULL && ws->conn->stream.queued != 0;
    return queued ? DEADLINE_WRITE : DEADLINE_NONE;
}

static DeadlineKind
ws_deadline(const HttpConn *c)
{
    return ws_waits_for(c->upgraded);
}

/* Sends a ping, unless the client has sent something since the last one. */
static void
ping_due(WsConn *ws)
{
    if (!ws->heard) {
        ws_write_control(ws, WS_OP_PING, slice_of("", 0));
        ws->pinged = ws_limits(ws)->ws_ping_timeout != 0;
    }
    ws->heard = false;
}

/* Nothing has arrived since the ping. The connection counts as lost only if a pong could have arrived:
 * not while the upper layer has paused reading, and not while the ping still waits in the queue and the
 * client takes bytes. */
static void
pong_overdue(WsConn *ws)
{
    const HttpConn *c = ws->conn;
    bool moving = c == NULL ? h2_tunnel_is_moving(ws->stream)
                            : c->sent - c->stream.queued != c->progress;
    if (ws->paused || moving) {
        return; /* conn_settle sets the deadline anew */
    }
    ws_lost(ws, SLICE("The keep-alive ping was not answered"));
}

void
ws_waited(WsConn *ws, DeadlineKind kind)
{
    if (kind == DEADLINE_WS_PING) {
        ping_due(ws);
    } else if (kind == DEADLINE_WS_PONG) {
        pong_overdue(ws);
    } else if (ws->fault.code != 0) {
        ws_fail(ws, ws->fault);
    } else {
        ws_lost(ws, SLICE("The close frame was not answered"));
    }
}

static void
ws_expired(HttpConn *c, DeadlineKind kind)
{
    ws_waited(c->upgraded, kind);
}

/* ---- Flow -------------------------------------------------------------------------------- */

/* Whether it can't use bytes. `due`: the turn of its fault has come. */
bool
ws_is_stuck(const WsConn *ws, bool due)
{
    return ws->paused || (ws->fault.code != 0 && !due);
}

static bool
ws_is_blocked(const HttpConn *c)
{
    return ws_is_stuck(c->upgraded, c->held);
}

/* UpgradeOps.read. */
static size_t
ws_read(HttpConn *c, char *ptr, size_t len)
{
    uint64_t now = uv_now(c->stream.uv.handle.loop);
    return ws_feed(c->upgraded, &c->upgraded, now, ptr, len, &c->yielded);
}

static void
ws_next_turn(HttpConn *c)
{
    WsConn *ws = c->upgraded;
    ws->spent = 0;
}

void
ws_pause(WsConn *ws)
{
    ws->paused = ws->state == WS_OPEN;
}

void
ws_resume(WsConn *ws)
{
    if (ws->paused) {
        ws->paused = false;
        ws_wake(ws);
    }
}

void
ws_drained_it(WsConn *ws)
{
    if (ws->pong_due && ws->state == WS_OPEN) {
        ws->pong_due = false;
        const char *pong = ws->control == NULL ? "" : ws->control->pong;
        ws_write_control(ws, WS_OP_PONG, slice_of(pong, ws->pong_len));
    }
    ws->ops->on_drain(ws);
}

static void
ws_drained(HttpConn *c)
{
    ws_drained_it(c->upgraded);
}

void *
ws_context(const WsConn *ws)
{
    return ws->context;
}

/* ---- The beginning ----------------------------------------------------------------------- */

static const UpgradeOps ws_upgrade_ops = {
    .read = ws_read,
    .next_turn = ws_next_turn,
    .is_blocked = ws_is_blocked,
    .eof = ws_eof,
    .drop = ws_drop,
    .drained = ws_drained,
    .drain = ws_drain,
    .deadline = ws_deadline,
    .expired = ws_expired,
};

static int
ws_accept_check(const HttpRequest *req)
{
    const HttpConn *c = req->conn;
    if (c == NULL || c->broken || req->response != HTTP_RESPONSE_NONE) {
        return UV_ECANCELED;
    }
    return c->state == CONN_RESPONSE ? 0 : UV_EINVAL; /* before on_request */
}

/* Responds with 101, after which the connection is the WebSocket's. */
static int
ws_open(HttpRequest *req, const WsAccept *accept, WsConn *ws)
{
    HttpConn *c = req->conn;
    const WsDeflateParams *deflate = &ws->deflate.params;
    size_t mark = out_begin(c);
    int err = ws_handshake_write(req, accept, deflate->on ? deflate : NULL);
    if (err != 0) {
        return err;
    }
    out_end(c, mark);
    ws->conn = c;
    exchange_upgrade(c, &ws_upgrade_ops, ws);
    conn_settle_later(c);
    if (c->server->state != SERVER_RUNNING) {
        ws_drain(c);
    }
    return 0;
}

int
ws_accept(HttpRequest *req, const WsAccept *accept, WsConn **out)
{
    int err = req->h2 != NULL ? 0 : ws_accept_check(req);
    if (err != 0) {
        return err;
    }
    WsConn *ws = PyMem_RawCalloc(1, sizeof(*ws));
    if (ws == NULL) {
        return UV_ENOMEM;
    }
    ws->server = req->server;
    ws->ops = accept->ops;
    ws->context = accept->context;
    ws->heard = true;
    if (req->server->limits.ws_deflate != 0) {
        (void)ws_extension_choose(req, &ws->deflate.params);
    }
    err = req->h2 != NULL ? ws_h2_open(req, accept, ws) : ws_open(req, accept, ws);
    if (err != 0) {
        PyMem_RawFree(ws);
        return err;
    }
    *out = ws;
    return 0;
}
