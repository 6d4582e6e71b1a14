/* What a server counts (see metrics.h), and when: each exchange at its end, the loop's lag at the end of each of its
 * iterations, and everything else there, too, but not more often than METRICS_STALE ms, so that the hot path has
 * only the first two. The loop's thread.
 */
#include "base/py.h"

#include "http/measure.h"

#include "http/conn.h"

#include <uv.h>

enum { KNOWN = 1024 };

/* Where a series was found before. */
typedef struct Known {
    uint64_t key;
    uint32_t series;
    uint16_t status;
    uint8_t method;
} Known;

struct Measure {
    uint64_t turned; /* loop_now_ns() at the end of the last iteration; 0 before */
    uint64_t told;   /* uv_now() when everything was last told */
    Known known[KNOWN];
};

int
http_server_metrics(HttpServer *server, void *memory, size_t size, uint64_t slot)
{
    int err;
    assert(server->metrics == NULL);
    server->measure = PyMem_RawCalloc(1, sizeof *server->measure);
    if (server->measure == NULL) {
        return UV_ENOMEM;
    }
    server->metrics = metrics_new(memory, size, slot, &err);
    return err;
}

void
measure_free(HttpServer *server)
{
    metrics_free(server->metrics);
    PyMem_RawFree(server->measure);
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

static uint32_t
series_of(const HttpServer *server, const HttpRequest *req, int status)
{
    uint64_t key = 0;
    Slice label =
        server->ops->label == NULL ? SLICE("app") : server->ops->label(req, &key);
    uint64_t hash = key * 31 + req->method + (uint64_t)status * 7;
    Known *known = &server->measure->known[hash % KNOWN];
    if (likely(key != 0 && known->key == key && known->method == req->method
               && known->status == status)) {
        return known->series;
    }
    uint32_t series = metrics_series(server->metrics, label, method_label(req), status);
    *known = (Known){key, series, (uint16_t)status, req->method};
    return series;
}

void
measure_exchange(const HttpServer *server, const HttpRequest *req, int status)
{
    if (req == NULL || !req->told) {
        uint32_t invalid =
            metrics_series(server->metrics, SLICE("invalid"), SLICE("OTHER"), status);
        metrics_request(server->metrics, invalid, 0);
        return;
    }
    metrics_request(server->metrics, series_of(server, req, status),
                    loop_now_ns() - req->began_ns);
    if (req->waited != 0) {
        metrics_time(server->metrics, METRICS_WAIT, req->waited);
    }
}

/* How long the loop has been away from its descriptors. */
static void
measure_lag(const HttpServer *server)
{
    Measure *measure = server->measure;
    uint64_t now = loop_now_ns(), woke = loop_woke_at(server->loop);
    uint64_t from = woke > measure->turned ? woke : measure->turned;
    if (measure->turned != 0) {
        metrics_time(server->metrics, METRICS_LAG, now - from);
    }
    measure->turned = now;
}

void
measure_turn(HttpServer *server)
{
    measure_lag(server);
    uint64_t now = uv_now(loop_uv(server->loop));
    if (unlikely(now - server->measure->told >= METRICS_STALE)) {
        server->measure->told = now;
        http_server_measure(server);
    }
}

void
http_server_measure(HttpServer *server)
{
    Metrics *m = server->metrics;
    if (m == NULL) {
        return;
    }
    const HttpStats *stats = &server->stats;
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
