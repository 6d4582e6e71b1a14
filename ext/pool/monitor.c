/* The monitor (see monitor.h): it takes a look every 2 ms (LOOK_NS), passes it to busy_limit.c, and
 * wakes a worker if the limit allows one more. It runs on a thread of its own, without a Python
 * thread state.
 */
#include "base/py.h"

#include "pool/monitor.h"

#include "pool/worker.h"

enum {
    LINGER_LOOKS = 50, /* the monitor stays awake for 100 ms after it was last needed */
    /* A worker without CPU use for so many looks is blocked. A thread that waits for the GIL wakes up
     * every 5 ms, which is sooner. */
    BLOCKED_LOOKS = 4,
    HOT_LOOKS = 8,    /* for how many looks a worker that computed counts as hot */
    HOT_PERCENT = 40, /* CPU use during a look that makes a worker hot */
};

/* The measurements of the previous look that the next one needs. */
typedef struct Before {
    bool valid;
    uint64_t at;
    uint64_t loop_cpu;
    uint64_t begun;
    uint32_t queued;
} Before;

bool
monitor_needed(const Pool *pool)
{
    uint32_t queued = atomic_load_explicit(&pool->queued, memory_order_relaxed);
    return queued > pool->count[WORKER_WAKING] || pool->count[WORKER_BUSY] > 1;
}

/* By how much a counter rose. The clock of a thread that has ended reads 0. */
static uint64_t
counter_growth(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

/* With the lock: copies the state of the workers, so that their clocks can be read without it. */
static void
workers_note(Pool *pool)
{
    for (uint32_t i = 0; i < pool->peak; i++) {
        Worker *worker = &pool->workers[i];
        worker->seen.clock = worker->clock;
        worker->seen.busy = worker->state == WORKER_BUSY;
        if (worker->seen.began != worker->began) {
            worker->seen.began = worker->began;
            worker->seen.still = 0;
        }
    }
}

/* Without the lock: reads the clocks of the first `count` workers. */
static void
workers_read(Pool *pool, uint32_t count, uint64_t elapsed, Look *look)
{
    for (uint32_t i = 0; i < count; i++) {
        Worker *worker = &pool->workers[i];
        uint64_t cpu = thread_clock_read(worker->seen.clock);
        uint64_t used = counter_growth(cpu, worker->seen.cpu);
        worker->seen.cpu = cpu;
        look->worker_cpu += used;
        look->top_cpu = used > look->top_cpu ? used : look->top_cpu;
        if (used * 100 >= elapsed * HOT_PERCENT) {
            worker->seen.hot = HOT_LOOKS;
        } else if (worker->seen.hot > 0) {
            worker->seen.hot--;
        }
        worker->seen.still =
            worker->seen.busy && used == 0 ? worker->seen.still + 1 : 0;
        look->busy += worker->seen.busy;
        look->blocked += worker->seen.still >= BLOCKED_LOOKS;
        look->hot += worker->seen.hot > 0;
    }
}

/* With the lock, which is released in between: takes a look and adjusts the limit. */
static void
monitor_look(Pool *pool, Before *before)
{
    uint64_t now = loop_now_ns();
    uint64_t wanted_at = loop_gil_wanted_at(pool->loop);
    uint32_t queued = atomic_load_explicit(&pool->queued, memory_order_relaxed);
    uint32_t begun = (uint32_t)(pool->begun - before->begun);
    uint32_t left = before->queued > begun ? before->queued - begun : 0;
    Look look = {
        .elapsed = now - before->at,
        .loop_waits = wanted_at != 0 && now > wanted_at ? now - wanted_at : 0,
        .queued = queued,
        .left_queued = left < queued ? left : queued, /* others were withdrawn */
    };
    Before next = {.valid = true, .at = now, .begun = pool->begun, .queued = queued};
    ThreadClock loop_clock = pool->loop_clock;
    uint32_t count = pool->peak;
    workers_note(pool);

    uv_mutex_unlock(&pool->lock);
    next.loop_cpu = thread_clock_read(loop_clock);
    look.loop_cpu = counter_growth(next.loop_cpu, before->loop_cpu);
    workers_read(pool, count, look.elapsed, &look);
    uv_mutex_lock(&pool->lock);

    if (before->valid) {
        limit_look(&pool->limit, &look);
    }
    *before = next;
}

/* With the lock: sleeps until the monitor is needed again or the pool is closed. */
static void
monitor_sleep(Pool *pool)
{
    pool->monitor_asleep = true;
    while (pool->monitor_asleep && pool->phase != POOL_CLOSED) {
        uv_cond_wait(&pool->monitor_wake, &pool->lock);
    }
    pool->monitor_asleep = false;
}

static void *
monitor_main(void *arg)
{
    Pool *pool = arg;
    thread_set_name("fluvial-monitor");
    Before before = {.valid = false};
    uint32_t unneeded = 0;
    uv_mutex_lock(&pool->lock);
    while (pool->phase != POOL_CLOSED) {
        monitor_look(pool, &before);
        Worker *picked = worker_pick(pool);
        if (picked != NULL) {
            uv_mutex_unlock(&pool->lock);
            worker_rouse(picked);
            uv_mutex_lock(&pool->lock);
        }
        unneeded = monitor_needed(pool) ? 0 : unneeded + 1;
        if (unneeded > LINGER_LOOKS) {
            monitor_sleep(pool);
            before.valid = false;
            unneeded = 0;
        } else if (pool->phase != POOL_CLOSED) {
            (void)uv_cond_timedwait(&pool->monitor_wake, &pool->lock, LOOK_NS);
        }
    }
    uv_mutex_unlock(&pool->lock);
    return NULL;
}

void
monitor_rouse(Pool *pool)
{
    if (!pool->monitor_started) {
        /* If this fails, the next batch tries again. */
        pool->monitor_started =
            thread_start(&pool->monitor, NULL, monitor_main, pool) == 0;
        pool->monitor_asleep = !pool->monitor_started;
    } else if (pool->monitor_asleep) {
        pool->monitor_asleep = false;
        uv_cond_signal(&pool->monitor_wake);
    }
}

void
monitor_stop(Pool *pool)
{
    uv_mutex_lock(&pool->lock);
    bool started = pool->monitor_started;
    pool->monitor_started = false;
    uv_cond_signal(&pool->monitor_wake);
    uv_mutex_unlock(&pool->lock);
    if (started) {
        (void)pthread_join(pool->monitor, NULL);
    }
}
