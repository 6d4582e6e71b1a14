/* The thread pool for `def` handlers. Jobs are handed to the workers in batches before the loop
 * blocks; results come back in batches through the loop's inbox. The number of threads that run at
 * once depends on how many of them block (busy_limit.h).
 *
 * Thread: the loop's, with the GIL, unless a comment says otherwise.
 */
#ifndef FLUVIAL_POOL_POOL_H
#define FLUVIAL_POOL_POOL_H

#include "base/py.h"
#include "loop/loop.h"

typedef struct Pool Pool;
typedef struct PoolJob PoolJob;

/* A call that runs on a worker and returns to the loop. The submitter allocates the struct. From
 * pool_submit on it belongs to the pool, until exactly one of `done.run` and `abandon` is called,
 * which may free it. */
struct PoolJob {
    /* After `run`: done.run(&job->done) on the loop's thread, with the GIL. */
    InboxNode done;
    PoolJob *next, *before; /* used by the pool */
    bool waiting;           /* the same: no worker has taken it yet */
    /* On a worker, with the GIL; must not leave an exception set. */
    void (*run)(PoolJob *job);
    /* Called with the GIL instead of done.run when the pool was closed before. A job that never ran
     * is abandoned within pool_close. A job that did run is abandoned on its worker, after `run`;
     * the loop may have been freed by then and must not be touched. */
    void (*abandon)(PoolJob *job);
};

typedef struct PoolConfig {
    uint32_t threads;      /* maximum number of workers; at least 1 */
    uint32_t queue;        /* maximum number of waiting jobs */
    uint32_t idle_seconds; /* a worker ends after this long without a job */
    uint64_t patience;     /* ns that a job may wait, see pool_patience; 0: any time */
    /* Each worker calls `greeter` before the first job at which the module `greeted` has been
     * imported. Both NULL, or borrowed from who closes the pool before they go. */
    PyObject *greeted;
    PyObject *greeter;
} PoolConfig;

/* `loop` is borrowed and must stay alive until pool_close has returned. No thread is
 * started before the first job. NULL with an exception set. */
Pool *pool_new(Loop *loop, const PoolConfig *config);

/* Queues `job`. 0; UV_EAGAIN when the queue is full; UV_ECANCELED when the pool is closed. Unless
 * the result is 0, the job still belongs to the caller. */
int pool_submit(Pool *pool, PoolJob *job);

/* Takes back a job that no worker has begun, because nobody waits for it any more: it is the caller's
 * again. False for one that has begun; that comes back as any other. */
bool pool_withdraw(Pool *pool, PoolJob *job);

/* How many ns the job that was submitted last may wait before the submitter should refuse it; 0: any time.
 * It is PoolConfig.patience, or a tenth of it when the queue has not been empty for that long: then jobs
 * come faster than they are done, and a longer queue only makes all of them late. */
uint64_t pool_patience(const Pool *pool);

/* pool_withdraw for a job that has waited too long; counts those that it takes back. */
bool pool_refuse(Pool *pool, PoolJob *job);

/* The number of submitted jobs that have neither come back nor been abandoned. */
uint32_t pool_pending(const Pool *pool);

typedef struct PoolStats {
    uint32_t threads;      /* alive */
    uint32_t busy;         /* running a job */
    uint32_t queued;       /* waiting jobs */
    uint32_t limit;        /* how many workers may be busy now */
    uint32_t peak_threads; /* the most that were alive at once */
    uint64_t jobs;         /* started since the pool was made */
    uint64_t refused;      /* by pool_refuse, since then */
} PoolStats;
PoolStats pool_stats(Pool *pool);

/* Accepts no more jobs, lets the workers finish the accepted ones, and ends the workers; releases
 * the GIL meanwhile. `timeout` (seconds) limits the wait. Jobs that have not started by then are
 * abandoned. Workers that are still in a job continue, and end after it; all others have ended when
 * this returns. Does nothing the second time, or in the child of a fork. */
void pool_close(Pool *pool, double timeout);

/* Drops the caller's share of the pool; to be called once. Closes the pool without waiting if that
 * has not been done. */
void pool_free(Pool *pool);

#endif
