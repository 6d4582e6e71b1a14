/* Responses (see response.h): how a response is framed, which part of its body is sent, and whether
 * the connection ends after it. RFC 9112 sections 6 and 9. The loop's thread.
 */
#include "base/py.h"

#include "http/response_private.h"

#include "base/fmt.h"
#include "base/probe.h"
#include "http/response_head.h"
#include "http/coded.h"
#include "http/conn.h"
#include "http/h2.h"
#include "http/out.h"

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

static int
response_check_head(const HttpRequest *req, const HttpHead *head)
{
    if (req->response != HTTP_RESPONSE_NONE) {
        return UV_ECANCELED;
    }
    if (head->status < 200 || head->status > 599
        || (!head->checked && !http_value_is_clean(head->content_type))
        || !http_value_is_clean(head->reason)) {
        return UV_EINVAL;
    }
    return 0;
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
        (void)buf_append(&req->answered, head.ptr + from,
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

int
http_respond(HttpRequest *req, const HttpHead *head, Slice body, PyObject *owner)
{
    int err = response_check_head(req, head);
    if (err != 0) {
        return err;
    }
    return likely(req->server->compressor == NULL)
               ? response_whole(req, head, body, owner)
               : coded_respond(req, head, body, owner);
}

int
http_respond_error(HttpRequest *req, int status)
{
    char room[DETAIL_BODY_MAX];
    Slice body = response_detail(room, http_reason(status));
    const HttpHead head = {
        .status = status, .content_type = SLICE("application/json"), .checked = true};
    return http_respond(req, &head, body, NULL);
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

int
http_stream_begin(HttpRequest *req, const HttpHead *head, int64_t length)
{
    int err = response_check_head(req, head);
    if (err != 0) {
        return err;
    }
    return likely(req->server->compressor == NULL) ? response_begin(req, head, length)
                                                   : coded_begin(req, head, length);
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
http_stream_write(HttpRequest *req, Slice piece, PyObject *owner)
{
    HttpConn *c = req->conn;
    if (unlikely(c == NULL)) {
        return h2_stream_write(req, piece, owner);
    }
    /* A broken connection is closed when the loop runs again. Refuse the write here: a handler that
     * writes without ever waiting would keep the loop from running. */
    if (c->broken || req->response != HTTP_RESPONSE_STREAMING) {
        return UV_ECANCELED;
    }
    if (unlikely(c->lent)) {
        return UV_EBUSY;
    }
    if (req->bodyless || piece.len == 0) {
        return 0;
    }
    if (req->length_left >= 0) {
        if (piece.len > (uint64_t)req->length_left) {
            return UV_EMSGSIZE;
        }
        req->length_left -= (int64_t)piece.len;
    }
    int err = likely(c->coded == NULL) ? response_piece(c, piece, owner)
                                       : coded_write(c->coded, piece);
    if (err == 0) {
        out_offer(c);
        exchange_responded(c);
    }
    return err;
}

void
http_offer(HttpConn *c)
{
    if (h2_is_spoken(c)) {
        h2_offer_conn(c);
    } else {
        out_offer(c);
    }
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

/* Whether bytes that were promised are missing. */
static bool
response_falls_short(const HttpConn *c)
{
    return c->req->length_left > 0 || coded_missing(c->coded) > 0;
}

int
http_stream_end(HttpRequest *req)
{
    return http_stream_end_with(req, NULL);
}

int
http_stream_end_with(HttpRequest *req, const HttpFields *trailers)
{
    HttpConn *c = req->conn;
    if (unlikely(c == NULL)) {
        return h2_stream_end(req, trailers);
    }
    if (req->response != HTTP_RESPONSE_STREAMING) {
        return UV_ECANCELED;
    }
    if (response_falls_short(c) || unlikely(c->lent)) {
        bool gone =
            c->broken; /* then http_stream_write has refused the missing bytes */
        http_abort(req);
        return gone ? UV_ECANCELED : UV_EPROTO;
    }
    Slice last = trailers != NULL ? buf_slice(&trailers->raw) : slice_of("", 0);
    int err =
        likely(c->coded == NULL) ? response_last(c, last) : coded_end(c->coded, last);
    if (err == 0) {
        response_done(c);
    }
    return err;
}

int
http_inform(HttpRequest *req, int status, const HttpFields *fields)
{
    assert(status >= 100 && status < 200);
    HttpConn *c = req->conn;
    if (unlikely(c == NULL)) {
        return h2_inform(req, status, fields);
    }
    if (c->broken || req->response != HTTP_RESPONSE_NONE) {
        return UV_ECANCELED;
    }
    if (req->minor == 0) {
        return 0;
    }
    size_t mark = out_begin(c);
    int err = response_put_interim(req->server, status, fields);
    if (err != 0) {
        conn_break(c);
        return err;
    }
    out_end(c, mark);
    exchange_responded(c);
    return 0;
}

bool
http_stream_full(const HttpRequest *req)
{
    const HttpConn *c = req->conn;
    if (unlikely(c == NULL)) {
        return h2_stream_full(req);
    }
    return req->response != HTTP_RESPONSE_DONE
           && (c->stream.over_high || coded_is_busy(c->coded));
}

void
http_abort(HttpRequest *req)
{
    HttpConn *c = req->conn;
    if (c != NULL) {
        conn_cut(c);
        req->response = HTTP_RESPONSE_DONE; /* so that on_gone isn't called */
        exchange_over(c);
        conn_close(c, true);
    } else {
        h2_abort(req, false);
    }
}

void
http_abort_told(HttpRequest *req)
{
    HttpConn *c = req->conn;
    if (c != NULL) {
        conn_close(c, true);
    } else {
        h2_abort(req, true);
    }
}
