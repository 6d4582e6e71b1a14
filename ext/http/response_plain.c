/* Responses as they are (see response_plain.h): how one is framed, which part of its body is sent, and
 * whether the connection ends after it. RFC 9112 sections 6 and 9. The loop's thread.
 */
#include "base/py.h"

#include "http/response_plain.h"

#include "base/fmt.h"
#include "base/probe.h"
#include "http/h2.h"
#include "http/out.h"
#include "http/response_head.h"

#include <uv.h>

enum { COPY_MAX = 16 * 1024 }; /* bytes: a longer body isn't copied into the buffer */

/* ---- The decisions ----------------------------------------------------------------------- */

/* Whether more than UNREAD_MAX is left of the request's body: too much to read after the response. */
static bool
unread_is_much(const HttpRequest *req)
{
    if (req->body_complete || !req->has_body) {
        return false;
    }
    int64_t received = (int64_t)req->conn->body_received;
    return req->content_length >= 0 && req->content_length - received > UNREAD_MAX;
}

/* Whether the connection ends after the response. `whole`: the response is complete at once, so the
 * handler will read no more of the body. */
static bool
response_ends_connection(const HttpRequest *req, const HttpHead *head, bool whole)
{
    if (!req->keep_alive || req->server->state != SERVER_RUNNING) {
        return true;
    }
    if (head->fields != NULL && head->fields->close) {
        return true;
    }
    /* The client got no "100 Continue", so it may send the body or leave it out. Where its next request
     * begins can't be known. */
    return (req->expect_continue && !req->body_complete)
           || (whole && unread_is_much(req));
}

/* Adds the plain log's line, or keeps for the formatted one what it says of the head, which begins at `before`
 * in HttpServer.out. */
static void
response_log_head(HttpRequest *req, int status, size_t before)
{
    HttpServer *server = req->server;
    Slice head = slice_of(server->out.ptr + before, server->out.len - before);
    if (server->log.format == NULL) {
        access_log_add(&server->log, &req->peer, req, status);
        return;
    }
    req->rest_out = head.len;
    if (access_format_wants_fields(server->log.format)) {
        const char *line_end = memchr(head.ptr, '\n', head.len);
        size_t from = (size_t)(line_end + 1 - head.ptr);
        (void)buf_append(&req->sent_fields, head.ptr + from,
                         head.len - from); /* or they are missing in the line */
    }
}

/* Appends the head of the response. `more` bytes of its body will follow in the same buffer. */
static int
response_write_head(HttpRequest *req, const HttpHead *head, int64_t length, bool whole,
                    size_t more)
{
    const HttpFields *fields = head->fields;
    bool typed = fields != NULL && fields->has_content_type;
    req->bodyless = req->is_head || http_status_is_bodyless(head->status);
    ResponseHead wire = {
        .status = head->status,
        .content_type = typed ? slice_of("", 0) : head->content_type,
        .fields = fields,
        .reason = head->reason,
        .length = response_stated_length(req, head, length),
        .id = http_request_id(req),
    };
    bool unknown = wire.length < 0 && !http_status_is_bodyless(head->status);
    wire.chunked = unknown && req->minor != 0;
    wire.close = response_ends_connection(req, head, whole)
                 || (unknown && req->minor == 0 && !req->bodyless);
    wire.keep_alive = req->minor == 0;
    req->chunked = wire.chunked;
    req->close = wire.close;
    req->length_left = req->bodyless ? -1 : wire.length;
    PROBE(response_head, req->conn, req, head->status, wire.length);
    size_t before = req->server->out.len;
    int err = response_put_head(req->server, &wire, more);
    req->status = head->status;
    if (unlikely(req->server->log.writer != NULL) && err == 0) {
        response_log_head(req, head->status, before);
    }
    return err;
}

/* ---- In one call ------------------------------------------------------------------------- */

int
response_whole(HttpRequest *req, const HttpHead *head, Slice body, PyObject *owner)
{
    HttpConn *c = req->conn;
    if (unlikely(c == NULL)) {
        return h2_respond(req, head, body, owner);
    }
    bool copy = body.len <= COPY_MAX || owner == NULL;
    size_t mark = out_begin(c);
    int err =
        response_write_head(req, head, (int64_t)body.len, true, copy ? body.len : 0);
    if (err != 0) {
        conn_break(c);
        return err;
    }
    req->response = HTTP_RESPONSE_DONE;
    req->body_out = req->bodyless ? 0 : body.len;
    if (req->body_out == 0) {
        out_end(c, mark);
    } else if (copy) {
        (void)buf_append_slice(&c->server->out, body); /* the room is reserved */
        out_end(c, mark);
    } else {
        out_end_with(c, mark, body, slice_of("", 0), owner);
    }
    exchange_responded(c);
    return 0;
}

/* ---- In pieces --------------------------------------------------------------------------- */

int
response_begin(HttpRequest *req, const HttpHead *head, int64_t length)
{
    HttpConn *c = req->conn;
    if (unlikely(c == NULL)) {
        return h2_stream_begin(req, head, length);
    }
    size_t mark = out_begin(c);
    int err = response_write_head(req, head, length, false, 0);
    if (err != 0) {
        conn_break(c);
        return err;
    }
    req->response = HTTP_RESPONSE_STREAMING;
    out_end(c, mark);
    exchange_responded(c);
    return 0;
}

/* Writes the line before a chunk of `size` bytes to `out`, which has room for it. Returns the line's
 * length. */
static size_t
chunk_line(char *out, size_t size)
{
    size_t n = fmt_hex(out, size);
    memcpy(out + n, "\r\n", 2);
    return n + 2;
}

int
response_piece(HttpConn *c, Slice piece, PyObject *owner)
{
    bool chunked = c->req->chunked;
    char line[FMT_HEX_MAX + 2];
    size_t line_len = chunked ? chunk_line(line, piece.len) : 0;
    Slice tail = chunked ? SLICE("\r\n") : slice_of("", 0);
    bool copy = piece.len <= COPY_MAX || owner == NULL;
    size_t mark = out_begin(c);
    Buf *out = &c->server->out;
    int err = buf_reserve(out, line_len + (copy ? piece.len + tail.len : 0));
    if (err != 0) {
        conn_break(c);
        return err;
    }
    (void)buf_append(out, line, line_len);
    c->req->body_out += piece.len;
    c->req->rest_out += line_len + tail.len;
    c->probes = 0;
    if (copy) {
        (void)buf_append_slice(out, piece);
        (void)buf_append_slice(out, tail);
        out_end(c, mark);
    } else {
        out_end_with(c, mark, piece, tail, owner);
    }
    return 0;
}

int
response_last(HttpConn *c, Slice trailers)
{
    if (!c->req->chunked || c->req->bodyless) {
        return 0;
    }
    Buf *out = &c->server->out;
    size_t mark = out_begin(c);
    int err = buf_reserve(out, trailers.len + 5);
    if (err != 0) {
        conn_break(c);
        return err;
    }
    (void)buf_append(out, "0\r\n", 3);
    (void)buf_append_slice(out, trailers);
    (void)buf_append(out, "\r\n", 2);
    c->req->rest_out += trailers.len + 5;
    out_end(c, mark);
    return 0;
}

void
response_done(HttpConn *c)
{
    HttpRequest *req = c->req;
    req->response = HTTP_RESPONSE_DONE;
    req->close = req->close || unread_is_much(req);
    out_offer(c);
    exchange_responded(c);
}
