/* The worker threads (see worker.h). Each has one Python thread state for its whole life. Between two
 * jobs a worker keeps the GIL, unless the loop has been waiting for it for LOOP_PATIENCE_NS. Without
 * a job it releases the GIL and waits on the idle list. The worker that became idle last is woken
 * first, because its data is most likely still in the CPU's caches.
 */
#include "base/py.h"

#include "pool/worker.h"

#include "base/probe.h"
#include "pool/monitor.h"
#include "pool/pythread.h"

#include <stdio.h>

/* How long the loop may wait for the GIL while a worker runs one job after the other. This is long
 * enough for a batch of short jobs, whose results the loop then takes together. */
#define LOOP_PATIENCE_NS 1000000u

/* After how many jobs at most a worker looks for the module that its greeter is for, though
 * sys.modules has as many entries as before. A power of two. */
#define GREETING_JOBS 64u

/* ---- Slots and states ------------------------------------------------------------ */

int
worker_slots_init(Pool *pool)
{
    for (uint32_t i = 0; i < pool->config.threads; i++) {
        Worker *worker = &pool->workers[i];
        *worker = (Worker){.pool = pool, .state = WORKER_FREE, .index = i};
        int err = uv_cond_init(&worker->woken);
        if (err != 0) {
            while (i-- > 0) {
                uv_cond_destroy(&pool->workers[i].woken);
            }
            return err;
        }
    }
    pool->count[WORKER_FREE] = pool->config.threads;
    return 0;
}

void
worker_slots_destroy(Pool *pool)
{
    assert(pool->count[WORKER_FREE] == pool->config.threads);
    for (uint32_t i = 0; i < pool->config.threads; i++) {
        uv_cond_destroy(&pool->workers[i].woken);
    }
}

static void
idle_push(Worker *worker)
{
    Pool *pool = worker->pool;
    worker->above = NULL;
    worker->below = pool->idle;
    if (worker->below != NULL) {
        worker->below->above = worker;
    }
    pool->idle = worker;
}

static void
idle_remove(Worker *worker)
{
    if (worker->above != NULL) {
        worker->above->below = worker->below;
    } else {
        worker->pool->idle = worker->below;
    }
    if (worker->below != NULL) {
        worker->below->above = worker->above;
    }
    worker->above = worker->below = NULL;
}

#ifndef NDEBUG
static bool
worker_may_turn(WorkerState from, WorkerState to)
{
    switch (from) {
    case WORKER_FREE:
        return to == WORKER_WAKING;
    case WORKER_WAKING:
        return to == WORKER_BUSY || to == WORKER_IDLE || to == WORKER_LEAVING;
    case WORKER_BUSY:
        return to == WORKER_IDLE || to == WORKER_LEAVING;
    case WORKER_IDLE:
        return to == WORKER_WAKING || to == WORKER_LEAVING;
    case WORKER_LEAVING:
        return to == WORKER_FREE;
    case WORKER_STATES:
        break;
    }
    return false;
}
#endif

/* With the lock. */
static void
worker_turn(Worker *worker, WorkerState to)
{
    Pool *pool = worker->pool;
    assert(worker_may_turn(worker->state, to));
    if (worker->state == WORKER_IDLE) {
        idle_remove(worker);
    }
    pool->count[worker->state]--;
    pool->count[to]++;
    worker->state = to;
    if (to == WORKER_IDLE) {
        idle_push(worker);
    }
}

/* ---- Waking ---------------------------------------------------------------------- */

static Worker *
slot_take(Pool *pool)
{
    Worker *worker = pool->workers;
    while (worker->state != WORKER_FREE) {
        worker++;
    }
    worker->fresh = true;
    pool_ref(pool);
    uint32_t alive = pool->config.threads - pool->count[WORKER_FREE] + 1;
    pool->peak = alive > pool->peak ? alive : pool->peak;
    return worker;
}

Worker *
worker_pick(Pool *pool)
{
    if (pool->queue.first == NULL || pool->count[WORKER_WAKING] != 0
        || pool->count[WORKER_BUSY] >= pool->limit.value) {
        return NULL;
    }
    Worker *worker = pool->idle;
    if (worker == NULL) {
        if (pool->count[WORKER_FREE] == 0) {
            return NULL;
        }
        worker = slot_take(pool);
    }
    worker_turn(worker, WORKER_WAKING);
    return worker;
}

/* The thread has ended, or could not be started. */
static void
worker_vacate(Worker *worker)
{
    Pool *pool = worker->pool;
    uv_mutex_lock(&pool->lock);
    worker->clock.valid = false;
    if (worker->state != WORKER_LEAVING) {
        worker_turn(worker, WORKER_LEAVING);
    }
    worker_turn(worker, WORKER_FREE);
    uv_cond_signal(&pool->changed);
    uv_mutex_unlock(&pool->lock);
    pool_unref(pool);
}

static void *worker_main(void *arg);

void
worker_rouse(Worker *worker)
{
    if (worker == NULL) {
        return;
    }
    if (!worker->fresh) {
        uv_cond_signal(&worker->woken);
        return;
    }
    worker->fresh = false;
    if (thread_start(NULL, &worker->pool->signals, worker_main, worker) != 0) {
        worker_vacate(worker); /* the hook or the monitor will try again */
    }
}

void
worker_dismiss_idle(Pool *pool)
{
    while (pool->idle != NULL) {
        Worker *worker = pool->idle;
        worker_turn(worker, WORKER_LEAVING);
        uv_cond_signal(&worker->woken);
    }
}

/* ---- The thread ------------------------------------------------------------------ */

/* With the lock: whether a worker that has finished a job should release the GIL for the loop. The
 * loop wakes workers for the remaining jobs before it blocks again. */
static bool
worker_should_yield(const Pool *pool)
{
    uint64_t wanted_at = pool->phase == POOL_OPEN ? loop_gil_wanted_at(pool->loop) : 0;
    return wanted_at != 0 && loop_now_ns() - wanted_at >= LOOP_PATIENCE_NS;
}

/* With the lock: takes the next job, which makes the worker BUSY; or returns NULL and makes it IDLE
 * or LEAVING. */
static PoolJob *
worker_take(Worker *worker, bool yield)
{
    Pool *pool = worker->pool;
    if (pool->phase == POOL_CLOSED) {
        worker_turn(worker, WORKER_LEAVING);
        return NULL;
    }
    uint32_t others = pool->count[WORKER_BUSY] - (worker->state == WORKER_BUSY);
    PoolJob *job = yield || others >= pool->limit.value ? NULL : job_pop(&pool->queue);
    if (job == NULL) {
        worker_turn(worker, WORKER_IDLE);
        return NULL;
    }
    job->waiting = false;
    if (worker->state != WORKER_BUSY) {
        worker_turn(worker, WORKER_BUSY);
    }
    (void)atomic_fetch_sub_explicit(&pool->queued, 1, memory_order_relaxed);
    pool->begun++;
    worker->began++;
    return job;
}

/* Delivers `job` (or NULL), which the worker has run, and returns its next job. With the GIL. */
static PoolJob *
worker_next(Worker *worker, PoolJob *job)
{
    Pool *pool = worker->pool;
    uv_mutex_lock(&pool->lock);
    bool outlived = pool->phase == POOL_CLOSED;
    bool yield = false;
    if (job != NULL && !outlived) {
        pool_finish(pool, job);
        yield = worker_should_yield(pool);
    }
    PoolJob *next = worker_take(worker, yield);
    Worker *picked = yield ? NULL : worker_pick(pool);
    if (pool->monitor_asleep && monitor_needed(pool)) {
        monitor_rouse(pool);
    }
    if (pool->phase != POOL_OPEN) {
        uv_cond_signal(&pool->changed);
    }
    uv_mutex_unlock(&pool->lock);
    worker_rouse(picked);
    if (job != NULL && outlived) {
        job->abandon(job);
    }
    return next;
}

/* Without the GIL: waits while the worker is IDLE. True when there may be a job for
 * it; false when it is LEAVING. */
static bool
worker_wait(Worker *worker)
{
    Pool *pool = worker->pool;
    uint64_t patience = (uint64_t)pool->config.idle_seconds * 1000000000u;
    uv_mutex_lock(&pool->lock);
    for (;;) {
        if (worker->state == WORKER_IDLE) {
            int err = uv_cond_timedwait(&worker->woken, &pool->lock, patience);
            if (err == UV_ETIMEDOUT && worker->state == WORKER_IDLE) {
                worker_turn(worker, WORKER_LEAVING);
            }
        } else if (worker->state == WORKER_WAKING && pool->queue.first == NULL) {
            /* Another worker took the job. Become idle again without asking for the GIL. */
            bool closed = pool->phase == POOL_CLOSED;
            worker_turn(worker, closed ? WORKER_LEAVING : WORKER_IDLE);
        } else {
            break;
        }
    }
    bool more = worker->state == WORKER_WAKING;
    uv_mutex_unlock(&pool->lock);
    return more;
}

/* Whether the module that the greeter is for may have been imported since the worker last looked.
 * Almost always a number tells that it has not, which costs a tenth of looking it up. */
static bool
worker_should_look(Worker *worker)
{
    Py_ssize_t modules = PyDict_GET_SIZE(PyImport_GetModuleDict());
    bool look = modules != worker->modules || worker->began % GREETING_JOBS == 0;
    worker->modules = modules;
    return look;
}

/* Calls the pool's greeter on a worker's thread, as soon as its module has been imported. With the
 * GIL, and a job, without which the pool may be closed and the greeter gone. */
static void
worker_greet(Worker *worker)
{
    const PoolConfig *config = &worker->pool->config;
    if (config->greeter == NULL || !worker_should_look(worker)
        || PyDict_GetItemWithError(PyImport_GetModuleDict(), config->greeted) == NULL) {
        return;
    }
    worker->greeted = true;
    PyObject *greeter = Py_NewRef(config->greeter); /* owned */
    PyObject *res = PyObject_CallNoArgs(greeter);
    if (res == NULL) {
        PyErr_WriteUnraisable(greeter);
    }
    Py_XDECREF(res);
    Py_DECREF(greeter);
}

/* Runs jobs until the worker should end; with the GIL. */
static void
worker_serve(Worker *worker)
{
    worker->greeted = false;
    worker->modules = 0;
    for (;;) {
        PoolJob *job = worker_next(worker, NULL);
        while (job != NULL) {
            if (!worker->greeted) {
                worker_greet(worker);
            }
            PROBE(job_begin, job, worker->index);
            job->run(job);
            PROBE(job_end, job, worker->index);
            assert(!PyErr_Occurred());
            job = worker_next(worker, job);
        }
        PyThreadState *tstate = PyEval_SaveThread();
        bool more = worker_wait(worker);
        PyEval_RestoreThread(tstate); /* never returns once the interpreter has ended */
        if (!more) {
            return;
        }
    }
}

/* Makes the calling thread's CPU clock the worker's. */
static void
worker_set_clock(Worker *worker)
{
    uv_mutex_lock(&worker->pool->lock);
    worker->clock = thread_clock();
    uv_mutex_unlock(&worker->pool->lock);
}

/* On the worker's thread, or on one that runs in its place (pythread_run_hooked). With the GIL. */
static void
worker_body(void *arg)
{
    Worker *worker = arg;
    worker_set_clock(worker);
    pythread_begin();
    worker_serve(worker);
    pythread_end();
}

static void *
worker_main(void *arg)
{
    Worker *worker = arg;
    Pool *pool = worker->pool;
    char name[16];
    (void)snprintf(name, sizeof name, "fluvial-%u",
                   (unsigned)(worker->index % 1000000));
    thread_set_name(name);
    worker_set_clock(worker);
    PyThreadState *tstate = PyThreadState_New(pool->interp);
    if (tstate != NULL) {
        PyEval_RestoreThread(tstate);
        if (!pythread_run_hooked(worker_body, worker)) {
            worker_body(worker);
        }
        PyThreadState_Clear(tstate);
        PyThreadState_DeleteCurrent();
    }
    worker_vacate(worker);
    return NULL;
}
