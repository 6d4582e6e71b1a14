/* Requests that the server itself refuses (see conn.h): those that can't be read, exceed a limit, or are one too
 * many. Of the functions of the layer above only HttpOps.on_refused is called for them. The loop's thread.
 */
#include "base/py.h"

#include "http/conn.h"

#include "base/probe.h"
#include "http/measure.h"
#include "http/out.h"
#include "http/response.h"
#include "http/response_head.h"

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

void
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
