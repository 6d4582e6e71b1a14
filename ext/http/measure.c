/* What a server counts (see metrics.h), and when. An exchange is counted at its end, the loop's lag at the end of
 * each iteration. Everything else is copied at the end of an iteration, but at most every METRICS_STALE ms, to keep it
 * off the hot path. A libuv timer makes an idle loop iterate twice a second, so that the figures stay fresh.
 * The loop's thread.
 */
#include "base/py.h"

#include "http/measure.h"

#include "http/conn.h"

#include <uv.h>

enum { KNOWN = 1024, BEAT = 500 /* ms */ };

#define NS_PER_MS 1000000u

/* Where a series was found before. */
typedef struct Known {
    uint64_t key;
    uint32_t series;
    uint16_t status;
    uint8_t method;
} Known;

/* It lives until libuv has closed the timer, which may be after the server. */
typedef struct Beat {
    uv_timer_t timer;
    struct Beat **owner; /* Measure.beat, which is this one */
} Beat;

struct Measure {
    uint64_t
        read; /* loop_now_ns() when the last exchange, or the last iteration, was over */
    uint64_t turned; /* the same of the last iteration; 0 before */
    uint64_t told;   /* loop_now_ns() when everything was last told */
    Beat *beat;      /* NULL: there is none, or the loop has closed it */
    Known known[KNOWN];
};

/* ---- The timer --------------------------------------------------------------------------- */

static void
beat_now(uv_timer_t *Py_UNUSED(timer))
{
    /* It only ends the poll: the hook that follows counts. */
}

static void
beat_on_closed(uv_handle_t *handle)
{
    PyMem_RawFree(container_of((uv_timer_t *)handle, Beat, timer));
}

static void
beat_close(uv_handle_t *handle)
{
    *container_of((uv_timer_t *)handle, Beat, timer)->owner = NULL;
    uv_close(handle, beat_on_closed);
}

static void
beat_forked(uv_handle_t *handle)
{
    (void)uv_timer_stop((uv_timer_t *)handle);
}

static const LoopHandleOps beat_ops = {.close = beat_close, .forked = beat_forked};

void
measure_start(HttpServer *server)
{
    if (server->measure == NULL || server->measure->beat != NULL) {
        return;
    }
    Beat *beat = PyMem_RawCalloc(1, sizeof *beat);
    if (beat == NULL) {
        return; /* then an idle server's figures are those of its last request */
    }
    beat->owner = &server->measure->beat;
    server->measure->beat = beat;
    (void)uv_timer_init(loop_uv(server->loop), &beat->timer);
    beat->timer.data = (void *)&beat_ops;
    (void)uv_timer_start(&beat->timer, beat_now, BEAT, BEAT);
}

void
measure_stop(HttpServer *server)
{
    if (server->measure != NULL && server->measure->beat != NULL) {
        beat_close((uv_handle_t *)&server->measure->beat->timer);
    }
}

/* ---- Its memory -------------------------------------------------------------------------- */

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
    assert(server->measure == NULL || server->measure->beat == NULL);
    metrics_free(server->metrics);
    PyMem_RawFree(server->measure);
}

/* ---- Requests ---------------------------------------------------------------------------- */

/* The beginning of a request, without another reading of the clock: the end of the poll, or of the last exchange.
 * Whatever ran since then has kept this request waiting. */
uint64_t
measure_began(const HttpServer *server)
{
    uint64_t woke = loop_woke_at(server->loop), read = server->measure->read;
    return woke > read ? woke : read;
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
    uint64_t now = loop_now_ns();
    server->measure->read = now;
    metrics_request(server->metrics, series_of(server, req, status),
                    now - req->began_ns);
    if (req->waited != 0) {
        metrics_time(server->metrics, METRICS_WAIT, req->waited);
    }
}

/* How long the loop has been away from its descriptors. */
static void
measure_lag(const HttpServer *server, uint64_t now)
{
    Measure *measure = server->measure;
    uint64_t woke = loop_woke_at(server->loop);
    uint64_t from = woke > measure->turned ? woke : measure->turned;
    if (measure->turned != 0) {
        metrics_time(server->metrics, METRICS_LAG, now - from);
    }
    measure->turned = measure->read = now;
}

void
measure_turn(HttpServer *server)
{
    uint64_t now = loop_now_ns();
    measure_lag(server, now);
    if (unlikely(now - server->measure->told >= METRICS_STALE * NS_PER_MS)) {
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
