/* The exchange of a stream of HTTP/2: when the layer above is called (see HttpOps), as exchange.c does it for
 * HTTP/1.1. The layer above may respond, reset the stream or close the connection while it is called; the stream's
 * memory is never freed during such a call. The loop's thread.
 */
#include "base/py.h"

#include "http/h2_conn.h"

#include "base/probe.h"
#include "http/decoded.h"
#include "http/measure.h"
#include "http/response.h"

enum { H2_DECODE = 16 * 1024 }; /* bytes of a held body that are decoded at once */

/* ---- The end ---------------------------------------------------------------------------------- */

static void h2_exchange_unread(H2Stream *s, size_t len);

/* Nobody will read what waits for http_body_resume: the client may send as much again. */
static void
h2_exchange_unhold(H2Stream *s)
{
    size_t held = s->held.len;
    s->paused = false;
    if (held != 0) {
        buf_free(&s->held);
        h2_exchange_unread(s, held);
    }
}

void
h2_exchange_drop(H2Stream *s)
{
    HttpRequest *req = s->req;
    if (req == NULL) {
        return;
    }
    h2_tunnel_drop(s);
    if (s->req != req) {
        return;
    }
    const HttpOps *ops = req->server->ops;
    if (req->server->log.writer != NULL || req->server->metrics != NULL) {
        bool ours = req->response == HTTP_RESPONSE_DONE; /* http_abort */
        int status = req->server->aborting ? 503 : ours ? 500 : 499;
        if (!s->tunnelled) {
            exchange_log_end(req, status, s->received);
        }
    }
    if (s->tunnelled) {
        h2_tunnel_log(s);
    }
    s->req = NULL;
    req->h2 = NULL;
    if (s->connect) {
        s->unread_left = 0; /* it has no body: RST_STREAM follows the response's end */
    }
    h2_exchange_unhold(s);
    bool owed = req->response != HTTP_RESPONSE_DONE;
    req->response = HTTP_RESPONSE_DONE;
    exchange_landed(req);
    if (owed && req->told) {
        ops->on_gone(req);
    }
    http_request_unref(req);
}

void
h2_exchange_over(H2Stream *s)
{
    HttpRequest *req = s->req;
    H2Conn *h2 = s->h2;
    PROBE(response_complete, h2->conn, req);
    h2->busy++; /* so that the stream stays while Python code runs */
    if (req->in_flight) {
        req->server->stats.responses++;
        exchange_landed(req);
    }
    bool waits = s->over_high || req->server->compressor != NULL;
    if (req->told && (waits || !req->body_complete)) {
        http_request_ref(req);
        req->server->ops->on_writable(req);
        http_request_unref(req);
    }
    if (s->req == req) {
        h2_exchange_drop(s);
    }
    if (h2->busy == 1) { /* not while input is read: see h2_hand_over */
        h2_offer(h2);
    }
    h2_release(h2);
}

void
h2_exchange_reject(H2Stream *s, Fault fault)
{
    HttpRequest *req = s->req;
    if (req == NULL) {
        return;
    }
    HttpServer *server = req->server;
    NetAddr peer = req->peer;
    if (req->response != HTTP_RESPONSE_NONE) {
        h2_stream_reset(s, NGHTTP2_CANCEL);
        h2_exchange_drop(s);
        return;
    }
    server->stats.rejected++;
    access_log_add(&server->log, &peer, req, fault.status);
    size_t body = h2_out_refusal(s, fault);
    exchange_log_request(req, fault.status, body, s->received);
    if (server->metrics != NULL) {
        measure_exchange(server, req, fault.status);
    }
    h2_exchange_drop(s);
    server_refused(server, &peer,
                   (HttpRefusal){fault.status, fault.detail, fault.limit});
}

/* ---- The request comes in --------------------------------------------------------------------- */

static void
h2_exchange_request(HttpRequest *req)
{
    req->requested = true;
    if (req->server->nparts != 0) {
        watch_wake(req->server); /* parked responses mustn't wait for this handler */
    }
    req->server->ops->on_request(req);
}

/* Calls on_head, and on_request if the handler need not wait for the body. Either may respond. */
static void
h2_exchange_tell(H2Stream *s, HttpRequest *req)
{
    HttpServer *server = req->server;
    if (limit_exceeded(server->limits.in_flight, (uint64_t)server->stats.in_flight + 1)
        && !http_request_is_urgent(req)) {
        server->stats.rejected++;
        (void)http_respond_busy(req);
        server_refused(
            server, &req->peer,
            (HttpRefusal){503, "There are too many requests at once", "in_flight"});
        return;
    }
    server->stats.in_flight++;
    req->in_flight = true;
    req->told = true;
    req->body_mode = server->ops->on_head(req);
    if (s->req != req || exchange_is_too_large(req)) {
        return;
    }
    bool no_wait =
        (req->body_mode == HTTP_BODY_DISCARD && req->expect_continue) || s->connect;
    if (req->response == HTTP_RESPONSE_NONE
        && (req->body_mode == HTTP_BODY_STREAM || no_wait)) {
        h2_exchange_request(req);
    }
}

/* Sends "100 Continue" when it is due. */
static void
h2_exchange_continue(H2Stream *s)
{
    HttpRequest *req = s->req;
    if (req != NULL && req->expect_continue && !s->paused && s->received == 0
        && req->body_mode != HTTP_BODY_DISCARD && req->response == HTTP_RESPONSE_NONE) {
        const HttpFields none = {.has_date = false};
        req->expect_continue = false;
        (void)h2_inform(req, 100, &none);
    }
}

void
h2_exchange_head(H2Stream *s)
{
    HttpRequest *req = s->req;
    if (req == NULL) {
        return;
    }
    req->server->stats.requests++;
    if (request_ids_on(&req->server->ids)) {
        request_id_give(&req->server->ids, req, s->h2->conn->trusted);
    }
    if (s->fault.status != 0) {
        h2_exchange_reject(s, s->fault);
        return;
    }
    if (req->has_body && req->server->decodes[CODING_NONE]) {
        s->fault = decoded_begin(req, &s->decoder);
        if (s->fault.status != 0) {
            h2_exchange_reject(s, s->fault);
            return;
        }
    }
    PROBE(request_head, s->h2->conn, req, http_request_path(req).ptr, req->path_len);
    http_request_ref(req);
    h2_exchange_tell(s, req);
    if (s->req == req && exchange_is_too_large(req)) {
        h2_exchange_reject(s, exchange_excess(req));
    }
    http_request_unref(req);
    h2_exchange_continue(s);
}

/* Lets the client send as much again. */
static void
h2_stream_consume(H2Stream *s, size_t len)
{
    (void)nghttp2_session_consume(s->h2->session, s->id, len);
}

/* Takes bytes that nobody reads, within the bounds of a lingering close, as with HTTP/1.1. RFC 9113 section 8.1 would
 * allow RST_STREAM at once, but clients such as curl 7.88 lose a response that arrives together with it. */
static void
h2_exchange_unread(H2Stream *s, size_t len)
{
    if (len <= s->unread_left) {
        s->unread_left -= len;
        h2_stream_consume(s, len);
        return;
    }
    s->unread_left = 0;
    (void)nghttp2_session_consume_connection(s->h2->session, len);
    if (s->sent_end) { /* else when it has: see h2_on_frame_send */
        h2_stream_reset(s, NGHTTP2_NO_ERROR);
    }
}

/* Decodes a piece if the body is compressed. False: there is nothing to pass on. */
static bool
h2_exchange_decode(H2Stream *s, HttpRequest *req, Slice *piece)
{
    if (s->decoder == NULL) {
        return true;
    }
    Fault fault = decoded_piece(s->decoder, req, *piece, piece);
    if (fault.status != 0) {
        h2_exchange_reject(s, fault);
    }
    return fault.status == 0 && piece->len != 0;
}

static void
h2_exchange_pass(H2Stream *s, HttpRequest *req, Slice piece)
{
    h2_stream_consume(s, piece.len);
    if (!h2_exchange_decode(s, req, &piece)) {
        return;
    }
    http_request_ref(req);
    req->server->ops->on_body(req, piece);
    http_request_unref(req);
}

void
h2_exchange_body(H2Stream *s, Slice piece)
{
    HttpRequest *req = s->req;
    if (piece.len == 0) {
        return;
    }
    s->received += piece.len;
    if (s->tunnel != NULL
        || (s->connect && req != NULL && req->response == HTTP_RESPONSE_NONE)) {
        h2_tunnel_data(s, piece);
        s->h2->came = s;
        s->h2->came_head = s->h2->came_end = false;
        return;
    }
    if (req == NULL || req->response == HTTP_RESPONSE_DONE) {
        h2_exchange_unread(s, piece.len);
        return;
    }
    if (limit_exceeded(req->body_limit, s->received)) {
        h2_exchange_unread(s, piece.len);
        h2_exchange_reject(s, exchange_excess(req));
        return;
    }
    switch (req->body_mode) {
    case HTTP_BODY_DISCARD:
        h2_stream_consume(s, piece.len);
        return;
    case HTTP_BODY_COLLECT:
        h2_stream_consume(s, piece.len);
        if (h2_exchange_decode(s, req, &piece)
            && buf_append_slice(&req->body, piece) != 0) {
            h2_exchange_reject(s, fault_make(503, "The server is out of memory"));
        }
        return;
    case HTTP_BODY_STREAM:
        if (!s->paused && s->held.len == 0) {
            h2_exchange_pass(s, req, piece);
        } else if (buf_append_slice(&s->held, piece) != 0) {
            (void)nghttp2_session_consume_connection(s->h2->session, piece.len);
            h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
        }
        return;
    }
    Py_UNREACHABLE();
}

/* The body is complete, and nothing of it waits. */
static void
h2_exchange_complete(H2Stream *s)
{
    HttpRequest *req = s->req;
    if (req == NULL || s->end_told || req->response == HTTP_RESPONSE_DONE) {
        return;
    }
    if (decoded_is_cut(s->decoder) && req->body_mode != HTTP_BODY_DISCARD) {
        h2_exchange_reject(s, fault_make(400, "The compressed body is cut off"));
        return;
    }
    s->end_told = true;
    req->body_complete = true;
    PROBE(request_complete, s->h2->conn, req, s->received);
    http_request_ref(req);
    if (req->body_mode == HTTP_BODY_STREAM) {
        req->server->ops->on_body_end(req);
    } else if (!req->requested) {
        h2_exchange_request(req);
    }
    http_request_unref(req);
}

void
h2_exchange_end(H2Stream *s)
{
    s->ended_in = true;
    if (s->connect) {
        h2_tunnel_flow(s);
    } else if (s->held.len == 0 && !s->paused) {
        h2_exchange_complete(s);
    }
}

/* ---- Back-pressure ---------------------------------------------------------------------------- */

/* Passes on what has waited, until the layer above has enough: a compressed body in parts, each of which
 * may become much longer. */
static void
h2_exchange_held(H2Stream *s)
{
    Buf held = s->held;
    size_t passed = 0;
    s->held = (Buf){NULL, 0, 0};
    while (s->req != NULL && !s->paused && passed < held.len) {
        size_t left = held.len - passed;
        size_t n = s->decoder != NULL && left > H2_DECODE ? H2_DECODE : left;
        passed += n;
        h2_exchange_pass(s, s->req, slice_of(held.ptr + passed - n, n));
    }
    size_t rest = held.len - passed;
    if (s->req == NULL && rest != 0) {
        h2_exchange_unread(s, rest);
    } else if (rest != 0 && buf_append(&s->held, held.ptr + passed, rest) != 0) {
        (void)nghttp2_session_consume_connection(s->h2->session, rest);
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
    }
    buf_free(&held);
}

void
h2_exchange_flow(H2Stream *s)
{
    if (s->connect) {
        h2_tunnel_flow(s);
    }
    /* What is over may have a malformed head, of which nobody was told, or a body that was cut off. */
    if (s->req == NULL || s->over || s->paused || s->connect) {
        return;
    }
    h2_exchange_held(s);
    h2_exchange_continue(s);
    if (s->ended_in && !s->paused && s->held.len == 0) {
        h2_exchange_complete(s);
    }
}

void
h2_body_pause(HttpRequest *req)
{
    H2Stream *s = req->h2;
    if (s != NULL && !req->body_complete && req->response != HTTP_RESPONSE_DONE) {
        s->paused = true;
    }
}

void
h2_body_resume(HttpRequest *req)
{
    H2Stream *s = req->h2;
    if (s != NULL && s->paused) {
        s->paused = false;
        s->checked = s->received;
        s->checked_at = h2_now(s->h2);
        s->h2->resumed = true;
        h2_wake(s->h2);
    }
}
