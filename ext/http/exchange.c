/* One exchange of a connection: from the first byte of a request to the last byte of its response.
 * Decides when the layer above is called; see HttpOps for the order. A connection has one exchange at a
 * time (ADR 2). The layer above may respond, abort the connection or drain the server while it is
 * called, so the state must be read again after each call. The loop's thread.
 */
#include "base/py.h"

#include "http/conn.h"

#include "base/probe.h"
#include "http/h2.h"
#include "http/measure.h"
#include "http/response_head.h"
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
exchange_log(HttpServer *server, AccessEntry entry)
{
    if (server->log.format == NULL) {
        return;
    }
    const HttpRequest *req = entry.req;
    entry.took = req != NULL && req->began_ns != 0 ? loop_now_ns() - req->began_ns : 0;
    access_log_entry(&server->log, &entry);
}

void
exchange_log_request(HttpRequest *req, int status, uint64_t body, uint64_t received)
{
    if (req->server->log.format != NULL) {
        exchange_log(req->server, (AccessEntry){.req = req,
                                                .peer = &req->peer,
                                                .id = http_request_id(req),
                                                .status = status,
                                                .body = body,
                                                .sent = body + req->rest_out,
                                                .received = received});
    }
}

/* The status in the log of a request that gets no response: nginx's 499 when the client has given it up, or what
 * it would have been told. */
static int
exchange_status_without_response(const HttpConn *c)
{
    if (c->server->aborting) {
        return 503;
    }
    bool ours = c->req->response == HTTP_RESPONSE_DONE; /* http_abort */
    return ours && !c->left && !c->eof ? 500 : 499;
}

void
exchange_log_end(HttpRequest *req, int status, uint64_t received)
{
    if ((!req->told && req->status == 0) || req->refused) {
        return;
    }
    if (req->status == 0) {
        req->status = status;
        access_log_add(&req->server->log, &req->peer, req, status);
    }
    exchange_log_request(req, req->status, req->body_out, received);
    if (req->server->metrics != NULL && req->status != 101) {
        measure_exchange(req->server, req, req->status);
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
        if (req->status == 101) {
            req->body_out = c->sent - c->sent_before;
        }
        const AccessLog *log = &c->server->log;
        if (likely(log->writer == NULL && log->format == NULL && req->status != 0
                   && req->status != 101 && !req->refused)) {
            /* There are metrics, the only part of exchange_log_end that is left. */
            measure_exchange(c->server, req, req->status);
        } else {
            int status = req->status == 0 ? exchange_status_without_response(c) : 0;
            exchange_log_end(req, status, c->body_received);
        }
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

int
http_respond_busy(HttpRequest *req)
{
    HttpFields fields = {.has_content_type = false};
    const HttpHead head = {
        .status = 503, .content_type = SLICE("application/json"), .fields = &fields};
    (void)http_fields_add(&fields, SLICE("retry-after"),
                          SLICE("1")); /* or without it */
    int err =
        http_respond(req, &head, SLICE("{\"detail\":\"Service Unavailable\"}"), NULL);
    http_fields_free(&fields);
    return err;
}

/* Refuses a request that is one too many, without telling the layer above. */
static void
exchange_overload(HttpRequest *req)
{
    req->server->stats.rejected++;
    (void)http_respond_busy(req);
    server_refused(
        req->server, &req->peer,
        (HttpRefusal){503, "There are too many requests at once", "in_flight"});
}

Fault
exchange_excess(const HttpRequest *req)
{
    const HttpLimits *limits = &req->server->limits;
    const char *name = req->body_limit == limits->body ? "body"
                       : req->body_limit == limits->form_size
                           ? "form_size"
                           : NULL; /* the route's own */
    return (Fault){413, "The body is too large", name};
}

bool
exchange_is_too_large(const HttpRequest *req)
{
    return req->response == HTTP_RESPONSE_NONE && req->content_length > 0
           && limit_exceeded(req->body_limit, (uint64_t)req->content_length);
}

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
    if (c->server->metrics != NULL) { /* now: its life is no response's time */
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

/* The id of a request that is refused, perhaps before it could be read; `made` is where to make one. Empty: there are
 * no ids. */
static Slice
exchange_id(HttpConn *c, char made[REQUEST_ID_MADE])
{
    RequestIds *ids = &c->server->ids;
    if (!request_ids_on(ids)) {
        return SLICE("");
    }
    if (c->req != NULL) {
        request_id_give(ids, c->req, c->trusted);
        return http_request_id(c->req);
    }
    request_id_make(ids, made);
    return slice_of(made, REQUEST_ID_MADE);
}

/* Writes the response that refuses the request, and its line in the log. */
static void
exchange_refuse(HttpConn *c, Fault fault)
{
    HttpRequest *req = c->req;
    char made[REQUEST_ID_MADE];
    Slice id = exchange_id(c, made);
    size_t mark = out_begin(c);
    bool bodyless = req != NULL && c->parser.method == HTTP_HEAD;
    size_t before = c->server->out.len;
    size_t body = response_put_refusal(c->server, fault, id, bodyless);
    exchange_log(c->server,
                 (AccessEntry){.req = req,
                               .peer = req != NULL ? &req->peer : &c->peer,
                               .id = id,
                               .status = fault.status,
                               .body = body,
                               .sent = c->server->out.len - before,
                               .received = req != NULL ? c->body_received : 0});
    out_end(c, mark);
    if (c->server->metrics != NULL) {
        measure_exchange(c->server, req, fault.status);
    }
    if (req != NULL) {
        req->refused = true;
    }
}

void
exchange_reject(HttpConn *c, Fault fault)
{
    if (c->state == CONN_LINGER || c->state == CONN_CLOSING) {
        return;
    }
    HttpRequest *req = c->req;
    NetAddr peer = req != NULL ? req->peer : c->peer;
    HttpResponseStage response = req != NULL ? req->response : HTTP_RESPONSE_NONE;
    if (response == HTTP_RESPONSE_STREAMING || c->coded != NULL
        || (response == HTTP_RESPONSE_NONE && fault.status == 0)) {
        conn_close(c, true);
        return;
    }
    if (response == HTTP_RESPONSE_NONE) {
        c->server->stats.rejected++;
        PROBE(refused, c, req, fault.status);
        access_log_add(&c->server->log, &peer, req, fault.status);
        exchange_refuse(c, fault);
    }
    exchange_drop(c);
    conn_finish(c);
    if (response == HTTP_RESPONSE_NONE) { /* last, because it runs Python code */
        server_refused(c->server, &peer,
                       (HttpRefusal){fault.status, fault.detail, fault.limit});
    }
}
