/* The threads that run jobs: when one is started or woken, what it does, when it
 * ends.
 * Thread: any, with or without the pool's lock as each function says.
 */
#ifndef FLUVIAL_POOL_WORKER_H
#define FLUVIAL_POOL_WORKER_H

#include "pool/pool_shared.h"

/* Prepares the slots of a new pool. 0 or a negative UV_E*, with nothing left to
 * undo. */
int worker_slots_init(Pool *pool);
void worker_slots_destroy(Pool *pool);

/* With the lock: the worker that should be woken for the jobs that wait, or NULL.
 * Only one is under way at a time; when it takes a job it wakes the next, so that a
 * batch of short jobs wakes few threads and a batch of blocking ones as many as it
 * needs. The caller gives up the lock and calls worker_rouse. */
Worker *worker_pick(Pool *pool);

/* Without the lock: wakes what worker_pick returned; starts its thread if it has
 * none. */
void worker_rouse(Worker *worker);

/* With the lock: all idle workers end. */
void worker_dismiss_idle(Pool *pool);

#endif
