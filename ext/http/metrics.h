/* What a server counts, in memory that all its processes share: requests and their times by route, method and
 * status, and the state of each worker. A process writes only into its own slot, so no write is locked. The
 * process that serves the metrics adds all slots up (pysrc/fluvial/_serving/metrics.py). A worker that takes over a slot
 * continues from the values that it finds, so that counters never go back.
 *
 * The memory, in words of 8 bytes: a head, a table of series, then the slots. Series are entered by any process, and
 * never removed; what doesn't fit is counted as the first of them, "other".
 *
 * Thread: the loop's. The memory is the caller's and outlives this.
 */
#ifndef FLUVIAL_HTTP_METRICS_H
#define FLUVIAL_HTTP_METRICS_H

#include "base/py.h"
#include "base/slice.h"

/* The head's words. What follows METRICS_SLOTS is the parent's, in Python. */
enum {
    METRICS_CAPACITY, /* series that fit */
    METRICS_ENTERED,  /* series that were begun; may exceed the capacity */
    METRICS_SLOTS,
    METRICS_HEAD = 8,
};

enum {
    METRICS_ROUTE = 236, /* bytes of a route's path that are kept */
    METRICS_METHOD = 12, /* bytes of a method, padded with NULs */
    METRICS_BOUNDS = 14, /* of a histogram; one more bucket has no bound */
    METRICS_HISTOGRAM = METRICS_BOUNDS + 2, /* words: the buckets, and the sum in ns */
    METRICS_SERIES = 32,                    /* words of an entry of the table */
};

/* The words of a slot before its series: first those that only grow, then those that come and go. */
typedef enum MetricsWord {
    METRICS_ACCEPTED,
    METRICS_REJECTED,
    METRICS_TLS_DONE,
    METRICS_TLS_FAILED,
    METRICS_RECEIVED,
    METRICS_SENT,
    METRICS_WEBSOCKETS_TOTAL,
    METRICS_JOBS,
    METRICS_JOBS_REFUSED,
    METRICS_COUNTERS,                               /* how many these are */
    METRICS_LAG = METRICS_COUNTERS,                 /* a histogram */
    METRICS_WAIT = METRICS_LAG + METRICS_HISTOGRAM, /* a histogram */
    METRICS_GAUGES = METRICS_WAIT + METRICS_HISTOGRAM,
    METRICS_OPEN = METRICS_GAUGES,
    METRICS_IN_FLIGHT,
    METRICS_WEBSOCKETS,
    METRICS_THREADS,
    METRICS_THREADS_BUSY,
    METRICS_THREADS_LIMIT,
    METRICS_QUEUED,
    METRICS_PID,   /* Python's from here on; 0: no process has the slot */
    METRICS_READY, /* 1: it may get requests */
    METRICS_THREADS_MOST,
    METRICS_OWNER =
        63, /* the process id of the parent that has taken the slot; 0: it is free */
    METRICS_SLOT, /* words before the series */
} MetricsWord;

typedef struct Metrics Metrics;
typedef struct HttpServer HttpServer;

/* How many bytes the memory has. */
size_t metrics_size(uint64_t slots, uint64_t capacity);
/* Uses the memory, whose head says what is in it. NULL with UV_EINVAL in `*err` when it is too small or has no such
 * slot, or with UV_ENOMEM. */
Metrics *metrics_new(void *memory, size_t size, uint64_t slot, int *err);
void metrics_free(Metrics *metrics); /* may be NULL */

/* The index of the series of this route (its path, or a word without '/'), method and status. A new one is added.
 * 0, the series "other", when the table is full. */
uint32_t metrics_series(Metrics *metrics, Slice route, Slice method, int status);
/* An exchange of the series is over, with a response or without. */
void metrics_request(Metrics *metrics, uint32_t series, uint64_t ns);
/* Adds a time to the histogram METRICS_LAG or METRICS_WAIT. */
void metrics_time(Metrics *metrics, MetricsWord histogram, uint64_t ns);
/* A counter has this value since the process began; a gauge has it now. */
void metrics_count(Metrics *metrics, MetricsWord word, uint64_t value);
void metrics_gauge(Metrics *metrics, MetricsWord word, uint64_t value);
/* The upper bound of a histogram's bucket, in ns. */
uint64_t metrics_bound(unsigned bucket);

/* ---- measure.c --------------------------------------------------------------------------- */

/* Brings what is counted in memory up to date, which otherwise may be METRICS_STALE ms old. */
void http_server_measure(HttpServer *server);
/* Counts in that memory: the arguments of metrics_new. Once, before the server listens. 0 or a negative UV_E*. */
int http_server_metrics(HttpServer *server, void *memory, size_t size, uint64_t slot);

#endif
