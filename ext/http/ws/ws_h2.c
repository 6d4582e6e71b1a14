/* A WebSocket on a stream of HTTP/2 (RFC 8441). It does by H2TunnelOps what ws_conn.c does on a connection of its own.
 * Deadlines are checked once a second. The loop's thread.
 */
#include "base/py.h"

#include "http/h2.h"
#include "http/ws/ws_conn.h"

#include <uv.h>

static size_t
on_tunnel_read(void *const *tunnel, char *ptr, size_t len, uint32_t *spent,
               bool *yielded)
{
    WsConn *ws = *tunnel;
    if (len == 0 && ws->fault.code == 0) {
        return 0;
    }
    ws->turn = h2_tunnel_now(ws->stream);
    ws->spent = *spent;
    size_t used = ws_feed(ws, tunnel, ws->turn, ptr, len, yielded);
    if (*tunnel == ws) { /* else it has ended */
        *spent = ws->spent;
    }
    return used;
}

static bool
on_tunnel_is_blocked(const void *tunnel)
{
    const WsConn *ws = tunnel;
    return ws_is_stuck(ws, ws->due);
}

static void
on_tunnel_eof(void *tunnel)
{
    ws_half_closed(tunnel);
}

static void
on_tunnel_drop(void *tunnel)
{
    ws_drop_it(tunnel);
}

static void
on_tunnel_drained(void *tunnel)
{
    ws_drained_it(tunnel);
}

static void
on_tunnel_drain(void *tunnel)
{
    ws_drain_it(tunnel);
}

/* After how many ms what it waits for is overdue; 0: never. */
static uint32_t
ws_patience(const WsConn *ws, DeadlineKind kind)
{
    const HttpLimits *limits = ws_limits(ws);
    return kind == DEADLINE_WS_PING    ? limits->ws_ping_interval
           : kind == DEADLINE_WS_PONG  ? limits->ws_ping_timeout
           : kind == DEADLINE_WS_CLOSE ? limits->ws_close_timeout
                                       : 0;
}

static void
on_tunnel_look(void *tunnel, uint64_t now)
{
    WsConn *ws = tunnel;
    DeadlineKind kind = ws_waits_for(ws);
    uint32_t patience = ws_patience(ws, kind);
    if (kind != ws->waits_for) {
        ws->waits_for = kind;
        ws->waits_since = now;
    } else if (patience != 0 && now - ws->waits_since >= patience) {
        ws->waits_since = now;
        ws_waited(ws, kind);
    }
}

static const H2TunnelOps tunnel_ops = {
    .read = on_tunnel_read,
    .is_blocked = on_tunnel_is_blocked,
    .eof = on_tunnel_eof,
    .drop = on_tunnel_drop,
    .drained = on_tunnel_drained,
    .drain = on_tunnel_drain,
    .look = on_tunnel_look,
};

int
ws_h2_open(HttpRequest *req, const WsAccept *accept, WsConn *ws)
{
    const WsDeflateParams *deflate = &ws->deflate.params;
    HttpFields fields = {.has_date = false};
    int err = ws_handshake_fields(req, accept, deflate->on ? deflate : NULL, &fields);
    if (err == 0) {
        err = h2_tunnel_open(req, &fields, &tunnel_ops, ws, &ws->stream);
    }
    http_fields_free(&fields);
    return err;
}
