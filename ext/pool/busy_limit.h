/* How many workers may be busy at once (ADR 6): the policy, as a pure function of what
 * the monitor saw.
 *
 * Handlers that block (sleep, wait for a database) need many threads; more than one
 * that computes in Python only fights the loop for the GIL. Each look compares the
 * workers' and the loop's CPU clocks with the time that passed. The limit grows while
 * jobs wait although the workers hardly compute, and halves while several compute and
 * the loop waits for the GIL.
 * Thread: the pool's lock guards the struct; the monitor looks.
 */
#ifndef FLUVIAL_POOL_BUSY_LIMIT_H
#define FLUVIAL_POOL_BUSY_LIMIT_H

#include "base/py.h"

#define LOOK_NS 2000000u /* at 1 ms, CPU taken by other processes looks like blocking */

/* What happened since the look before. Times in nanoseconds. */
typedef struct Look {
    uint64_t elapsed;    /* since the look before */
    uint64_t worker_cpu; /* used by all workers */
    uint64_t top_cpu;    /* used by the one of them that used most */
    uint64_t loop_cpu;   /* used by the loop's thread */
    uint64_t loop_waits; /* how long the loop has been waiting for the GIL, or 0 */
    uint32_t busy;       /* workers in a job now */
    uint32_t blocked; /* of them, those that have surely been blocking for some time */
    uint32_t hot;     /* workers that lately computed through most of a look */
    uint32_t queued;  /* jobs that wait now */
    uint32_t left_queued; /* of those at the look before, how many still wait */
} Look;

typedef struct Limit {
    uint32_t value;       /* how many workers may be busy, 1 … max */
    uint32_t max;         /* the pool's size */
    uint32_t cores;       /* that the process may use */
    uint32_t step;        /* by how much it grows next */
    uint32_t calm;        /* looks in a row at which growing seemed right */
    uint32_t starved;     /* looks in a row at which the loop was waiting */
    uint32_t probe_base;  /* the limit before an extra worker was tried, else 0 */
    uint32_t probe_looks; /* since the trial began, or since the last one ended */
    uint32_t probe_pause; /* looks between trials; doubles with each that fails */
} Limit;

void limit_init(Limit *limit, uint32_t max, uint32_t cores);

/* Takes one look into account and sets limit->value. */
void limit_look(Limit *limit, const Look *look);

#endif
