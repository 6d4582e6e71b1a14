/* The thread pool for `def` handlers: jobs go out in batches before the loop blocks, results
 * come back through the loop's inbox. How many threads run at once follows from how many of
 * them block (DESIGN section 5); see monitor.c.
 */
#ifndef FLUVIAL_APP_POOL_H
#define FLUVIAL_APP_POOL_H

#include "base/py.h"
#include "loop/loop.h"

typedef struct Pool Pool;
typedef struct PoolJob PoolJob;

/* One hop to a thread and back. The struct is the submitter's; between pool_submit and
 * `done.run` it belongs to the pool. */
struct PoolJob {
    InboxNode done;            /* done.run: on the loop's thread, with the GIL, when run has returned */
    PoolJob *next;             /* the pool's */
    void (*run)(PoolJob *job); /* on a worker, with the GIL; must leave no exception set */
};

typedef struct PoolConfig {
    uint32_t threads;      /* at most this many workers; default 64 */
    uint32_t queue;        /* jobs that wait at most; default 16,384 */
    uint32_t idle_seconds; /* a worker without work for this long ends; default 10 */
} PoolConfig;

/* NULL with an exception set. No thread is started before the first job. */
Pool *pool_new(Loop *loop, const PoolConfig *config);

/* The loop's thread. 0; or UV_EAGAIN when the queue is full: the job stays the caller's. */
int pool_submit(Pool *pool, PoolJob *job);

/* Jobs that were submitted and whose done.run has not been called. */
uint32_t pool_pending(const Pool *pool);

typedef struct PoolStats {
    uint32_t threads, busy, queued, limit, peak_threads;
    uint64_t jobs;
} PoolStats;
PoolStats pool_stats(const Pool *pool);

/* Ends the idle workers and, as they finish, the busy ones; frees the pool when the last has
 * ended. Waits (GIL released) at most `timeout` seconds for them; workers still in a handler after that are left
 * behind: they end by themselves and never touch the loop. Jobs not yet started come back with done.run called and
 * `run` never called? No: they are run before the close, see pool.c. */
void pool_close(Pool *pool, double timeout);

#endif
