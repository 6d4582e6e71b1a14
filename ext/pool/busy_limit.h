/* The policy for how many workers may be busy at once (ADR 6), as a pure function of the monitor's
 * measurements.
 *
 * Handlers that block (sleep, wait for a database) need many threads. Handlers that compute in
 * Python need only one: a second one would only compete with the loop for the GIL. A look compares
 * the CPU clocks of the workers and of the loop with the elapsed time. The limit grows while jobs
 * wait although the workers use little CPU; it is halved while several workers compute and the loop
 * waits for the GIL.
 * Thread: the pool's lock guards the struct; the monitor calls limit_look.
 */
#ifndef FLUVIAL_POOL_BUSY_LIMIT_H
#define FLUVIAL_POOL_BUSY_LIMIT_H

#include "base/py.h"

/* The time between two looks. At 1 ms, a worker that other processes keep from the CPU would look
 * like one that blocks. */
#define LOOK_NS 2000000u

/* What happened since the previous look. Times in nanoseconds. */
typedef struct Look {
    uint64_t elapsed;    /* since the previous look */
    uint64_t worker_cpu; /* CPU time used by all workers */
    uint64_t top_cpu;    /* CPU time used by the worker that used most */
    uint64_t loop_cpu;   /* CPU time used by the loop's thread */
    uint64_t loop_waits; /* how long the loop has been waiting for the GIL, or 0 */
    uint32_t busy;       /* workers that are in a job now */
    uint32_t blocked; /* busy workers that have certainly been blocking for some time */
    uint32_t hot; /* workers that recently computed during most of a look's interval */
    uint32_t queued;      /* jobs that wait now */
    uint32_t left_queued; /* jobs that waited at the previous look and still wait */
} Look;

typedef struct Limit {
    uint32_t value;       /* how many workers may be busy, 1 … max */
    uint32_t max;         /* the pool's size */
    uint32_t cores;       /* that the process may use */
    uint32_t step;        /* by how much the limit grows next */
    uint32_t calm;        /* consecutive looks that called for a higher limit */
    uint32_t starved;     /* consecutive looks at which the loop was waiting */
    uint32_t probe_base;  /* the limit before the trial of an extra worker; else 0 */
    uint32_t probe_looks; /* looks since the trial began, or since the last one ended */
    uint32_t probe_pause; /* looks between trials; doubles with each failed trial */
} Limit;

void limit_init(Limit *limit, uint32_t max, uint32_t cores);

/* Evaluates one look and sets limit->value. */
void limit_look(Limit *limit, const Look *look);

#endif
