/* The loop's timers: a binary heap of TimerHandles by deadline, earliest first. It owns a
 * reference to each; a handle knows its place, so that cancelling removes it at once.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_LOOP_TIMERS_H
#define FLUVIAL_LOOP_TIMERS_H

#include "base/py.h"
#include "loop/handle.h"

/* A copy of what ordering needs stands beside the pointer: sifting touches no handles but for
 * their index. */
typedef struct TimerEntry {
    uint64_t deadline;
    uint64_t order;
    TimerHandle *handle; /* owned */
} TimerEntry;

typedef struct TimerHeap {
    TimerEntry *entries; /* owned memory */
    size_t len, cap;
    uint64_t made; /* timers so far: the next one's order */
} TimerHeap;

/* Adds `timer` (borrowed; a reference is taken). 0, or -1 with MemoryError set. */
int timers_add(TimerHeap *heap, TimerHandle *timer);

/* Takes `timer` out when it is in, and releases the heap's reference. */
void timers_remove(TimerHeap *heap, TimerHandle *timer);

/* The earliest deadline, or UINT64_MAX. */
static inline uint64_t
timers_next(const TimerHeap *heap)
{
    return heap->len == 0 ? UINT64_MAX : heap->entries[0].deadline;
}

/* When a loop that sleeps is to wake for its timers, or UINT64_MAX. Up to 50 us after the earliest
 * deadline, so that timers which follow closely wake it once. While timers crowd, up to half a
 * millisecond: each wake-up would serve few of them, and costs as much as a hundred. */
uint64_t timers_wake_at(const TimerHeap *heap);

/* Takes the earliest timer out; its reference passes to the caller. The heap must not be
 * empty. */
TimerHandle *timers_pop(TimerHeap *heap);

void timers_clear(TimerHeap *heap);
/* Empties the heap without releasing anything. */
void timers_forget(TimerHeap *heap);
/* Shows all handles to garbage collection (handle_track). */
void timers_track(TimerHeap *heap);
int timers_traverse(TimerHeap *heap, visitproc visit, void *arg);

#endif
