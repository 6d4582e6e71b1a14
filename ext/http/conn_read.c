/* The bytes that a connection receives (see conn.h): they are parsed as far as its state allows, and the rest is
 * kept until the response before it is out. Runs on the loop's thread with the GIL.
 */
#include "base/py.h"

#include "http/conn.h"

#include "http/out.h"
#include "net/server_tls_link.h"

#include <uv.h>

bool
conn_is_blocked(const HttpConn *c)
{
    if (c->broken || c->stream.failed || c->yielded) {
        return true;
    }
    switch (c->state) {
    case CONN_IDLE: /* no further request from a client that doesn't read the responses */
        return c->stream.over_high;
    case CONN_HEAD:
        return false;
    case CONN_BODY:
        return c->paused;
    case CONN_UPGRADED:
        return c->upgrade->is_blocked(c);
    case CONN_RESPONSE:
    case CONN_LINGER:
    case CONN_CLOSING:
        return true;
    }
    Py_UNREACHABLE();
}

/* Gives bytes to the protocol of an upgraded connection, and counts those that it uses. They are counted before,
 * since the exchange may be over, and logged, when it returns. */
static size_t
conn_read_upgraded(HttpConn *c, char *ptr, size_t len)
{
    c->body_received += len;
    size_t used = c->upgrade->read(c, ptr, len);
    if (c->state == CONN_UPGRADED) {
        c->body_received -= len - used;
    }
    return used;
}

/* Parses as far as the state allows, and writes what this produced. Returns the number of bytes used.
 * A WebSocket may have changed the bytes. */
static size_t
conn_parse(HttpConn *c, Slice data)
{
    size_t used = 0;
    out_gather(c);
    while ((used < data.len || c->held) && !conn_is_blocked(c)) {
        c->held = false;
        if (c->state == CONN_UPGRADED) {
            used += conn_read_upgraded(c, (char *)data.ptr + used, data.len - used);
            continue;
        }
        used += h1_parse(c, data.ptr + used, data.len - used);
        exchange_advance(c);
    }
    exchange_continue(c);
    out_release(c);
    return used;
}

/* Keeps bytes for later. Bytes before kept_from are dropped when they are the larger part. */
static void
conn_keep(HttpConn *c, Slice data)
{
    if (c->kept_from > c->kept.len / 2) {
        buf_consume(&c->kept, c->kept_from);
        c->kept_from = 0;
    }
    if (buf_append_slice(&c->kept, data) != 0) {
        conn_close(c, false);
    }
}

void
conn_free_kept(HttpConn *c)
{
    buf_free(&c->kept);
    c->kept_from = 0;
}

void
conn_resume(HttpConn *c)
{
    if (c->broken) {
        conn_close(c, false);
        return;
    }
    if (c->yielded) {
        c->yielded = false;
        c->upgrade->next_turn(c);
    }
    Buf kept = c->kept;
    size_t from = c->kept_from;
    c->kept = (Buf){NULL, 0, 0};
    c->kept_from = 0;
    /* llhttp keeps an open span as a pointer into its input. Given NULL it would lose a span that
     * continues in the next bytes, so it gets an empty string. */
    Slice rest = kept.ptr == NULL ? SLICE("") : buf_slice(&kept);
    from += conn_parse(c, slice_of(rest.ptr + from, rest.len - from));
    if (from < kept.len && c->state < CONN_LINGER) {
        c->kept = kept;
        c->kept_from = from;
    } else {
        buf_free(&kept);
    }
    conn_settle(c);
}

static void
conn_linger_data(HttpConn *c, size_t len)
{
    c->body_received += len;
    bool late = c->linger_end != 0 && uv_now(c->stream.uv.handle.loop) >= c->linger_end;
    if (late || limit_exceeded(c->server->limits.linger_bytes, c->body_received)) {
        conn_close(c, true);
    }
}

/* Bytes of the PROXY protocol have arrived. When its header is complete, TLS begins, or the request. */
static void
conn_read_greeting(HttpConn *c, Slice data)
{
    Buf rest = {NULL, 0, 0};
    if (!greeting_data(c, data, &rest)) {
        conn_settle(c);
        return;
    }
    SecureHost *secure = c->server->secure;
    SecureLink *link = secure == NULL ? NULL : secure_link_new(secure);
    if (secure != NULL && link == NULL) {
        conn_close(c, false);
    } else if (link != NULL) {
        stream_read_stop(&c->stream);
        stream_secure(&c->stream, link);
        conn_settle(c);
        stream_secure_feed(&c->stream, buf_slice(&rest));
    } else if (rest.len != 0) {
        conn_read(c, buf_slice(&rest));
    } else {
        conn_settle(c);
    }
    buf_free(&rest);
}

void
conn_read(HttpConn *c, Slice data)
{
    if (unlikely(c->greeting != NULL)) {
        conn_read_greeting(c, data);
        return;
    }
    c->server->parking = !loop_is_crowded(c->server->loop);
    c->server->stats.received += data.len;
    if (c->state == CONN_LINGER) {
        conn_linger_data(c, data.len);
    } else if (c->state != CONN_CLOSING) {
        if (likely(conn_kept(c) == 0)) {
            size_t used = conn_parse(c, data);
            data = slice_of(data.ptr + used, data.len - used);
        }
        if (data.len != 0 && c->state < CONN_LINGER) {
            conn_keep(c, data);
        }
    }
    conn_settle(c);
}
