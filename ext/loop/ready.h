/* The ready queue: a ring buffer of the handles to call next, oldest first. It owns a reference to
 * each.
 * Thread: the loop's; other threads may push while they hold the GIL.
 */
#ifndef FLUVIAL_LOOP_READY_H
#define FLUVIAL_LOOP_READY_H

#include "base/py.h"
#include "loop/handle.h"

typedef struct ReadyQueue {
    Handle **ring; /* owned memory, owned handles */
    size_t mask; /* capacity - 1; the capacity is a power of two, or 0 with ring NULL */
    size_t head; /* index of the oldest */
    size_t len;
} ReadyQueue;

/* Doubles the ring. 0, or -1 with MemoryError set. */
int ready_grow(ReadyQueue *q);

/* Appends `handle` (borrowed; a reference is taken). 0, or -1 with MemoryError set. */
static inline int
ready_push(ReadyQueue *q, Handle *handle)
{
    if (unlikely(q->ring == NULL || q->len > q->mask) && ready_grow(q) < 0) {
        return -1;
    }
    q->ring[(q->head + q->len) & q->mask] = (Handle *)Py_NewRef(handle);
    q->len++;
    return 0;
}

/* Removes the oldest handle; its reference passes to the caller. The queue must not be empty. */
static inline Handle *
ready_pop(ReadyQueue *q)
{
    assert(q->len != 0);
    Handle *handle = q->ring[q->head];
    q->head = (q->head + 1) & q->mask;
    q->len--;
    return handle;
}

/* Releases all handles and the memory. */
void ready_clear(ReadyQueue *q);
/* Makes all handles visible to garbage collection (handle_track). */
void ready_track(ReadyQueue *q);
int ready_traverse(ReadyQueue *q, visitproc visit, void *arg);

#endif
