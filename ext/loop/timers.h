/* The loop's timers: a binary heap of TimerHandles, ordered by deadline. It owns a reference to each.
 * A handle stores its own index, so that a cancelled timer is removed at once.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_LOOP_TIMERS_H
#define FLUVIAL_LOOP_TIMERS_H

#include "base/py.h"
#include "loop/handle.h"

/* The ordering keys are copied next to the pointer, so that moving entries in the heap accesses the
 * handles only to update their index, and to tell times within a nanosecond apart. */
typedef struct TimerEntry {
    uint64_t deadline;
    uint64_t order;
    TimerHandle *handle; /* owned */
} TimerEntry;

typedef struct TimerHeap {
    TimerEntry *entries; /* owned memory */
    size_t len, cap;
    uint64_t made; /* timers added so far: the `order` of the next one */
} TimerHeap;

/* Adds `timer` (borrowed; a reference is taken). 0, or -1 with MemoryError set. */
int timers_add(TimerHeap *heap, TimerHandle *timer);

/* Removes `timer` if it is in the heap, and releases the heap's reference. */
void timers_remove(TimerHeap *heap, TimerHandle *timer);

/* The earliest deadline, or UINT64_MAX. */
static inline uint64_t
timers_next(const TimerHeap *heap)
{
    return heap->len == 0 ? UINT64_MAX : heap->entries[0].deadline;
}

/* The time at which a sleeping loop should wake for its timers, or UINT64_MAX. That is up to 50 us
 * after the earliest deadline, so that timers with close deadlines share one wake-up. When many
 * timers follow each other closely it is up to half a millisecond: otherwise each wake-up would
 * serve only a few of them, and a wake-up costs as much as a hundred timers. */
uint64_t timers_wake_at(const TimerHeap *heap);

/* Removes the earliest timer; its reference passes to the caller. The heap must not be empty. */
TimerHandle *timers_pop(TimerHeap *heap);

void timers_clear(TimerHeap *heap);
/* Empties the heap without releasing the handles or the memory. */
void timers_forget(TimerHeap *heap);
/* Makes all handles visible to garbage collection (handle_track). */
void timers_track(TimerHeap *heap);
int timers_traverse(TimerHeap *heap, visitproc visit, void *arg);

#endif
