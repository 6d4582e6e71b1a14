/* One exchange of a connection: from the first byte of a request to the last byte of its response.
 * Decides when the layer above is called; see HttpOps for the order. A connection has one exchange at a
 * time (ADR 2). The layer above may respond, abort the connection or drain the server while it is
 * called, so the state must be read again after each call. The loop's thread.
 */
#include "base/py.h"

#include "http/conn.h"

#include "base/probe.h"
#include "http/coded.h"
#include "http/decoded.h"
#include "http/h2.h"
#include "http/measure.h"
#include "http/out.h"

static const HttpOps *
ops_of(const HttpConn *c)
{
    return c->server->ops;
}

int
exchange_begin(HttpConn *c)
{
    assert(c->req == NULL && c->state == CONN_IDLE);
    HttpRequest *req = http_request_new(c->server);
    if (req == NULL) {
        return HPE_USER;
    }
    req->conn = c;
    req->began = uv_now(c->stream.uv.handle.loop);
    req->peer = c->peer;
    req->secure = c->stream.secure != NULL;
    req->https = c->https;
    req->eof = c->eof;
    req->left = c->left;
    if (unlikely(c->server->log.format != NULL)) {
        req->began_ns = loop_now_ns();
    } else if (unlikely(c->server->metrics != NULL)) {
        req->began_ns = measure_began(c->server);
    }
    c->req = req;
    c->used = true;
    c->paused = false;
    c->held = false;
    c->in_field = false;
    c->rare = c->server->rare;
    c->body_received = 0;
    c->body_checked = 0;
    c->unread_left = UNREAD_MAX;
    c->trailer_bytes = 0;
    c->trailer_name_len = 0;
    c->extension_bytes = 0;
    c->probes = 0;
    c->silent = 0;
    conn_set_state(c, CONN_HEAD);
    return 0;
}

void
exchange_landed(HttpRequest *req)
{
    if (req->in_flight) {
        req->in_flight = false;
        req->server->stats.in_flight--;
    }
}

void
exchange_drop(HttpConn *c)
{
    coded_drop(c->coded);
    c->coded = NULL;
    decoded_free(c->decoded);
    c->decoded = NULL;
    if (c->upgraded != NULL) {
        c->upgrade->drop(c);
    }
    HttpRequest *req = c->req;
    if (req == NULL) {
        return;
    }
    if (unlikely(c->server->log.writer != NULL || c->server->metrics != NULL)) {
        exchange_log_drop(c);
    }
    c->server->stats.websockets -= req->status == 101;
    c->req = NULL;
    req->conn = NULL;
    bool owed = req->response != HTTP_RESPONSE_DONE;
    req->response = HTTP_RESPONSE_DONE;
    exchange_landed(req);
    if (owed && req->told) {
        ops_of(c)->on_gone(req);
    }
    http_request_unref(req);
}

/* ---- The request comes in ---------------------------------------------------------------- */

/* Calls on_request. The client may have sent FIN already with an earlier request. */
static void
exchange_request(HttpConn *c, HttpRequest *req)
{
    req->requested = true;
    if (c->server->gather == c && c->server->out.len != c->server->gather_from) {
        out_offer(c); /* responses to earlier requests mustn't wait for this handler */
    } else if (c->server->nparts != 0) {
        watch_wake(c->server); /* nor parked ones of other connections */
    }
    ops_of(c)->on_request(req);
    if (unlikely(c->eof)) {
        half_closed(c);
    }
}

/* Calls on_head, and on_request if the handler need not wait for the body. Either may respond. */
static void
exchange_tell(HttpConn *c, HttpRequest *req)
{
    HttpServer *server = c->server;
    if (limit_exceeded(server->limits.in_flight, (uint64_t)server->stats.in_flight + 1)
        && !http_request_is_urgent(req)) {
        exchange_overload(req);
        return;
    }
    if (unlikely(req->upgrade >= 0)) {
        request_trim(req);
    }
    server->stats.in_flight++;
    req->in_flight = true;
    req->told = true;
    req->body_mode = server->ops->on_head(req);
    if (exchange_is_too_large(req)) {
        return; /* exchange_head refuses it */
    }
    /* The handler doesn't need the body, and the client waits for "100 Continue" before it sends one.
     * So don't wait for the body. */
    bool no_wait = req->body_mode == HTTP_BODY_DISCARD && req->expect_continue;
    if (req->response == HTTP_RESPONSE_NONE
        && (req->body_mode == HTTP_BODY_STREAM || no_wait)) {
        exchange_request(c, req);
    }
}

int
exchange_head(HttpConn *c)
{
    HttpRequest *req = c->req;
    c->server->stats.requests++;
    if (unlikely(request_ids_on(&c->server->ids))) {
        request_id_give(&c->server->ids, req, c->trusted);
    }
    PROBE(request_head, c, req, http_request_path(req).ptr, req->path_len);
    if (c->deadline.kind == DEADLINE_HEADER) {
        deadline_clear(&c->deadline);
    }
    if (req->has_body) {
        conn_set_state(c, CONN_BODY);
        if (unlikely(c->server->decodes[CODING_NONE])) {
            c->fault = decoded_begin(req, &c->decoded);
            if (c->fault.status != 0) {
                return HPE_USER;
            }
        }
    }
    http_request_ref(req);
    exchange_tell(c, req);
    bool ours = c->req == req;
    if (ours && exchange_is_too_large(req)) {
        c->fault = exchange_excess(req);
        ours = false;
    }
    http_request_unref(req);
    if (!ours) {
        return HPE_USER;
    }
    if (c->paused && req->has_body) {
        c->held = true;
        return HPE_PAUSED;
    }
    return 0;
}

static int
exchange_body_stream(HttpConn *c, HttpRequest *req, Slice piece)
{
    http_request_ref(req);
    ops_of(c)->on_body(req, piece);
    bool ours = c->req == req;
    http_request_unref(req);
    if (!ours) {
        return HPE_USER;
    }
    if (c->paused) {
        c->held = true;
        return HPE_PAUSED;
    }
    return 0;
}

/* A piece of the body as the layer above gets it. */
static int
exchange_body_piece(HttpConn *c, Slice piece)
{
    HttpRequest *req = c->req;
    switch (req->body_mode) {
    case HTTP_BODY_DISCARD:
        return 0;
    case HTTP_BODY_COLLECT:
        if (buf_append_slice(&req->body, piece) != 0) {
            c->fault = fault_make(503, "The server is out of memory");
            return HPE_USER;
        }
        return 0;
    case HTTP_BODY_STREAM:
        return exchange_body_stream(c, req, piece);
    }
    Py_UNREACHABLE();
}

int
exchange_body(HttpConn *c, Slice piece)
{
    HttpRequest *req = c->req;
    if (piece.len == 0) { /* llhttp has resumed after a pause without new bytes */
        return 0;
    }
    c->body_received += piece.len;
    if (unlikely(c->coded != NULL && req->response == HTTP_RESPONSE_DONE)) {
        return 0; /* until the response is written, too, which takes milliseconds */
    }
    if (req->response == HTTP_RESPONSE_DONE) {
        if (piece.len > c->unread_left) {
            return HPE_USER; /* exchange_reject ends the connection */
        }
        c->unread_left -= (uint32_t)piece.len;
        return 0;
    }
    if (unlikely(c->decoded != NULL) && req->body_mode != HTTP_BODY_DISCARD) {
        c->fault = decoded_piece(c->decoded, req, piece, &piece);
        if (c->fault.status != 0 || piece.len == 0) {
            return c->fault.status != 0 ? HPE_USER : 0;
        }
    }
    return exchange_body_piece(c, piece);
}

void
exchange_message(HttpConn *c)
{
    HttpRequest *req = c->req;
    if (unlikely(decoded_is_cut(c->decoded)) && req->body_mode != HTTP_BODY_DISCARD
        && req->response != HTTP_RESPONSE_DONE) {
        exchange_reject(c, fault_make(400, "The compressed body is cut off"));
        return;
    }
    req->body_complete = true;
    PROBE(request_complete, c, req, c->body_received);
    if (c->deadline.kind == DEADLINE_BODY) {
        deadline_clear(&c->deadline);
    }
    if (!conn_owes(c)) {
        return; /* exchange_advance continues */
    }
    conn_set_state(c, CONN_RESPONSE);
    if (req->response == HTTP_RESPONSE_DONE) {
        return;
    }
    http_request_ref(req);
    if (req->body_mode == HTTP_BODY_STREAM) {
        ops_of(c)->on_body_end(req);
    } else if (!req->requested) {
        exchange_request(c, req);
    }
    http_request_unref(req);
}

static bool
request_wants_continue(const HttpConn *c)
{
    const HttpRequest *req = c->req;
    return c->state == CONN_BODY && req->expect_continue && !c->paused
           && c->body_received == 0 && req->body_mode != HTTP_BODY_DISCARD
           && req->response == HTTP_RESPONSE_NONE;
}

void
exchange_continue(HttpConn *c)
{
    if (unlikely(request_wants_continue(c))) {
        Slice line = SLICE("HTTP/1.1 100 Continue\r\n\r\n");
        c->req->expect_continue = false;
        size_t mark = out_begin(c);
        (void)buf_append_slice(&c->server->out, line);
        out_end(c, mark);
    }
}

void
http_body_pause(HttpRequest *req)
{
    if (req->conn == NULL) {
        h2_body_pause(req);
    } else if (!req->body_complete && req->response != HTTP_RESPONSE_DONE) {
        req->conn->paused = true;
    }
}

void
http_body_resume(HttpRequest *req)
{
    HttpConn *c = req->conn;
    if (c == NULL) {
        h2_body_resume(req);
    } else if (c->paused) {
        c->paused = false;
        if (c->server->gather != c) {
            exchange_continue(c);
            conn_settle(c);
        }
    }
}

/* ---- The response goes out --------------------------------------------------------------- */

void
exchange_advance(HttpConn *c)
{
    HttpRequest *req = c->req;
    if (req == NULL || req->response != HTTP_RESPONSE_DONE
        || c->state == CONN_UPGRADED) {
        return;
    }
    bool last = req->close; /* what the head has told the client */
    if (!req->body_complete) {
        c->paused = false; /* the rest of the body is read and dropped */
        if (last && !conn_owes(c)) {
            conn_finish(c);
        }
        return;
    }
    if (conn_owes(c)) {
        return; /* the rest of it is being compressed */
    }
    exchange_drop(c);
    if (last) {
        conn_finish(c);
    } else {
        conn_set_state(c, CONN_IDLE);
        deadline_set(&c->server->deadlines, &c->deadline, DEADLINE_KEEP_ALIVE);
        if (unlikely(c->server->state != SERVER_RUNNING)) {
            c->used = false; /* as if it had only just connected, see conn_drain */
            c->opened = uv_now(loop_uv(c->server->loop));
        }
    }
}

void
exchange_writable(HttpConn *c)
{
    HttpRequest *req = c->req;
    if (req->told) {
        http_request_ref(req);
        ops_of(c)->on_writable(req);
        http_request_unref(req);
    }
}

void
exchange_over(HttpConn *c)
{
    /* A later on_drain, or the rest of the body, no longer reaches this exchange: wake its writers
     * and readers now. */
    if (unlikely(c->stream.over_high || c->stream.want_empty || !c->req->body_complete
                 || c->coded != NULL)) {
        exchange_writable(c);
    }
}

void
exchange_responded(HttpConn *c)
{
    HttpRequest *req = c->req;
    if (req != NULL && req->response == HTTP_RESPONSE_DONE) {
        PROBE(response_complete, c, req);
        if (req->in_flight) {
            c->server->stats.responses++;
            exchange_landed(req);
        }
        exchange_over(c);
    }
    if (c->server->gather != c) {
        exchange_advance(c);
        conn_settle(c);
    }
}

void
exchange_upgrade(HttpConn *c, const UpgradeOps *ops, void *upgraded)
{
    HttpRequest *req = c->req;
    access_log_add(&c->server->log, &req->peer, req, 101);
    req->status = 101;
    c->server->stats.websockets++;
    c->server->stats.websockets_accepted++;
    if (c->server->metrics
        != NULL) { /* now: a WebSocket's lifetime is not a response time */
        measure_exchange(c->server, req, 101);
    }
    c->sent_before = c->sent; /* the handshake is not written yet */
    c->body_received = 0;
    req->response = HTTP_RESPONSE_DONE;
    c->server->stats.responses++;
    exchange_landed(req);
    c->upgrade = ops;
    c->upgraded = upgraded;
    conn_set_state(c, CONN_UPGRADED);
}
