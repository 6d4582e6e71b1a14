/* One HTTP/2 connection as a whole (see h2_conn.h): bytes pass to nghttp2 and what it has to say passes to
 * the stream, in h2_read alone. Everything else submits frames and calls h2_wake. The HttpConn manages
 * reading, writing and closing, as it does for WebSockets: through UpgradeOps. The loop's thread.
 */
#include "base/py.h"

#include "http/h2_conn.h"

#include "base/probe.h"
#include "http/out.h"
#include "net/server_tls_link.h"

#include <openssl/ssl.h>

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

/* ---- The end ----------------------------------------------------------------------------- */

/* Frees the streams that are over. */
static void
h2_bury(H2Conn *h2)
{
    while (h2->dead != NULL) {
        H2Stream *s = h2->dead;
        h2->dead = s->dead;
        ring_remove(&s->all);
        h2_mem_put(h2->mem, s->text); /* nghttp2 sends nothing of it any more */
        h2_mem_put(h2->mem, s);
    }
}

static void
h2_free(H2Conn *h2)
{
    assert(h2->conn == NULL && h2->busy == 0);
    h2->busy++;
    for (Ring *link = h2->streams.next; link != &h2->streams; link = link->next) {
        h2_stream_over(container_of(link, H2Stream, all));
    }
    h2_streams_leave(h2);
    h2_bury(h2);
    nghttp2_session_del(h2->session);
    h2_out_release(h2);
    buf_free(&h2->nv);
    buf_free(&h2->text);
    h2_mem_unref(h2->mem);
    PyMem_RawFree(h2);
}

void
h2_release(H2Conn *h2)
{
    if (--h2->busy != 0) {
        return;
    }
    h2_bury(h2);
    if (h2->conn == NULL) {
        h2_free(h2);
    } else if (h2->again) {
        h2_wake(h2);
    }
}

/* Detaches it from its connection. The exchanges that aren't over end with on_gone. */
static void
h2_drop(HttpConn *c)
{
    H2Conn *h2 = c->upgraded;
    c->upgraded = NULL;
    h2->busy++;
    for (Ring *link = h2->streams.next; link != &h2->streams; link = link->next) {
        h2_exchange_drop(container_of(link, H2Stream, all));
    }
    h2->conn = NULL;
    if (--h2->busy == 0) {
        h2_free(h2);
    }
}

/* Ends the connection: FIN, and what still arrives is dropped for a while. */
static void
h2_finish(H2Conn *h2)
{
    HttpConn *c = h2->conn;
    h2_drop(c);
    if (c->state == CONN_UPGRADED) {
        conn_finish(c);
    }
}

/* Writes GOAWAY by hand: after an error nghttp2 can't be asked to. */
static void
h2_write_goaway(H2Conn *h2)
{
    HttpConn *c = h2->conn;
    uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(h2->session);
    unsigned char frame[17] = {0, 0, 8, NGHTTP2_GOAWAY};
    for (int i = 0; i < 4; i++) {
        frame[9 + i] = (unsigned char)(last >> (24 - 8 * i));
        frame[13 + i] = (unsigned char)(h2->error >> (24 - 8 * i));
    }
    size_t mark = out_begin(c);
    (void)buf_append(&c->server->out, (const char *)frame, sizeof frame);
    out_end(c, mark);
}

/* Ends the connection with GOAWAY. */
static void
h2_fail(H2Conn *h2)
{
    HttpConn *c = h2->conn;
    HttpServer *server = c->server;
    NetAddr peer = c->peer;
    const HttpRefusal refusal = {
        .status = HTTP_REFUSED_H2, .reason = h2->detail, .limit = h2->limit};
    h2_write_goaway(h2);
    h2_finish(h2);
    if (refusal.reason != NULL) {
        server_refused(server, &peer, refusal); /* last, because it runs Python code */
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
        h2_streams_leave(h2); /* closed while somebody wrote */
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

static int
h2_session_new(H2Conn *h2)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int err = h2_in_callbacks(&callbacks);
    if (err == 0) {
        err = h2_in_options(&option);
    }
    if (err == 0) {
        nghttp2_mem mem = h2_mem_for_session(h2->mem);
        err = nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &mem);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return err;
}

static uint32_t
h2_or_most(uint32_t limit, uint32_t most)
{
    return limit == 0 || limit > most ? most : limit;
}

/* Submits our SETTINGS: nghttp2 reads priorities by RFC 9218 once we say so. */
static int
h2_submit_settings(H2Conn *h2, const HttpLimits *limits)
{
    uint32_t window = h2_or_most(limits->h2_window, INT32_MAX);
    uint64_t whole = (uint64_t)window * H2_CONN_WINDOWS;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
         h2_or_most(limits->h2_streams, INT32_MAX)},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
         h2_or_most(limits->header_block, UINT32_MAX)},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
    };
    int err = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
                                      sizeof settings / sizeof *settings);
    if (err == 0) {
        err = nghttp2_session_set_local_window_size(
            h2->session, NGHTTP2_FLAG_NONE, 0,
            (int32_t)(whole > INT32_MAX ? INT32_MAX : whole));
    }
    return err;
}

static H2Conn *
h2_new(HttpServer *server)
{
    if (server->h2_mem == NULL && (server->h2_mem = h2_mem_new()) == NULL) {
        return NULL;
    }
    H2Conn *h2 = PyMem_RawCalloc(1, sizeof(*h2));
    if (h2 == NULL) {
        return NULL;
    }
    ring_init(&h2->streams);
    ring_init(&h2->writable);
    h2->mem = h2_mem_ref(server->h2_mem);
    if (h2_session_new(h2) != 0 || h2_submit_settings(h2, &server->limits) != 0) {
        nghttp2_session_del(h2->session);
        h2_mem_unref(h2->mem);
        PyMem_RawFree(h2);
        return NULL;
    }
    return h2;
}

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

const char *
h2_version(void)
{
    return nghttp2_version(0)->version_str;
}

bool
h2_is_chosen(const HttpConn *c)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    if (c->server->limits.h2 == 0) {
        return false;
    }
    SSL_get0_alpn_selected(c->stream.secure->ssl, &name, &len);
    return slice_eq(slice_of((const char *)name, len), SLICE("h2"));
}
