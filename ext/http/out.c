/* Gathering and writing bytes (see out.h). They are appended to the server's buffer and handed to the
 * stream in as few calls as the order of responses allows. The loop's thread.
 *
 * The buffer holds, in this order: the parked parts; what the gathering connection has gathered so
 * far; what is being appended right now.
 */
#include "base/py.h"

#include "http/out.h"

#include <uv.h>

enum {
    GATHER_MAX = 64 * 1024, /* bytes: more than this is written at once */
    OUT_KEEP = 256 * 1024,  /* bytes of memory kept when the buffer is empty */
};

/* How long finished responses are held back so that those of one iteration go out together. Their reader,
 * most likely a proxy on this machine, then wakes once for all of them. Less than WATCH_NS, so that the
 * thread of watch.h is needed only when a handler takes long. */
static const uint64_t TOGETHER_NS = WATCH_NS - 20000;

static Slice
out_slice(const HttpServer *server, size_t from, size_t to)
{
    return slice_of(server->out.ptr + from, to - from);
}

/* Drops the buffer's bytes from `mark` on. */
static void
out_cut(HttpServer *server, size_t mark)
{
    server->out.len = mark;
    if (mark == 0) {
        buf_reset(&server->out, OUT_KEEP);
    }
}

/* The thread of watch.h may write the parked parts until the buffer is touched again. */
static void
out_lend(HttpServer *server)
{
    if (server->nparts != 0) {
        watch_lend(&server->watch, server->parked_at + WATCH_NS);
    }
}

/* ---- Parked bytes ------------------------------------------------------------------------- */

/* Writes the connection's part, if it has one. */
static void
part_write(HttpConn *c)
{
    if (c->parked == 0) {
        return;
    }
    HttpServer *server = c->server;
    OutPart *part = &server->parts[c->parked - 1];
    part->conn = NULL;
    c->parked = 0;
    Slice bytes = out_slice(server, part->from, part->to);
    if (bytes.len == 0) {
        return; /* the thread has written it */
    }
    conn_note_sent(c, bytes.len);
    if (stream_write(&c->stream, bytes) != 0) {
        conn_break(c);
    } else if (c->stream.queued != 0) {
        conn_settle_later(c);
    }
}

/* The parked part of `c` if it is the last part and ends at `mark`, so that bytes from `mark` on can be
 * joined to it; otherwise NULL. */
static OutPart *
part_before(const HttpConn *c, size_t mark)
{
    HttpServer *server = c->server;
    OutPart *part = c->parked == 0 ? NULL : &server->parts[c->parked - 1];
    bool other = server->gather != NULL && server->gather != c;
    bool last = part != NULL && c->parked == server->nparts && part->to == mark;
    return last && !other ? part : NULL;
}

/* Prepares for writing the bytes of `c` from `mark` on. If its parked part lies right before them, the
 * two are joined; otherwise the part is written first. Returns where the bytes to write begin. */
static size_t
part_take(HttpConn *c, size_t mark)
{
    OutPart *part = part_before(c, mark);
    if (part == NULL) {
        part_write(c);
        return mark;
    }
    c->parked = 0;
    c->server->nparts--;
    return part->from;
}

void
out_settle_sent(HttpServer *server)
{
    for (unsigned i = 0; i < server->nparts; i++) {
        OutPart *part = &server->parts[i];
        HttpConn *c = part->conn;
        if (c != NULL) {
            part->from += part->sent;
            conn_note_sent(c, part->sent);
            part->sent = 0;
            part_write(c); /* the bytes that the kernel didn't take from the thread */
        }
    }
}

void
out_write_parked(HttpServer *server)
{
    assert(server->gather == NULL);
    watch_nothing_due(
        &server->watch); /* first, so that the thread doesn't wait for us */
    watch_rest(server);
    out_take_back(server);
    for (unsigned i = 0; i < server->nparts; i++) {
        if (server->parts[i].conn != NULL) {
            part_write(server->parts[i].conn);
        }
    }
    server->nparts = 0;
    out_cut(server, 0);
}

/* The connection's descriptor; -1 when it has none. */
static int
conn_socket(const HttpConn *c)
{
    uv_os_fd_t fd;
    return uv_fileno(&c->stream.uv.handle, &fd) == 0 ? fd : -1;
}

/* Whether the parked parts have waited for as long as they may, or will have when the next response is
 * parked, if that takes as long as this one. */
static bool
out_is_time(HttpServer *server, uint64_t now)
{
    uint64_t next = now + (now - server->parked_last);
    server->parked_last = now;
    return next - server->parked_at > TOGETHER_NS;
}

/* Parks the bytes from `mark` on, to be written together with those of other connections. */
static void
out_park(HttpConn *c, size_t mark)
{
    HttpServer *server = c->server;
    size_t end = server->out.len;
    uint64_t now = loop_now_ns();
    OutPart *part = part_before(c, mark);
    if (part == NULL) {
        part_write(c);
        part = &server->parts[server->nparts++];
        *part = (OutPart){.conn = c, .from = mark, .fd = conn_socket(c)};
        c->parked = server->nparts;
        if (server->nparts == 1) {
            server->parked_at = server->parked_last = now;
        }
    }
    part->to = end;
    server->batch++;
    if (server->nparts == OUT_PARTS || end > GATHER_MAX || out_is_time(server, now)) {
        out_write_parked(server);
        return;
    }
    if (server->nparts > 1 || server->due) {
        watch_wake(server);
    }
}

/* ---- Writing ------------------------------------------------------------------------------ */

/* Writes and drops the buffer's bytes from `mark` on. */
static void
out_write(HttpConn *c, size_t mark)
{
    HttpServer *server = c->server;
    size_t from = part_take(c, mark);
    Slice bytes = out_slice(server, from, server->out.len);
    if (bytes.len == 0) {
        return;
    }
    conn_note_sent(c, bytes.len);
    int err = stream_write(&c->stream, bytes);
    out_cut(server, from);
    if (err != 0) {
        conn_break(c);
    }
}

/* Parks or writes the bytes from `mark` on. */
static void
out_leave(HttpConn *c, size_t mark)
{
    HttpServer *server = c->server;
    if (server->out.len == mark) {
        return;
    }
    bool may_park = server->parking && server->secure == NULL && !server->watch.broken;
    if (may_park && server->gather == NULL && c->state != CONN_CLOSING
        && c->stream.queued == 0) {
        out_park(c, mark);
    } else {
        out_write(c, mark);
    }
}

void
out_end(HttpConn *c, size_t mark)
{
    HttpServer *server = c->server;
    if (server->gather != c) {
        out_leave(c, mark);
    } else if (server->out.len - server->gather_from > GATHER_MAX) {
        out_flush(c);
    }
    out_lend(server);
}

void
out_end_with(HttpConn *c, size_t mark, Slice body, Slice tail, PyObject *owner)
{
    HttpServer *server = c->server;
    size_t from = part_take(c, server->gather == c ? server->gather_from : mark);
    Slice slices[3] = {out_slice(server, from, server->out.len), body, tail};
    conn_note_sent(c, slices[0].len + body.len + tail.len);
    int err = stream_writev(&c->stream, slices, tail.len != 0 ? 3 : 2, owner);
    out_cut(server, from);
    if (server->gather == c) {
        server->gather_from = from;
    }
    if (err != 0) {
        conn_break(c);
    }
    out_lend(server);
}

/* ---- Gathering ---------------------------------------------------------------------------- */

void
out_gather(HttpConn *c)
{
    HttpServer *server = c->server;
    out_take_back(server);
    assert(server->gather == NULL);
    server->gather = c;
    server->gather_from = server->out.len;
    out_lend(server);
}

void
out_release(HttpConn *c)
{
    HttpServer *server = c->server;
    out_take_back(server);
    assert(server->gather == c);
    server->gather = NULL;
    out_leave(c, server->gather_from);
    out_lend(server);
}

/* Whether what is parked will most likely have no company in this iteration. Then a timer would be dearer
 * than to write it. */
static bool
out_is_alone(const HttpServer *server)
{
    return server->batch == 1 && server->last_batch <= 1;
}

void
out_offer(HttpConn *c)
{
    HttpServer *server = c->server;
    if (server->batching) {
        return; /* more follows at once */
    }
    out_take_back(server);
    bool gathers = server->gather == c;
    if (gathers) {
        server->gather = NULL;
        out_leave(c, server->gather_from);
    }
    if (gathers && out_is_alone(server)) {
        out_write_parked(server);
    }
    if (server->nparts != 0) {
        watch_wake(server);
    }
    if (gathers) {
        server->gather = c;
        server->gather_from = server->out.len;
    }
    out_lend(server);
}

void
out_flush(HttpConn *c)
{
    HttpServer *server = c->server;
    out_take_back(server);
    if (server->gather == c) {
        out_write(c, server->gather_from);
        server->gather_from = server->out.len;
    } else {
        part_write(c);
    }
    out_lend(server);
}

void
out_discard(HttpConn *c)
{
    HttpServer *server = c->server;
    out_take_back(server);
    if (c->parked != 0) {
        server->parts[c->parked - 1].conn = NULL;
        c->parked = 0;
    }
    if (server->gather == c) {
        server->out.len = server->gather_from;
    }
    out_lend(server);
}
