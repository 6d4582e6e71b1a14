/* Counting in shared memory (see metrics.h). Two processes may enter the same series at once; then it stands there
 * twice, and the reader adds both. The loop's thread.
 */
#include "base/py.h"

#include "http/metrics.h"

#include <stdatomic.h>
#include <uv.h>

enum { WORD = sizeof(uint64_t) };

typedef _Atomic uint64_t Word;

/* An entry of the table. */
typedef struct Series {
    _Atomic uint32_t entered; /* 1: what follows is complete */
    uint16_t status;
    uint16_t route_len;
    char method[METRICS_METHOD];
    char route[METRICS_ROUTE];
} Series;
static_assert(sizeof(Series) == (size_t)METRICS_SERIES * WORD,
              "an entry has METRICS_SERIES words");

struct Metrics {
    Word *head;
    Series *table;
    Word *slot;
    Word *counts; /* of the slot's series, METRICS_HISTOGRAM words each */
    uint64_t capacity;
    uint64_t base[METRICS_COUNTERS]; /* counted by earlier processes in this slot */
};

#define US ((uint64_t)1000) /* ns */
static const uint64_t BOUNDS[METRICS_BOUNDS] = {
    500 * US,     1000 * US,    2500 * US,    5000 * US,     10000 * US,
    25000 * US,   50000 * US,   100000 * US,  250000 * US,   500000 * US,
    1000000 * US, 2500000 * US, 5000000 * US, 10000000 * US,
};

uint64_t
metrics_bound(unsigned bucket)
{
    return BOUNDS[bucket];
}

static uint64_t
slot_words(uint64_t capacity)
{
    return METRICS_SLOT + capacity * METRICS_HISTOGRAM;
}

size_t
metrics_size(uint64_t slots, uint64_t capacity)
{
    return (size_t)(METRICS_HEAD + capacity * METRICS_SERIES
                    + slots * slot_words(capacity))
           * WORD;
}

/* Only this process writes the word, so that no other addition can come between. */
static void
word_add(Word *word, uint64_t more)
{
    uint64_t before = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, before + more, memory_order_relaxed);
}

static void
word_set(Word *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

/* ---- The memory -------------------------------------------------------------------------- */

Metrics *
metrics_new(void *memory, size_t size, uint64_t slot, int *err)
{
    Word *head = memory;
    *err = UV_EINVAL;
    if ((uintptr_t)memory % WORD != 0 || size < (size_t)METRICS_HEAD * WORD) {
        return NULL;
    }
    uint64_t capacity = head[METRICS_CAPACITY], slots = head[METRICS_SLOTS];
    if (capacity == 0 || capacity > UINT32_MAX || slots > UINT16_MAX || slot >= slots
        || size < metrics_size(slot + 1, capacity)) { /* others may be added */
        return NULL;
    }
    Metrics *m = PyMem_RawCalloc(1, sizeof *m);
    *err = m == NULL ? UV_ENOMEM : 0;
    if (m != NULL) {
        m->head = head;
        m->capacity = capacity;
        m->table = (Series *)(head + METRICS_HEAD);
        m->slot = head + METRICS_HEAD + capacity * METRICS_SERIES
                  + slot * slot_words(capacity);
        m->counts = m->slot + METRICS_SLOT;
        for (int i = 0; i < METRICS_COUNTERS; i++) {
            m->base[i] = m->slot[i];
        }
    }
    return m;
}

void
metrics_free(Metrics *metrics)
{
    PyMem_RawFree(metrics);
}

/* ---- Series ------------------------------------------------------------------------------ */

static bool
series_is(const Series *series, Slice route, Slice method, int status)
{
    return series->status == status && series->route_len == route.len
           && memcmp(series->route, route.ptr, route.len) == 0
           && memcmp(series->method, method.ptr, method.len) == 0
           && series->method[method.len] == '\0';
}

/* Enters a series; its number, or 0, "other", when there is no room. */
static uint32_t
series_enter(Metrics *m, Slice route, Slice method, int status)
{
    uint64_t own = atomic_load(&m->head[METRICS_ENTERED])
                           < m->capacity /* or it would grow for ever */
                       ? atomic_fetch_add(&m->head[METRICS_ENTERED], 1)
                       : m->capacity;
    if (own >= m->capacity) {
        return 0;
    }
    Series *series = &m->table[own];
    series->status = (uint16_t)status;
    series->route_len = (uint16_t)route.len;
    memcpy(series->route, route.ptr, route.len);
    memcpy(series->method, method.ptr, method.len);
    atomic_store_explicit(&series->entered, 1, memory_order_release);
    return (uint32_t)own;
}

/* Looks through the table, where another process may have entered it. */
uint32_t
metrics_series(Metrics *m, Slice route, Slice method, int status)
{
    route.len = route.len < METRICS_ROUTE ? route.len : METRICS_ROUTE;
    if (unlikely(method.len >= METRICS_METHOD)) {
        method = SLICE("OTHER");
    }
    uint64_t count = atomic_load(&m->head[METRICS_ENTERED]);
    count = count < m->capacity ? count : m->capacity;
    for (uint32_t i = 0; i < count; i++) {
        Series *series = &m->table[i];
        if (atomic_load_explicit(&series->entered, memory_order_acquire) != 0
            && series_is(series, route, method, status)) {
            return i;
        }
    }
    return series_enter(m, route, method, status);
}

/* ---- Counting ---------------------------------------------------------------------------- */

static void
histogram_add(Word *histogram, uint64_t ns)
{
    unsigned bucket = 0;
    while (bucket < METRICS_BOUNDS && ns > BOUNDS[bucket]) {
        bucket++;
    }
    word_add(&histogram[bucket], 1);
    word_add(&histogram[METRICS_BOUNDS + 1], ns);
}

void
metrics_request(Metrics *metrics, uint32_t series, uint64_t ns)
{
    histogram_add(metrics->counts + (size_t)series * METRICS_HISTOGRAM, ns);
}

void
metrics_time(Metrics *metrics, MetricsWord histogram, uint64_t ns)
{
    histogram_add(metrics->slot + histogram, ns);
}

void
metrics_count(Metrics *metrics, MetricsWord word, uint64_t value)
{
    word_set(&metrics->slot[word], metrics->base[word] + value);
}

void
metrics_gauge(Metrics *metrics, MetricsWord word, uint64_t value)
{
    word_set(&metrics->slot[word], value);
}
