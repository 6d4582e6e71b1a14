/* A client that has sent FIN (or close_notify) while a response is still to come. Most such clients
 * have left; others still read (shutdown(SHUT_WR), `nc -N`). The two look the same until something is
 * written: a client that has left replies with a reset, which stream_watch notices.
 *
 * So the response continues. While it has no bytes to send, a probe is written that has no meaning: a
 * zero before the size of the next chunk (RFC 9112 section 7.1: a size may have leading zeros). Where
 * no probe can be written, a client counts as gone after a time of silence. See ADR 18. The loop's
 * thread.
 */
#include "base/py.h"

#include "http/conn.h"
#include "http/out.h"

enum {
    PROBES_MAX = 8, /* zeros before a chunk's size; clients accept at least 16 digits */
};

/* Whether a probe can be written: between two chunks, while nothing else writes to the socket. */
static bool
probe_fits(const HttpConn *c)
{
    const HttpRequest *req = c->req;
    return c->state == CONN_RESPONSE && req->response == HTTP_RESPONSE_STREAMING
           && req->chunked && !req->bodyless && c->probes < PROBES_MAX && !c->lent
           && !c->broken;
}

static void
probe_write(HttpConn *c)
{
    size_t mark = out_begin(c);
    if (buf_append(&c->server->out, "0", 1) != 0) {
        conn_break(c);
        return;
    }
    c->probes++;
    out_end(c, mark);
}

/* Whether a probe can be written and is proof enough. With TLS it isn't: a client may send close_notify
 * when it leaves, long before its socket is closed and the probe causes a reset. */
static bool
probe_suffices(const HttpConn *c)
{
    return probe_fits(c) && !c->req->secure;
}

static bool
is_owed(const HttpConn *c)
{
    return c->req != NULL && c->req->told && c->req->response != HTTP_RESPONSE_DONE;
}

void
half_closed(HttpConn *c)
{
    HttpRequest *req = c->req;
    if (!is_owed(c)) {
        return;
    }
    stream_watch(&c->stream);
    req->eof = true;
    if (c->server->ops->on_eof != NULL) {
        http_request_ref(req);
        c->server->ops->on_eof(req);
        http_request_unref(req);
    }
    /* Bytes that are about to be written serve as well as a probe. */
    bool waits = c->parked != 0 || c->stream.queued != 0 || c->server->gather == c;
    if (c->req == req && !waits && probe_fits(c)) {
        probe_write(c);
    }
}

static void
half_tell_left(HttpConn *c, bool for_long)
{
    HttpRequest *req = c->req;
    c->left = true;
    req->left = true;
    if (c->server->ops->on_left != NULL) {
        http_request_ref(req);
        c->server->ops->on_left(req, for_long);
        http_request_unref(req);
    }
}

/* The layer above keeps its response: a handler that is about to complete it must see no error. A handler that only
 * waits gives up. One that writes more learns of the reset from the write. */
void
half_reset(HttpConn *c)
{
    if (is_owed(c)) {
        half_tell_left(c, true);
    }
}

/* Whether it is time for another probe: after 1, 4, 16, 64 … times HALF_CLOSED_LOOK. */
static bool
probe_is_due(uint32_t before, uint32_t silent)
{
    for (uint64_t due = 1; due <= silent; due *= 4) {
        if (due > before) {
            return true;
        }
    }
    return false;
}

/* HALF_CLOSED_LOOK or more has passed without a byte of the response. A Unix socket needs no probe: it
 * reports at once that its peer has closed. */
static void
half_silent(HttpConn *c)
{
    if (c->silent == 0) {
        c->silent_since = c->deadline.since;
    }
    uint32_t before = c->silent;
    uint64_t silence = uv_now(c->stream.uv.handle.loop) - c->silent_since;
    c->silent = (uint32_t)(silence / HALF_CLOSED_LOOK);
    uint32_t limit = c->server->limits.half_closed;
    bool for_long = limit != 0 && silence >= limit;
    if (c->stream.uv.handle.type == UV_NAMED_PIPE && !c->req->secure) {
        return;
    }
    if (probe_suffices(c)) {
        if (probe_is_due(before, c->silent)) {
            probe_write(c);
        }
    } else if (for_long || c->req->response == HTTP_RESPONSE_NONE) {
        half_tell_left(c, for_long);
    }
}

void
half_expired(HttpConn *c, bool moved)
{
    if (!is_owed(c)) {
        return;
    }
    if (moved) {
        c->silent = 0;
    } else {
        half_silent(c);
    }
}
