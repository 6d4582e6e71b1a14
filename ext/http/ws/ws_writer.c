/* Messages and control frames to bytes: header and payload leave in one write. Servers don't mask
 * (RFC 6455 section 5.1), so a payload is sent unchanged. It is copied only when that is cheaper than
 * passing another buffer to the kernel. The loop's thread.
 */
#include "base/py.h"

#include "http/h2.h"
#include "http/out.h"
#include "http/ws/ws_conn.h"

#include <uv.h>

enum { COPY_MAX = 16 * 1024 }; /* bytes: a longer payload isn't copied */

/* After a write: if bytes are queued, sets the deadline by which the client must take some. */
static void
writer_settle(HttpConn *c)
{
    if (c->stream.queued != 0 && c->server->gather != c) {
        conn_settle(c);
    }
}

/* Writes a frame whose payload is copied. */
static int
writer_write_copied(HttpConn *c, WsOpcode opcode, Slice payload)
{
    Buf *out = &c->server->out;
    size_t mark = out_begin(c);
    int err = buf_reserve(out, WS_HEAD_SENT_MAX + payload.len);
    if (err != 0) {
        return err;
    }
    out->len += ws_frame_write(out->ptr + out->len, opcode, false, payload.len);
    (void)buf_append_slice(out, payload);
    out_end(c, mark);
    return 0;
}

static int
writer_write_shared(HttpConn *c, WsOpcode opcode, Slice payload, PyObject *owner)
{
    Buf *out = &c->server->out;
    size_t mark = out_begin(c);
    int err = buf_reserve(out, WS_HEAD_SENT_MAX);
    if (err != 0) {
        return err;
    }
    out->len += ws_frame_write(out->ptr + out->len, opcode, false, payload.len);
    out_end_with(c, mark, payload, slice_of("", 0), owner);
    return 0;
}

/* Leaves room for the longest header, compresses after it, and then joins header and payload. */
static int
writer_write_compressed(WsConn *ws, WsOpcode opcode, Slice payload)
{
    HttpConn *c = ws->conn;
    Buf *out = &c->server->out;
    size_t mark = out_begin(c);
    int err = buf_reserve(out, WS_HEAD_SENT_MAX);
    if (err != 0) {
        return err;
    }
    size_t from = out->len + WS_HEAD_SENT_MAX;
    out->len = from;
    err = ws_deflate_message(&ws->deflate, payload, out);
    if (err != 0) {
        out->len = mark;
        return err;
    }
    size_t len = out->len - from;
    size_t head = ws_frame_write(out->ptr + mark, opcode, true, len);
    memmove(out->ptr + mark + head, out->ptr + from, len);
    out->len = mark + head + len;
    out_end(c, mark);
    return 0;
}

/* The same on a stream of HTTP/2. */
static int
writer_write_stream(WsConn *ws, WsOpcode opcode, bool compressed, Slice payload,
                    PyObject *owner)
{
    char head[WS_HEAD_SENT_MAX];
    size_t len = ws_frame_write(head, opcode, compressed, payload.len);
    return h2_tunnel_write(ws->stream, slice_of(head, len), payload, owner);
}

static int
writer_deflate_stream(WsConn *ws, WsOpcode opcode, Slice payload)
{
    Buf out = {NULL, 0, 0};
    int err = ws_deflate_message(&ws->deflate, payload, &out);
    if (err == 0) {
        err = writer_write_stream(ws, opcode, true, buf_slice(&out), NULL);
    }
    buf_free(&out);
    return err;
}

static bool
is_compressed(const WsConn *ws, size_t len)
{
    return ws->deflate.params.on && len != 0
           && len >= ws_limits(ws)->ws_deflate_threshold;
}

static int
writer_send_message(WsConn *ws, WsOpcode opcode, Slice data, PyObject *owner)
{
    HttpConn *c = ws->conn;
    int err;
    if (ws->state != WS_OPEN) {
        return UV_ECANCELED;
    }
    if (ws->stream != NULL) {
        return is_compressed(ws, data.len)
                   ? writer_deflate_stream(ws, opcode, data)
                   : writer_write_stream(ws, opcode, false, data, owner);
    }
    if (c->broken) {
        return UV_ECONNRESET;
    }
    if (is_compressed(ws, data.len)) {
        err = writer_write_compressed(ws, opcode, data);
    } else if (data.len <= COPY_MAX || owner == NULL) {
        err = writer_write_copied(c, opcode, data);
    } else {
        err = writer_write_shared(c, opcode, data, owner);
    }
    if (err != 0) {
        conn_break(c);
        return err;
    }
    if (c->server->gather == c) { /* the handler runs while its input is parsed */
        out_offer(c);
    }
    writer_settle(c);
    return 0;
}

int
ws_send_text(WsConn *ws, Slice data, PyObject *owner)
{
    return writer_send_message(ws, WS_OP_TEXT, data, owner);
}

int
ws_send_binary(WsConn *ws, Slice data, PyObject *owner)
{
    return writer_send_message(ws, WS_OP_BINARY, data, owner);
}

void
ws_write_control(WsConn *ws, WsOpcode opcode, Slice payload)
{
    assert(payload.len <= WS_CONTROL_MAX);
    if (ws->stream != NULL) {
        (void)writer_write_stream(ws, opcode, false, payload, NULL);
    } else if (!ws->conn->broken
               && writer_write_copied(ws->conn, opcode, payload) != 0) {
        conn_break(ws->conn);
    }
}

bool
ws_is_full(const WsConn *ws)
{
    return ws->stream != NULL ? h2_tunnel_is_full(ws->stream)
                              : ws->conn->stream.over_high;
}
