/* The data that the pool's three kinds of threads share: the loop's thread (pool.c), the workers
 * (worker.c) and the monitor (monitor.c). The four are one thing. No thread waits for the GIL or calls Python while it holds
 * the lock, so a thread may take the lock while it holds the GIL.
 * Thread: all of the pool's; `lock` guards every field that doesn't say otherwise.
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
    WORKER_WAKING,  /* started or woken, but has not looked for a job yet */
    WORKER_BUSY,    /* in a job */
    WORKER_IDLE,    /* on the idle list */
    WORKER_LEAVING, /* ending */
    WORKER_STATES,
} WorkerState;

/* One slot for a thread. Slots live as long as the pool. */
typedef struct Worker {
    struct Pool *pool;
    WorkerState state;
    bool fresh;   /* WAKING, and its thread is not started yet */
    bool greeted; /* the worker's thread only */
    Py_ssize_t
        modules;    /* in sys.modules when it last looked; the worker's thread only */
    uint32_t index; /* in pool->workers */
    uint64_t
        began; /* jobs started in this slot; shows the monitor that a new one began */
    ThreadClock clock;            /* valid while a thread is in the slot */
    uv_cond_t woken;              /* signalled when the state is no longer IDLE */
    struct Worker *below, *above; /* neighbours on the idle list */
    struct {
        ThreadClock clock;
        uint64_t began;
        uint64_t cpu;
        bool busy;
        uint32_t still; /* consecutive looks in the same job without using CPU */
        uint32_t hot; /* remaining looks during which it counts as one that computes */
    } seen;           /* the monitor's thread only, no lock */
} Worker;

typedef enum PoolPhase {
    POOL_OPEN,
    POOL_DRAINING, /* accepts no more jobs, but runs those it has */
    POOL_CLOSED,   /* starts no more jobs and no longer uses the loop */
} PoolPhase;

struct Pool {
    /* Fixed. */
    Loop *loop; /* borrowed; valid until the phase is CLOSED */
    PyInterpreterState *interp;
    pid_t pid; /* of the process that owns the threads; differs in a forked child */
    PoolConfig config;
    /* The signal mask of the workers: that of the thread that made the pool, because processes that
     * handlers start inherit it. */
    sigset_t signals;
    _Atomic uint32_t
        refs; /* one each for the owner, the threads and the posted `wake` */

    /* The loop's thread only. */
    LoopHook hook;
    JobList batch; /* submitted, but not yet moved to `queue` */
    uint32_t batched;
    uint32_t pending;
    uint64_t
        emptied; /* loop_now_ns() when a job last met no other; see pool_patience */
    uint64_t refused; /* jobs that have waited too long */

    uv_mutex_t lock;
    PoolPhase phase;
    JobList queue;           /* jobs for workers, oldest first */
    _Atomic uint32_t queued; /* its length; written under the lock, read anywhere */
    uint64_t begun;          /* jobs taken from the queue so far */
    JobList finished;        /* jobs for done.run, oldest first */
    InboxNode wake;          /* posted to the loop when `finished` becomes non-empty */
    uv_cond_t changed;       /* for pool_close: see pool_settled */
    Worker *idle;            /* top of the idle list: the worker that worked last */
    uint32_t count[WORKER_STATES];
    uint32_t peak;
    Limit limit;

    /* The monitor's thread; see monitor.c. */
    bool monitor_started;
    bool monitor_asleep;
    pthread_t monitor;
    uv_cond_t monitor_wake;
    pthread_t loop_thread;  /* ran the hook last; set together with loop_clock */
    ThreadClock loop_clock; /* the CPU clock of loop_thread */

    Worker workers[]; /* config.threads of them */
};

static inline void
job_push(JobList *list, PoolJob *job)
{
    job->next = NULL;
    job->before = list->first == NULL ? NULL : list->last;
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
        if (list->first != NULL) {
            list->first->before = NULL;
        }
    }
    return job;
}

/* Takes out a job that is on the list. */
static inline void
job_remove(JobList *list, PoolJob *job)
{
    *(job->before == NULL ? &list->first : &job->before->next) = job->next;
    *(job->next == NULL ? &list->last : &job->next->before) = job->before;
}

static inline void
pool_ref(Pool *pool)
{
    (void)atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
}

/* Drops a reference; the last one frees the pool. Without the lock. */
void pool_unref(Pool *pool);

/* With the lock: `job` has run; arranges that its done.run is called. */
void pool_finish(Pool *pool, PoolJob *job);

#endif
