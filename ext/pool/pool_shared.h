/* What the pool's three kinds of threads share: the loop's thread (pool.c), the workers
 * (worker.c) and the monitor (monitor.c). `lock` guards all of it but for what says
 * otherwise. Nobody asks for the GIL or calls Python while holding the lock, so holding
 * the GIL while taking it is fine.
 * Thread: all of the pool's; `lock` guards what doesn't say otherwise.
 */
#ifndef FLUVIAL_POOL_POOL_SHARED_H
#define FLUVIAL_POOL_POOL_SHARED_H

#include "base/py.h"
#include "pool/busy_limit.h"
#include "pool/pool.h"
#include "pool/thread_os.h"

#include <stdatomic.h>
#include <sys/types.h>

typedef struct JobList {
    PoolJob *first;
    PoolJob *last; /* valid while first isn't NULL */
} JobList;

/* FREE → WAKING → BUSY → IDLE → WAKING …; WAKING → IDLE; the last three → LEAVING → FREE. */
typedef enum WorkerState {
    WORKER_FREE,    /* a slot without a thread */
    WORKER_WAKING,  /* started or woken, has not looked for a job yet */
    WORKER_BUSY,    /* in a job */
    WORKER_IDLE,    /* on the idle list */
    WORKER_LEAVING, /* ending */
    WORKER_STATES,
} WorkerState;

/* One slot for a thread. Slots live as long as the pool. */
typedef struct Worker {
    struct Pool *pool;
    WorkerState state;
    bool fresh;     /* WAKING and its thread not started yet */
    uint32_t index; /* in pool->workers */
    uint64_t began; /* jobs begun in this slot: tells the monitor one from the next */
    ThreadClock clock;            /* valid while a thread is in the slot */
    uv_cond_t woken;              /* not IDLE any more */
    struct Worker *below, *above; /* neighbours on the idle list */
    struct {
        ThreadClock clock;
        uint64_t began;
        uint64_t cpu;
        bool busy;
        uint32_t still; /* looks in a row in the same job without using CPU */
        uint32_t hot;   /* looks until it is forgotten that this one computed */
    } seen;             /* the monitor's thread only, no lock */
} Worker;

typedef enum PoolPhase {
    POOL_OPEN,
    POOL_DRAINING, /* takes no more jobs, but runs those it has */
    POOL_CLOSED,   /* runs no more jobs and leaves the loop alone */
} PoolPhase;

struct Pool {
    /* Fixed. */
    Loop *loop; /* borrowed; valid until the phase is CLOSED */
    PyInterpreterState *interp;
    pid_t pid; /* the process that owns the threads: not a forked child */
    PoolConfig config;
    /* What workers block: the same as the thread that made the pool, because processes
     * that handlers start inherit it. */
    sigset_t signals;
    _Atomic uint32_t refs; /* owner, threads, the posted `wake` */

    /* The loop's thread only. */
    LoopHook hook;
    JobList batch; /* submitted since the last hand-over */
    uint32_t batched;
    uint32_t pending;

    uv_mutex_t lock;
    PoolPhase phase;
    JobList queue;           /* jobs for workers, oldest first */
    _Atomic uint32_t queued; /* its length; written under the lock, read anywhere */
    uint64_t begun;          /* jobs ever taken from the queue */
    JobList finished;        /* jobs for done.run, oldest first */
    InboxNode wake;          /* posted to the loop when `finished` becomes non-empty */
    uv_cond_t changed;       /* for pool_close: see pool_settled */
    Worker *idle;            /* the one that worked last */
    uint32_t count[WORKER_STATES];
    uint32_t peak;
    Limit limit;

    /* The monitor's thread; see monitor.c. */
    bool monitor_started;
    bool monitor_asleep;
    pthread_t monitor;
    uv_cond_t monitor_wake;
    pthread_t loop_thread;  /* which ran the hook last; set when loop_clock is */
    ThreadClock loop_clock; /* its clock */

    Worker workers[]; /* config.threads of them */
};

static inline void
job_push(JobList *list, PoolJob *job)
{
    job->next = NULL;
    if (list->first == NULL) {
        list->first = job;
    } else {
        list->last->next = job;
    }
    list->last = job;
}

/* NULL when the list is empty. */
static inline PoolJob *
job_pop(JobList *list)
{
    PoolJob *job = list->first;
    if (job != NULL) {
        list->first = job->next;
    }
    return job;
}

static inline void
pool_ref(Pool *pool)
{
    (void)atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
}

/* One reference less; frees the pool with the last. Without the lock. */
void pool_unref(Pool *pool);

/* With the lock: `job` has run; its done.run will be called. */
void pool_finish(Pool *pool, PoolJob *job);

#endif
