/* What a server counts (see metrics.h), and when: each exchange at its end, everything else at the end of each of
 * the loop's iterations, so that the hot path has only the first. The loop's thread.
 */
#include "base/py.h"

#include "http/measure.h"

#include "http/conn.h"

#include <uv.h>

int
http_server_metrics(HttpServer *server, void *memory, size_t size, uint64_t slot)
{
    int err;
    assert(server->metrics == NULL);
    server->metrics = metrics_new(memory, size, slot, &err);
    return err;
}

/* The methods of RFC 9110 and RFC 5789. All others count as one, so that no client can add series. */
static Slice
method_label(const HttpRequest *req)
{
    if (req->method <= HTTP_TRACE || req->method == HTTP_PATCH) {
        return http_request_method(req);
    }
    return SLICE("OTHER");
}

void
measure_exchange(const HttpServer *server, const HttpRequest *req, int status)
{
    if (req == NULL || !req->told) {
        metrics_request(server->metrics, SLICE("invalid"), SLICE("OTHER"), status, 0);
        return;
    }
    Slice label = server->ops->label == NULL ? SLICE("app") : server->ops->label(req);
    metrics_request(server->metrics, label, method_label(req), status,
                    loop_now_ns() - req->began_ns);
    if (req->waited != 0) {
        metrics_time(server->metrics, METRICS_WAIT, req->waited);
    }
}

/* How long the loop has been away from its descriptors. */
static void
measure_lag(HttpServer *server)
{
    uint64_t now = loop_now_ns(), woke = loop_woke_at(server->loop);
    uint64_t from = woke > server->turn_ended ? woke : server->turn_ended;
    if (server->turn_ended != 0) {
        metrics_time(server->metrics, METRICS_LAG, now - from);
    }
    server->turn_ended = now;
}

void
measure_turn(HttpServer *server)
{
    Metrics *m = server->metrics;
    const HttpStats *stats = &server->stats;
    measure_lag(server);
    metrics_count(m, METRICS_ACCEPTED, stats->accepted);
    metrics_count(m, METRICS_REJECTED, stats->rejected);
    metrics_count(m, METRICS_TLS_DONE, stats->tls_done);
    metrics_count(m, METRICS_TLS_FAILED, stats->tls_failed);
    metrics_count(m, METRICS_RECEIVED, stats->received);
    metrics_count(m, METRICS_SENT, stats->sent);
    metrics_count(m, METRICS_WEBSOCKETS_TOTAL, stats->websockets_accepted);
    metrics_gauge(m, METRICS_OPEN, stats->open);
    metrics_gauge(m, METRICS_IN_FLIGHT, stats->in_flight);
    metrics_gauge(m, METRICS_WEBSOCKETS, stats->websockets);
    if (server->ops->on_turn != NULL) {
        server->ops->on_turn(server->context, m);
    }
}
