/* The thread pool for `def` handlers: jobs go out in batches before the loop blocks,
 * results come back in batches through the loop's inbox. How many threads run at once
 * follows from how many of them block (DESIGN section 5); see busy_limit.h.
 *
 * Thread: the loop's, with the GIL, but for what says
 * otherwise.
 */
#ifndef FLUVIAL_POOL_POOL_H
#define FLUVIAL_POOL_POOL_H

#include "base/py.h"
#include "loop/loop.h"

typedef struct Pool Pool;
typedef struct PoolJob PoolJob;

/* One hop to a thread and back. The struct is the submitter's; after pool_submit it
 * belongs to the pool until exactly one of `done.run` and `abandon` is called, which
 * may free it. */
struct PoolJob {
    /* After `run`: done.run(&job->done) on the loop's thread, with the GIL. */
    InboxNode done;
    PoolJob *next; /* the pool's */
    /* On a worker, with the GIL; must leave no exception set. */
    void (*run)(PoolJob *job);
    /* Instead of done.run, with the GIL, when the pool was closed before: in
     * pool_close for a job that never ran, else on the worker, after `run`, where
     * the loop may be gone and must not be touched. */
    void (*abandon)(PoolJob *job);
};

typedef struct PoolConfig {
    uint32_t threads;      /* at most this many workers; at least 1 */
    uint32_t queue;        /* jobs that wait at most */
    uint32_t idle_seconds; /* a worker without work for this long ends */
} PoolConfig;

/* `loop` is borrowed and must stay alive until pool_close has returned. No thread is
 * started before the first job. NULL with an exception set. */
Pool *pool_new(Loop *loop, const PoolConfig *config);

/* 0; UV_EAGAIN when the queue is full; UV_ECANCELED when the pool is closed. When it
 * isn't 0 the job stays the caller's. */
int pool_submit(Pool *pool, PoolJob *job);

/* Jobs that were submitted and neither came back nor were abandoned. */
uint32_t pool_pending(const Pool *pool);

typedef struct PoolStats {
    uint32_t threads;      /* alive */
    uint32_t busy;         /* running a job */
    uint32_t queued;       /* jobs that wait */
    uint32_t limit;        /* how many may be busy now */
    uint32_t peak_threads; /* alive at once, ever */
    uint64_t jobs;         /* begun, ever */
} PoolStats;
PoolStats pool_stats(Pool *pool);

/* Takes no more jobs, lets the workers finish those there are, and ends the workers;
 * releases the GIL meanwhile. `timeout` in seconds bounds the wait: jobs that have
 * not begun by then are abandoned, workers still in a job are left behind and end
 * with it. Everything else has ended when this returns. Does nothing the second
 * time, or in the child of a fork. */
void pool_close(Pool *pool, double timeout);

/* Gives the pool back, once; closes it without waiting when that was not done. */
void pool_free(Pool *pool);

#endif
