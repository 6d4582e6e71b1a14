/* Gathering and writing of bytes (see out.h): appended to the server's buffer, handed to the
 * stream in as few calls as the order of answers allows. The loop's thread.
 */
#include "base/py.h"

#include "http/out.h"

enum {
    GATHER_MAX = 64 * 1024, /* bytes: written at once past that */
    OUT_KEEP = 256 * 1024,  /* bytes of memory kept */
};

/* Writes and drops the buffer's bytes from `mark` on. */
static void
out_write(HttpConn *c, size_t mark)
{
    Buf *out = &c->server->out;
    size_t len = out->len - mark;
    if (len == 0) {
        return;
    }
    c->sent += len;
    int err = stream_write(&c->stream, slice_of(out->ptr + mark, len));
    out->len = mark;
    if (mark == 0) {
        buf_reset(out, OUT_KEEP);
    }
    if (err != 0) {
        conn_break(c);
    }
}

void
out_end(HttpConn *c, size_t mark)
{
    const HttpServer *server = c->server;
    if (server->gather != c) {
        out_write(c, mark);
    } else if (server->out.len > GATHER_MAX) {
        out_write(c, 0);
    }
}

void
out_end_with(HttpConn *c, size_t mark, Slice body, Slice tail, PyObject *owner)
{
    HttpServer *server = c->server;
    if (server->gather == c) {
        mark = 0;
    }
    Buf *out = &server->out;
    Slice slices[3] = {{out->ptr + mark, out->len - mark}, body, tail};
    c->sent += slices[0].len + body.len + tail.len;
    int err = stream_writev(&c->stream, slices, tail.len != 0 ? 3 : 2, owner);
    out->len = mark;
    if (err != 0) {
        conn_break(c);
    }
}

void
out_gather(HttpConn *c)
{
    assert(c->server->gather == NULL && c->server->out.len == 0);
    c->server->gather = c;
}

void
out_release(HttpConn *c)
{
    assert(c->server->gather == c);
    out_flush(c);
    c->server->gather = NULL;
}

void
out_flush(HttpConn *c)
{
    if (c->server->gather == c) {
        out_write(c, 0);
    }
}

void
out_discard(HttpConn *c)
{
    if (c->server->gather == c) {
        buf_clear(&c->server->out);
    }
}
