/* The threads that run jobs: when they are started or woken, what they do, when they end.
 * Thread: any, with or without the pool's lock as each function says.
 */
#ifndef FLUVIAL_POOL_WORKER_H
#define FLUVIAL_POOL_WORKER_H

#include "pool/pool_shared.h"

/* Prepares the slots of a new pool. 0, or a negative UV_E* after undoing everything. */
int worker_slots_init(Pool *pool);
void worker_slots_destroy(Pool *pool);

/* With the lock: the worker that should be woken for the waiting jobs, or NULL. Only one worker is
 * being woken at a time; when it takes a job it wakes the next. A batch of short jobs therefore
 * wakes few threads, and a batch of blocking jobs as many as it needs. The caller releases the lock
 * and calls worker_rouse. */
Worker *worker_pick(Pool *pool);

/* Without the lock: wakes the worker that worker_pick returned, or starts its thread if it has
 * none. */
void worker_rouse(Worker *worker);

/* With the lock: all idle workers end. */
void worker_dismiss_idle(Pool *pool);

#endif
