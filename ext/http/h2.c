/* One HTTP/2 connection as a whole (see h2_conn.h): bytes pass to nghttp2 and what it has to say passes to
 * the stream, in h2_read alone. Everything else submits frames and calls h2_wake. The HttpConn manages
 * reading, writing and closing, as it does for WebSockets: through UpgradeOps. The loop's thread.
 */
#include "base/py.h"

#include "http/h2_conn.h"

#include "base/probe.h"
#include "http/out.h"

enum {
    H2_ROUNDS = 8, /* how often one read is followed by writing what that has caused */
    H2_TOGETHER = 48 * 1024, /* bytes of frames: more are another write */
};

uint64_t
h2_now(const H2Conn *h2)
{
    return uv_now(h2->conn->stream.uv.handle.loop);
}

void
h2_wake(H2Conn *h2)
{
    HttpConn *c = h2->conn;
    h2->again = h2->unsent = true;
    if (c != NULL && h2->busy == 0 && c->state == CONN_UPGRADED) {
        c->held = true;
        conn_settle_later(c);
    }
}

void
h2_refuse(H2Conn *h2, uint32_t error, const char *detail, const char *limit)
{
    if (!h2->refused) {
        h2->refused = true;
        h2->error = error;
        h2->detail = detail;
        h2->limit = limit;
        h2_wake(h2);
    }
}

/* ---- Bytes in and out -------------------------------------------------------------------- */

/* Passes on what the last frame has completed. */
static void
h2_hand_over(H2Conn *h2)
{
    H2Stream *s = h2->came;
    h2->came = NULL;
    if (s == NULL || h2->conn == NULL || h2->refused) {
        return;
    }
    h2_offer(
        h2); /* responses to earlier requests mustn't wait for this one's handler */
    if (h2->came_head && h2->conn != NULL) {
        h2_exchange_head(s);
    }
    if (h2->came_end && h2->conn != NULL) {
        h2_exchange_end(s);
    } else if (s->connect && h2->conn != NULL) {
        h2_tunnel_flow(s);
    }
}

/* Passes bytes of at most one frame to nghttp2, which calls back. */
static void
h2_feed_some(H2Conn *h2, const char *ptr, size_t len)
{
    if (len == 0 || h2->conn == NULL || h2->refused) {
        return;
    }
    h2->in_nghttp2 = true;
    ssize_t used = nghttp2_session_mem_recv(h2->session, (const uint8_t *)ptr, len);
    h2->in_nghttp2 = false;
    h2_streams_leave(h2);
    h2_hand_over(h2);
    if (used >= 0 || h2->conn == NULL) {
        return;
    }
    bool flood = used == NGHTTP2_ERR_FLOODED;
    h2_refuse(h2,
              flood                                  ? NGHTTP2_ENHANCE_YOUR_CALM
              : used == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? NGHTTP2_PROTOCOL_ERROR
                                                     : NGHTTP2_INTERNAL_ERROR,
              flood ? H2_UNREAD : NULL, NULL);
}

/* Passes bytes to nghttp2 frame by frame: whether a frame may come depends on those before it. */
static void
h2_feed(H2Conn *h2, const char *ptr, size_t len)
{
    size_t fed = 0, at = 0;
    while (at < len) {
        bool whole = false;
        size_t used = h2_frame_read(&h2->frame, slice_of(ptr + at, len - at), &whole);
        if (!whole) {
            at += used;
            continue;
        }
        h2_feed_some(h2, ptr + fed, at - fed);
        fed = at;
        at += used;
        if (h2->conn == NULL || h2->refused || !h2_guard_frame(h2, &h2->frame)) {
            return;
        }
    }
    h2_feed_some(h2, ptr + fed, len - fed);
    if (h2_frame_ends_head(&h2->frame)) {
        h2->head_at = 0; /* though nghttp2 may have dropped it, and called nothing */
    }
}

/* Names the last stream, once what has arrived has been read: it may open some. */
static void
h2_submit_goaway(H2Conn *h2)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(h2->session);
    h2->goaway_due = false;
    if (nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR,
                              NULL, 0)
        != 0) {
        h2_refuse(h2, NGHTTP2_INTERNAL_ERROR, NULL, NULL);
    }
}

/* Appends what nghttp2 has to send to the server's buffer: frames of responses by itself, those of bodies by
 * h2_out_send_data. False: there is no more, or no more may be. */
static bool
h2_pump_some(H2Conn *h2, HttpConn *c)
{
    Buf *out = &c->server->out;
    size_t mark = out_begin(c);
    ssize_t len;
    h2->in_nghttp2 = true;
    do {
        const uint8_t *data;
        len = nghttp2_session_mem_send(h2->session, &data);
        if (len > 0 && buf_append(out, (const char *)data, (size_t)len) != 0) {
            conn_break(c);
            break;
        }
    } while (len > 0 && out->len - mark < H2_TOGETHER);
    h2->in_nghttp2 = false;
    out_end(c, mark);
    if (len < 0) {
        h2_refuse(h2, NGHTTP2_INTERNAL_ERROR, NULL, NULL);
    }
    return len > 0;
}

/* Passes on what nghttp2 has to send, as far as the client takes it. */
static void
h2_pump(H2Conn *h2)
{
    bool more = true;
    h2->unsent = false;
    while (more) {
        HttpConn *c = h2->conn;
        more = c != NULL && !h2->refused && !c->broken && !c->stream.over_high
               && h2_pump_some(h2, c);
    }
}

void
h2_offer(H2Conn *h2)
{
    HttpConn *c = h2->conn;
    if (!h2->unsent || c == NULL || h2->in_nghttp2 || c->upgraded != h2
        || c->state != CONN_UPGRADED) {
        return;
    }
    HttpServer *server = c->server;
    bool parking = server->parking;
    /* Callbacks run, after which the hook writes what is parked, also in an iteration without input. */
    server->parking = parking || (server->due && !loop_is_crowded(server->loop));
    h2->busy++;
    h2_pump(h2);
    server->parking = parking;
    if (h2->conn != NULL) {
        out_offer(c);
    }
    h2_release(h2); /* the rest of the turn comes later */
}

/* Tells the writers of streams for which there is room again. */
static void
h2_tell_writable(H2Conn *h2)
{
    while (h2->conn != NULL && !ring_is_empty(&h2->writable)) {
        H2Stream *s = container_of(h2->writable.next, H2Stream, writable);
        ring_remove(&s->writable);
        HttpRequest *req = s->req;
        if (s->tunnel != NULL) {
            s->tunnel_ops->drained(s->tunnel);
        } else if (req != NULL && req->told) {
            http_request_ref(req);
            req->server->ops->on_writable(req);
            http_request_unref(req);
        }
    }
}

/* Passes on the bytes of bodies that have waited for http_body_resume. */
static void
h2_flow(H2Conn *h2)
{
    h2->resumed = false;
    Ring *link = h2->streams.next;
    while (h2->conn != NULL && link != &h2->streams) {
        H2Stream *s = container_of(link, H2Stream, all);
        link = link->next; /* none leaves the ring while `busy` */
        h2_exchange_flow(s);
    }
}

/* One turn: what has waited goes to the upper layer, and what that submits to the client. */
static void
h2_turn(H2Conn *h2)
{
    for (int i = 0; i < H2_ROUNDS && h2->again && h2->conn != NULL; i++) {
        h2->again = false;
        h2_streams_leave(h2); /* those that were closed by a write */
        if (h2->resumed) {
            h2_flow(h2);
        }
        if (h2->goaway_due && h2->conn != NULL && !h2->refused) {
            h2_submit_goaway(h2);
        }
        h2_pump(h2);
        h2_streams_leave(h2);
        h2_out_release(h2);
        h2_tell_writable(h2);
    }
}

/* UpgradeOps.read; with `len` 0 after h2_wake. */
static size_t
h2_read(HttpConn *c, char *ptr, size_t len)
{
    H2Conn *h2 = c->upgraded;
    h2->busy++;
    if (len != 0) {
        h2_feed(h2, ptr, len);
    }
    h2->again = true;
    h2_turn(h2);
    if (--h2->busy == 0) {
        h2_bury(h2);
    }
    if (h2->conn == NULL) {
        if (h2->busy == 0) {
            h2_free(h2);
        }
    } else if (h2->refused) {
        h2_fail(h2);
    } else if (nghttp2_session_want_read(h2->session) == 0
               && nghttp2_session_want_write(h2->session) == 0) {
        h2_finish(h2);
    } else if (h2->again || h2->yielded) {
        c->held = c->yielded = true; /* the others' turn; conn_resume continues */
    }
    return len;
}

void
h2_offer_conn(HttpConn *c)
{
    if (c->upgraded != NULL) {
        h2_offer(c->upgraded);
    }
}

/* ---- UpgradeOps -------------------------------------------------------------------------- */

static void
h2_next_turn(HttpConn *c)
{
    H2Conn *h2 = c->upgraded;
    if (h2->yielded) {
        h2_tunnels_go_on(h2);
    }
}

static bool
h2_is_blocked(const HttpConn *c)
{
    (void)c;
    return false;
}

/* A client that closes its side expects nothing more: HTTP/2 has no half-closed connections. */
static void
h2_eof(HttpConn *c)
{
    conn_close(c, true);
}

static void
h2_drained(HttpConn *c)
{
    h2_wake(c->upgraded);
}

/* Says that the connection will end. Requests that are on their way are served until the client has
 * answered the ping, so that it has read the GOAWAY (RFC 9113 section 6.8), or H2_LOOK has passed. */
static void
h2_drain(HttpConn *c)
{
    static const uint8_t ping[8] = {'d', 'r', 'a', 'i', 'n', 'i', 'n', 'g'};
    H2Conn *h2 = c->upgraded;
    if (!h2->draining) {
        h2->draining = true;
        h2->drain_at = h2_now(h2);
        (void)nghttp2_submit_shutdown_notice(h2->session);
        (void)nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, ping);
        h2_wake(h2);
        h2_tunnels_drain(h2);
    }
}

void
h2_last_goaway(H2Conn *h2)
{
    if (!h2->last_goaway) {
        h2->last_goaway = h2->goaway_due = true;
        h2_wake(h2);
    }
}

static DeadlineKind
h2_deadline(const HttpConn *c)
{
    const H2Conn *h2 = c->upgraded;
    bool busy =
        h2->nstreams != 0 || h2->head_at != 0 || c->stream.queued != 0 || h2->draining;
    return busy ? DEADLINE_H2_LOOK : DEADLINE_H2_IDLE;
}

static void
h2_expired(HttpConn *c, DeadlineKind kind)
{
    H2Conn *h2 = c->upgraded;
    if (kind == DEADLINE_H2_IDLE) {
        h2_last_goaway(h2);
    } else {
        h2_guard_look(h2);
    }
}

static const UpgradeOps h2_upgrade_ops = {
    .read = h2_read,
    .next_turn = h2_next_turn,
    .is_blocked = h2_is_blocked,
    .eof = h2_eof,
    .drop = h2_drop,
    .drained = h2_drained,
    .drain = h2_drain,
    .deadline = h2_deadline,
    .expired = h2_expired,
};

bool
h2_is_spoken(const HttpConn *c)
{
    return c->state == CONN_UPGRADED && c->upgrade == &h2_upgrade_ops;
}

/* ---- The beginning ----------------------------------------------------------------------- */

void
h2_begin(HttpConn *c, bool prefaced)
{
    exchange_drop(c); /* what the preface looked like */
    H2Conn *h2 = h2_new(c->server);
    if (h2 == NULL) {
        conn_close(c, false);
        return;
    }
    h2->conn = c;
    c->upgrade = &h2_upgrade_ops;
    c->upgraded = h2;
    h2->head_at = h2_now(h2); /* the client's SETTINGS are due */
    conn_set_state(c, CONN_UPGRADED);
    if (prefaced) {
        h2_feed_some(h2, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    } else {
        h2->frame.skip = NGHTTP2_CLIENT_MAGIC_LEN;
    }
    if (c->server->state != SERVER_RUNNING) {
        h2_drain(c);
    }
    h2_wake(h2);
}
