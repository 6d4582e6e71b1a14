/* The heap of timers (see timers.h).
 */
#include "base/py.h"

#include "loop/timers.h"

enum { TIMERS_SMALLEST = 32 };

/* When a sleeping loop wakes for its timers (timers_wake_at). Times in nanoseconds. */
enum {
    FINE = 50000,    /* the delay that Linux itself adds to a sleep (timer slack) */
    COARSE = 400000, /* the longest time that a timer waits for later ones */
    PACE = 25000, /* the mean distance at which timers must follow to be waited for */
    PAID = 200,   /* timers that together cost about as much as a wake-up */
};

/* Times that differ by less than a nanosecond have one deadline, yet keep the user's order. */
static bool
entry_before(const TimerEntry *a, const TimerEntry *b)
{
    if (likely(a->deadline != b->deadline)) {
        return a->deadline < b->deadline;
    }
    if (a->handle->when != b->handle->when) {
        return a->handle->when < b->handle->when;
    }
    return a->order < b->order;
}

static void
timers_place(TimerHeap *heap, size_t index, TimerEntry entry)
{
    heap->entries[index] = entry;
    entry.handle->index = index;
}

/* Moves the hole at `index` towards the root until `entry` fits, and stores `entry` there. */
static void
timers_sift_up(TimerHeap *heap, size_t index, TimerEntry entry)
{
    while (index != 0) {
        size_t parent = (index - 1) / 2;
        if (!entry_before(&entry, &heap->entries[parent])) {
            break;
        }
        timers_place(heap, index, heap->entries[parent]);
        index = parent;
    }
    timers_place(heap, index, entry);
}

/* The same towards the leaves. */
static void
timers_sift_down(TimerHeap *heap, size_t index, TimerEntry entry)
{
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= heap->len) {
            break;
        }
        if (child + 1 < heap->len
            && entry_before(&heap->entries[child + 1], &heap->entries[child])) {
            child++;
        }
        if (!entry_before(&heap->entries[child], &entry)) {
            break;
        }
        timers_place(heap, index, heap->entries[child]);
        index = child;
    }
    timers_place(heap, index, entry);
}

static int
timers_grow(TimerHeap *heap)
{
    size_t cap = heap->cap == 0 ? TIMERS_SMALLEST : heap->cap * 2;
    TimerEntry *entries = PyMem_Realloc(heap->entries, cap * sizeof(*entries));
    if (entries == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    heap->entries = entries;
    heap->cap = cap;
    return 0;
}

int
timers_add(TimerHeap *heap, TimerHandle *timer)
{
    if (heap->len == heap->cap && timers_grow(heap) < 0) {
        return -1;
    }
    timer->order = heap->made++;
    TimerEntry entry = {timer->deadline, timer->order, timer};
    Py_INCREF(timer);
    timers_sift_up(heap, heap->len++, entry);
    return 0;
}

/* Removes the entry at `index`; its reference passes to the caller. */
static TimerHandle *
timers_take(TimerHeap *heap, size_t index)
{
    TimerHandle *timer = heap->entries[index].handle;
    timer->index = TIMER_IDLE;
    TimerEntry last = heap->entries[--heap->len];
    if (index < heap->len) {
        if (index != 0 && entry_before(&last, &heap->entries[(index - 1) / 2])) {
            timers_sift_up(heap, index, last);
        } else {
            timers_sift_down(heap, index, last);
        }
    }
    return timer;
}

void
timers_remove(TimerHeap *heap, TimerHandle *timer)
{
    if (timer->index != TIMER_IDLE) {
        assert(heap->entries[timer->index].handle == timer);
        Py_DECREF(timers_take(heap, timer->index));
    }
}

/* ---- When to wake ------------------------------------------------------------------------- */

/* The number of timers of the subtree at `index` that are due by `by`; stops counting at `most`. */
static size_t
subtree_due(const TimerHeap *heap, size_t index, uint64_t by, size_t most)
{
    if (most == 0 || index >= heap->len || heap->entries[index].deadline > by) {
        return 0;
    }
    size_t n = 1 + subtree_due(heap, 2 * index + 1, by, most - 1);
    return n + subtree_due(heap, 2 * index + 2, by, most - n);
}

static_assert(FINE / PACE >= 1 && PAID > 1,
              "a timer alone shares its wake-up with none");

/* The second earliest deadline; UINT64_MAX: there is none. */
static uint64_t
timers_second(const TimerHeap *heap)
{
    uint64_t second = UINT64_MAX;
    for (size_t i = 1; i < heap->len && i <= 2; i++) {
        uint64_t deadline = heap->entries[i].deadline;
        second = deadline < second ? deadline : second;
    }
    return second;
}

/* Doubles the span as long as timers follow at a mean distance of PACE or less, and until PAID timers
 * share the wake-up. */
uint64_t
timers_wake_at(const TimerHeap *heap)
{
    uint64_t first = timers_next(heap);
    if (first == UINT64_MAX) {
        return first;
    }
    uint64_t at = (first / FINE + 1) * FINE;
    if (timers_second(heap) > first + 2 * FINE) {
        return at; /* what the loop would find, too: no other timer is near */
    }
    for (uint64_t span = FINE; span < COARSE; span *= 2) {
        uint64_t later = first + 2 * span;
        size_t n = subtree_due(heap, 0, at, PAID);
        size_t worth = n + span / PACE;
        if (n == PAID || subtree_due(heap, 0, later, worth) < worth) {
            break;
        }
        at = later;
    }
    return at;
}

/* ---- Removal ------------------------------------------------------------------------------ */

TimerHandle *
timers_pop(TimerHeap *heap)
{
    assert(heap->len != 0);
    return timers_take(heap, 0);
}

void
timers_forget(TimerHeap *heap)
{
    for (size_t i = 0; i < heap->len; i++) {
        heap->entries[i].handle->index = TIMER_IDLE;
    }
    *heap = (TimerHeap){NULL, 0, 0, heap->made};
}

void
timers_clear(TimerHeap *heap)
{
    TimerHeap old = *heap;
    timers_forget(heap);
    for (size_t i = 0; i < old.len; i++) {
        Py_DECREF(old.entries[i].handle);
    }
    PyMem_Free(old.entries);
}

void
timers_track(TimerHeap *heap)
{
    for (size_t i = 0; i < heap->len; i++) {
        handle_track(&heap->entries[i].handle->base);
    }
}

int
timers_traverse(TimerHeap *heap, visitproc visit, void *arg)
{
    for (size_t i = 0; i < heap->len; i++) {
        Py_VISIT(heap->entries[i].handle);
    }
    return 0;
}
