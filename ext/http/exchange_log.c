/* What the access log and the metrics say of an exchange (see conn.h) when it is over. The loop's thread.
 */
#include "base/py.h"

#include "http/conn.h"

#include "http/measure.h"

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

/* The status in the log of a request that gets no response: nginx's 499 when the client has given it up, else the
 * status that it would have got. */
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
exchange_log_drop(HttpConn *c)
{
    HttpRequest *req = c->req;
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
