/* The policy of busy_limit.h. Nothing here uses threads, clocks or Python.
 *
 * A worker that uses no CPU need not be blocked: it may be waiting for the GIL while another thread
 * computes. But CPython passes the GIL on after 5 ms, so a worker that wants to compute does so within
 * a few looks. The limit therefore grows after CALM_LOOKS_IDLE calm looks if the CPU is mostly idle,
 * and otherwise after CALM_LOOKS_BUSY, which is longer than such a turn of the GIL.
 */
#include "base/py.h"

#include "pool/busy_limit.h"

enum {
    IDLE_PERCENT =
        60, /* workers and loop together below this: the CPU was mostly idle */
    CALM_PERCENT = 20, /* every worker below this: they mostly block */
    FULL_PERCENT = 90, /* workers and loop together above this: the CPU is full … */
    FAIR_PERCENT = 40, /* … if the workers together have at least this share */
    CALM_LOOKS_IDLE = 2,
    CALM_LOOKS_BUSY = 6,
    STARVED_LOOKS = 2,
    PROBE_LOOKS = 5,        /* how many looks the trial of an extra worker takes */
    PROBE_PAUSE = 50,       /* 100 ms */
    PROBE_PAUSE_MAX = 2500, /* 5 s */
    PROBE_PERCENT = 30,     /* CPU use that an extra worker must add, of one core */
};

void
limit_init(Limit *limit, uint32_t max, uint32_t cores)
{
    *limit = (Limit){
        .value = 1, .max = max, .cores = cores, .step = 1, .probe_pause = PROBE_PAUSE};
}

static bool
share_is_below(uint64_t used, uint64_t elapsed, uint32_t percent)
{
    return used * 100 < elapsed * percent;
}

static void
limit_raise(Limit *limit, uint32_t value)
{
    if (value > limit->value) {
        limit->value = value < limit->max ? value : limit->max;
    }
}

/* Ends the current trial, if any. On success the extra worker stays; otherwise it goes, and the pause
 * before the next trial is doubled. */
static void
probe_end(Limit *limit, bool success)
{
    if (limit->probe_base == 0) {
        return;
    }
    uint32_t pause = PROBE_PAUSE;
    if (!success) {
        limit->value = limit->probe_base;
        pause = limit->probe_pause * 2;
    }
    limit->probe_pause = pause < PROBE_PAUSE_MAX ? pause : PROBE_PAUSE_MAX;
    limit->probe_base = 0;
    limit->probe_looks = 0;
}

/* Halves the limit if the loop has waited for the GIL during whole looks while several workers
 * computed. Returns whether it is waiting so now. */
static bool
limit_shrink(Limit *limit, const Look *look)
{
    if (look->loop_waits < LOOK_NS || look->hot < 2) {
        limit->starved = 0;
        return false;
    }
    if (++limit->starved >= STARVED_LOOKS) {
        probe_end(limit, false);
        uint32_t counted = look->busy < limit->value ? look->busy : limit->value;
        if (counted >= look->blocked + 2) {
            limit->value = look->blocked + (counted - look->blocked) / 2;
        }
        limit->starved = 0;
    }
    return true;
}

/* Whether jobs wait although no worker computes much and the CPU has room for more workers. */
static bool
look_is_calm(const Look *look)
{
    uint64_t total = look->worker_cpu + look->loop_cpu;
    return look->queued != 0
           && share_is_below(look->top_cpu, look->elapsed, CALM_PERCENT)
           && (share_is_below(total, look->elapsed, FULL_PERCENT)
               || share_is_below(look->worker_cpu, look->elapsed, FAIR_PERCENT));
}

static bool
limit_grow(Limit *limit, const Look *look)
{
    if (!look_is_calm(look)) {
        limit->calm = 0;
        limit->step = 1;
        return false;
    }
    if (look->busy < limit->value) {
        return true; /* the workers of the last increase have not started yet */
    }
    bool idle =
        share_is_below(look->worker_cpu + look->loop_cpu, look->elapsed, IDLE_PERCENT);
    bool stuck = look->left_queued != 0;
    uint32_t enough = idle && stuck ? CALM_LOOKS_IDLE : CALM_LOOKS_BUSY;
    if (++limit->calm >= enough) {
        limit_raise(limit, limit->value + limit->step);
        limit->probe_base = 0;
        limit->step *= 2;
        limit->calm = idle && stuck ? CALM_LOOKS_IDLE : 0;
    }
    return true;
}

/* Handlers may compute without the GIL (hashing, compression, numpy); then every core can run one.
 * Only a trial shows whether they do: does an extra worker raise the CPU use of all workers by
 * PROBE_PERCENT? */
static void
limit_probe(Limit *limit, const Look *look)
{
    if (look->queued == 0 || look->busy < limit->value) {
        return;
    }
    uint32_t active = look->busy - look->blocked;
    limit->probe_looks++;
    if (limit->probe_base == 0) {
        if (limit->probe_looks >= limit->probe_pause && active < limit->cores) {
            limit->probe_base = limit->value;
            limit->probe_looks = 0;
            limit_raise(limit, limit->value + 1);
        }
    } else if (!share_is_below(look->worker_cpu, look->elapsed,
                               100 * (active - 1) + PROBE_PERCENT)) {
        probe_end(limit, true);
    } else if (limit->probe_looks >= PROBE_LOOKS) {
        probe_end(limit, false);
    }
}

void
limit_look(Limit *limit, const Look *look)
{
    assert(look->blocked <= look->busy && look->left_queued <= look->queued);
    limit_raise(limit, look->blocked + 1);
    if (limit_shrink(limit, look)) {
        limit->calm = 0;
        limit->step = 1;
    } else if (!limit_grow(limit, look) && limit->cores > 1) {
        limit_probe(limit, look);
    }
    assert(limit->value >= 1 && limit->value <= limit->max);
}
