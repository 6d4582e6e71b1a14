/* The part of the pool that runs on the loop's thread (see pool.h): it gathers jobs, hands them to the
 * workers once per iteration of the loop, delivers the results, and ends the threads. The threads
 * themselves are in worker.c and monitor.c. pool_shared.h says which thread may use which field.
 */
#include "base/py.h"

#include "pool/pool.h"

#include "pool/monitor.h"
#include "pool/worker.h"
#include "base/err.h"
#include "base/probe.h"

#include <unistd.h>

/* Which share of the time that jobs may wait is left to them while the queue stands. */
#define STANDING_SHARE 10

/* How long pool_close waits for threads that are not in a job and only clean up. */
#define TIDY_SECONDS 1.0

/* ---- Jobs to the workers --------------------------------------------------------- */

static uint32_t
queue_length(const Pool *pool)
{
    return atomic_load_explicit(&pool->queued, memory_order_relaxed);
}

int
pool_submit(Pool *pool, PoolJob *job)
{
    if (pool->phase != POOL_OPEN) {
        return UV_ECANCELED;
    }
    if (pool->batched + queue_length(pool) >= pool->config.queue) {
        return UV_EAGAIN;
    }
    if (unlikely(pool->config.patience != 0)
        && pool->batched + queue_length(pool) == 0) {
        pool->emptied = loop_now_ns();
    }
    job->waiting = true;
    job_push(&pool->batch, job);
    pool->batched++;
    PROBE(job_queued, job, pool->pending);
    pool->pending++;
    return 0;
}

/* With the lock. */
static void
batch_queue(Pool *pool)
{
    if (pool->batch.first == NULL) {
        return;
    }
    if (pool->queue.first == NULL) {
        pool->queue = pool->batch;
    } else {
        pool->batch.first->before = pool->queue.last;
        pool->queue.last->next = pool->batch.first;
        pool->queue.last = pool->batch.last;
    }
    (void)atomic_fetch_add_explicit(&pool->queued, pool->batched, memory_order_relaxed);
    pool->batch.first = NULL;
    pool->batched = 0;
}

/* With the lock: stores the CPU clock of the loop's thread, which calls this. */
static void
loop_thread_note(Pool *pool)
{
    pthread_t self = pthread_self();
    if (!pool->loop_clock.valid || !pthread_equal(pool->loop_thread, self)) {
        pool->loop_thread = self;
        pool->loop_clock = thread_clock();
    }
}

/* The loop's hook. Also wakes workers for the jobs that a worker left in the queue when it released
 * the GIL for the loop. */
static void
pool_hand_over(LoopHook *hook)
{
    Pool *pool = container_of(hook, Pool, hook);
    if (pool->batch.first == NULL && queue_length(pool) == 0) {
        return;
    }
    uv_mutex_lock(&pool->lock);
    batch_queue(pool);
    loop_thread_note(pool);
    Worker *picked = worker_pick(pool);
    if (pool->monitor_asleep && monitor_needed(pool)) {
        monitor_rouse(pool);
    }
    uv_mutex_unlock(&pool->lock);
    worker_rouse(picked);
}

bool
pool_withdraw(Pool *pool, PoolJob *job)
{
    if (pool->phase != POOL_OPEN || pool->pid != getpid()) {
        return false;
    }
    uv_mutex_lock(&pool->lock);
    batch_queue(pool); /* the hook wakes workers for what stays */
    bool waiting = job->waiting;
    if (waiting) {
        job->waiting = false;
        job_remove(&pool->queue, job);
        (void)atomic_fetch_sub_explicit(&pool->queued, 1, memory_order_relaxed);
        pool->pending--;
    }
    uv_mutex_unlock(&pool->lock);
    return waiting;
}

uint64_t
pool_patience(const Pool *pool)
{
    uint64_t most = pool->config.patience;
    if (likely(most == 0)) {
        return 0;
    }
    bool stands = loop_now_ns() - pool->emptied > most;
    return stands ? (most + STANDING_SHARE - 1) / STANDING_SHARE : most;
}

bool
pool_refuse(Pool *pool, PoolJob *job)
{
    bool refused = pool_withdraw(pool, job);
    pool->refused += refused;
    return refused;
}

/* ---- Results to the loop --------------------------------------------------------- */

void
pool_finish(Pool *pool, PoolJob *job)
{
    bool first = pool->finished.first == NULL;
    job_push(&pool->finished, job);
    if (first) {
        pool_ref(pool);
        if (!loop_post(pool->loop, &pool->wake)) {
            pool_unref(pool); /* the loop is closed; pool_close will deliver the job */
        }
    }
}

static void
jobs_deliver(Pool *pool, JobList finished)
{
    PoolJob *job;
    while ((job = job_pop(&finished)) != NULL) {
        pool->pending--;
        job->done.run(&job->done);
    }
}

static void
pool_deliver(InboxNode *node)
{
    Pool *pool = container_of(node, Pool, wake);
    uv_mutex_lock(&pool->lock);
    JobList finished = pool->finished;
    pool->finished.first = NULL;
    uv_mutex_unlock(&pool->lock);
    jobs_deliver(pool, finished);
    pool_unref(pool);
}

/* ---- Beginning and end ----------------------------------------------------------- */

static int
locks_init(Pool *pool)
{
    int err = uv_mutex_init(&pool->lock);
    if (err != 0) {
        return err;
    }
    if ((err = uv_cond_init(&pool->changed)) != 0) {
        goto no_changed;
    }
    if ((err = uv_cond_init(&pool->monitor_wake)) != 0) {
        goto no_monitor_wake;
    }
    if ((err = worker_slots_init(pool)) == 0) {
        return 0;
    }
    uv_cond_destroy(&pool->monitor_wake);
no_monitor_wake:
    uv_cond_destroy(&pool->changed);
no_changed:
    uv_mutex_destroy(&pool->lock);
    return err;
}

Pool *
pool_new(Loop *loop, const PoolConfig *config)
{
    assert(config->threads >= 1);
    size_t size = sizeof(Pool) + config->threads * sizeof(Worker);
    Pool *pool = PyMem_RawCalloc(1, size); /* workers free it, some without the GIL */
    if (pool == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    pool->loop = loop;
    pool->interp = PyInterpreterState_Get();
    pool->pid = getpid();
    pool->config = *config;
    pool->signals = thread_signals();
    pool->hook.run = pool_hand_over;
    pool->wake.run = pool_deliver;
    pool->monitor_asleep = true;
    atomic_init(&pool->refs, 1);
    limit_init(&pool->limit, config->threads, thread_cores());
    int err = locks_init(pool);
    if (err != 0) {
        PyMem_RawFree(pool);
        err_set(err);
        return NULL;
    }
    loop_hook_add(loop, &pool->hook);
    return pool;
}

void
pool_unref(Pool *pool)
{
    if (atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    assert(pool->phase == POOL_CLOSED && pool->finished.first == NULL);
    worker_slots_destroy(pool);
    uv_cond_destroy(&pool->monitor_wake);
    uv_cond_destroy(&pool->changed);
    uv_mutex_destroy(&pool->lock);
    PyMem_RawFree(pool);
}

/* With the lock: whether the phase has nothing left to wait for. */
static bool
pool_settled(const Pool *pool)
{
    const uint32_t *count = pool->count;
    switch (pool->phase) {
    case POOL_OPEN:
        return true;
    case POOL_DRAINING:
        return pool->queue.first == NULL && count[WORKER_BUSY] == 0;
    case POOL_CLOSED:
        return count[WORKER_FREE] + count[WORKER_BUSY] == pool->config.threads;
    }
    return true;
}

/* With the lock: returns the jobs that no worker has started to the loop's thread. */
static void
queue_withdraw(Pool *pool)
{
    assert(pool->batch.first == NULL);
    pool->batch = pool->queue;
    pool->queue.first = NULL;
    atomic_store_explicit(&pool->queued, 0, memory_order_relaxed);
}

/* Enters the phase and waits until it has settled, at most `timeout` seconds. */
static void
pool_enter(Pool *pool, PoolPhase phase, double timeout)
{
    uint64_t patience =
        timeout > 0 ? (uint64_t)((timeout < 1e9 ? timeout : 1e9) * 1e9) : 0;
    Py_BEGIN_ALLOW_THREADS
    uv_mutex_lock(&pool->lock);
    uint64_t deadline = loop_now_ns() + patience;
    assert(phase == pool->phase + 1);
    pool->phase = phase;
    if (phase == POOL_CLOSED) {
        queue_withdraw(pool);
        worker_dismiss_idle(pool);
    }
    for (;;) {
        Worker *picked = worker_pick(pool);
        if (picked != NULL) {
            uv_mutex_unlock(&pool->lock);
            worker_rouse(picked);
            uv_mutex_lock(&pool->lock);
        }
        uint64_t now = loop_now_ns();
        if (pool_settled(pool) || now >= deadline) {
            break;
        }
        (void)uv_cond_timedwait(&pool->changed, &pool->lock, deadline - now);
    }
    uv_mutex_unlock(&pool->lock);
    Py_END_ALLOW_THREADS
}

void
pool_close(Pool *pool, double timeout)
{
    if (pool->phase != POOL_OPEN || pool->pid != getpid()) {
        return;
    }
    loop_hook_remove(pool->loop, &pool->hook);
    pool_hand_over(&pool->hook);
    pool_enter(pool, POOL_DRAINING, timeout);
    pool_enter(pool, POOL_CLOSED, TIDY_SECONDS);
    monitor_stop(pool);
    uv_mutex_lock(&pool->lock);
    JobList finished = pool->finished;
    pool->finished.first = NULL;
    uv_mutex_unlock(&pool->lock);
    jobs_deliver(pool, finished);
    PoolJob *job;
    while ((job = job_pop(&pool->batch)) != NULL) {
        pool->pending--;
        job->abandon(job);
    }
}

void
pool_free(Pool *pool)
{
    pool_close(pool, 0);
    /* A forked child lacks the threads that hold the other references. */
    if (pool->pid == getpid()) {
        pool_unref(pool);
    }
}

uint32_t
pool_pending(const Pool *pool)
{
    return pool->pending;
}

PoolStats
pool_stats(Pool *pool)
{
    uv_mutex_lock(&pool->lock);
    PoolStats stats = {
        .threads = pool->config.threads - pool->count[WORKER_FREE],
        .busy = pool->count[WORKER_BUSY],
        .queued = queue_length(pool) + pool->batched,
        .limit = pool->limit.value,
        .peak_threads = pool->peak,
        .jobs = pool->begun,
        .refused = pool->refused,
    };
    uv_mutex_unlock(&pool->lock);
    return stats;
}
