/* Extended CONNECT (RFC 8441): a stream of HTTP/2 whose bytes belong to another protocol both ways, WebSocket. As
 * UpgradeOps is for a connection of HTTP/1.1, H2TunnelOps is for such a stream. The request stays the stream's until the
 * tunnel ends. Bytes that the protocol can't take yet wait in H2Stream.held, and aren't given back to the client's window
 * meanwhile. The loop's thread.
 */
#include "base/py.h"

#include "http/h2_conn.h"

#include "http/measure.h"

/* ---- The beginning ----------------------------------------------------------------------- */

int
h2_tunnel_open(HttpRequest *req, const HttpFields *fields, const H2TunnelOps *ops,
               void *tunnel, H2Stream **out)
{
    H2Stream *s = req->h2;
    const HttpHead head = {.status = 200, .fields = fields};
    if (s == NULL || !s->connect || s->h2->conn == NULL || s->reset
        || req->response != HTTP_RESPONSE_NONE) {
        return UV_ECANCELED;
    }
    s->tunnel_ops = ops;
    int err = h2_submit(s, &head, -1, false);
    if (err != 0) {
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR); /* on_gone follows */
        return err;
    }
    HttpServer *server = req->server;
    s->tunnel = tunnel;
    s->tunnelled = true;
    server->stats.websockets++;
    server->stats.websockets_accepted++;
    server->stats.responses++;
    if (server->metrics
        != NULL) { /* now: a WebSocket's lifetime is not a response time */
        measure_exchange(server, req, req->status);
    }
    req->response = HTTP_RESPONSE_DONE;
    exchange_landed(req);
    s->h2->resumed = true; /* bytes may have come already */
    h2_wake(s->h2);
    *out = s;
    s->drain_due = server->state != SERVER_RUNNING;
    return 0;
}

/* ---- Bytes in ---------------------------------------------------------------------------- */

void
h2_tunnel_data(H2Stream *s, Slice piece)
{
    if (buf_append_slice(&s->held, piece) != 0) {
        (void)nghttp2_session_consume_connection(s->h2->session, piece.len);
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
    }
}

static bool
tunnel_is_blocked(const H2Stream *s)
{
    return s->tunnel == NULL || s->yielded || s->tunnel_ops->is_blocked(s->tunnel);
}

/* Keeps what the tunnel hasn't used, if there still is one. */
static void
tunnel_keep(H2Stream *s, Slice rest)
{
    if (s->tunnel == NULL) {
        (void)nghttp2_session_consume_connection(s->h2->session, rest.len);
    } else if (rest.len != 0) {
        h2_tunnel_data(s, rest);
    }
}

/* As H2TunnelOps.read. */
static size_t
tunnel_read(H2Stream *s, char *ptr, size_t len)
{
    H2Conn *h2 = s->h2;
    uint64_t now = h2_now(h2);
    if (h2->turn != now) {
        h2->turn = now;
        h2->spent = 0;
    }
    size_t used = s->tunnel_ops->read(&s->tunnel, ptr, len, &h2->spent, &s->yielded);
    s->served = s->served || used != 0;
    return used;
}

void
h2_tunnel_flow(H2Stream *s)
{
    if (s->drain_due && s->tunnel != NULL) {
        s->drain_due = false;
        s->tunnel_ops->drain(s->tunnel);
    }
    if (tunnel_is_blocked(s)) {
        return;
    }
    Buf held = s->held;
    size_t at = 0, used;
    s->held = (Buf){NULL, 0, 0};
    char none[1];
    do {
        char *from = held.ptr == NULL ? none : held.ptr + at;
        used = tunnel_read(s, from, held.len - at);
        at += used;
    } while (at < held.len && !tunnel_is_blocked(s));
    (void)nghttp2_session_consume(s->h2->session, s->id, at);
    tunnel_keep(s, slice_of(held.ptr == NULL ? "" : held.ptr + at, held.len - at));
    buf_free(&held);
    s->h2->yielded = s->h2->yielded || s->yielded;
    h2_wake(s->h2);
    if (s->ended_in && s->held.len == 0 && !tunnel_is_blocked(s)) {
        s->tunnel_ops->eof(s->tunnel);
    }
}

void
h2_tunnels_go_on(H2Conn *h2)
{
    Ring streams;
    h2->yielded = false;
    h2->resumed = true;
    h2->spent = 0;
    ring_take(&streams, &h2->streams);
    for (int served = 0; served < 2; served++) { /* those that had nothing come first */
        for (Ring *next, *link = streams.next; link != &streams; link = next) {
            H2Stream *s = container_of(link, H2Stream, all);
            next = link->next;
            if (s->served <= served) {
                s->yielded = s->served = false;
                ring_remove(link);
                ring_append(&h2->streams, link);
            }
        }
    }
}

void
h2_tunnel_wake(H2Stream *s)
{
    s->h2->resumed = true;
    h2_wake(s->h2);
}

/* ---- Bytes out --------------------------------------------------------------------------- */

int
h2_tunnel_write(H2Stream *s, Slice head, Slice payload, PyObject *owner)
{
    H2Conn *h2 = s->h2;
    if (s->reset || s->ended_out || h2->conn == NULL || h2->conn->broken) {
        return UV_ECONNRESET;
    }
    int err = h2_out_add(s, head, NULL);
    if (err == 0 && payload.len != 0) {
        err = h2_out_add(s, payload, owner);
    }
    if (err != 0) {
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
        return err;
    }
    if (s->req != NULL) {
        s->req->body_out += head.len + payload.len;
    }
    h2->busy++; /* so that the stream stays */
    h2_out_resume(s);
    h2_offer(h2);
    h2_release(h2);
    return 0;
}

bool
h2_tunnel_is_full(const H2Stream *s)
{
    return s->over_high;
}

bool
h2_tunnel_is_moving(const H2Stream *s)
{
    return s->queued != 0;
}

NetAddr
h2_tunnel_peer(const H2Stream *s)
{
    return s->req->peer;
}

uint64_t
h2_tunnel_now(const H2Stream *s)
{
    return h2_now(s->h2);
}

/* ---- The end ----------------------------------------------------------------------------- */

void
h2_tunnel_release(H2Stream *s)
{
    s->tunnel = NULL;
}

void
h2_tunnel_end(H2Stream *s)
{
    s->ended_out = true;
    s->unread_left = 0; /* RST_STREAM follows the end, unless the client's has come */
    h2_out_resume(s);
    h2_exchange_drop(s);
}

void
h2_tunnel_abort(H2Stream *s)
{
    h2_stream_reset(s, NGHTTP2_CANCEL);
    h2_exchange_drop(s);
}

void
h2_tunnel_drop(H2Stream *s)
{
    void *tunnel = s->tunnel;
    if (tunnel != NULL) {
        s->tunnel_ops->drop(tunnel);
        s->tunnel = NULL;
    }
}

void
h2_tunnel_log(H2Stream *s)
{
    HttpRequest *req = s->req;
    req->server->stats.websockets--;
    exchange_log_request(req, req->status, req->body_out, s->received);
}

void
h2_tunnels_drain(H2Conn *h2)
{
    h2->busy++; /* so that the streams stay */
    for (Ring *link = h2->streams.next; link != &h2->streams; link = link->next) {
        H2Stream *s = container_of(link, H2Stream, all);
        if (s->tunnel != NULL) {
            s->tunnel_ops->drain(s->tunnel);
        }
    }
    h2_release(h2);
}
