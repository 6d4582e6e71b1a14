/* The heap of timers (see timers.h).
 */
#include "base/py.h"

#include "loop/timers.h"

enum { TIMERS_SMALLEST = 32 };

static bool
entry_before(const TimerEntry *a, const TimerEntry *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

static void
entry_place(TimerHeap *heap, size_t index, TimerEntry entry)
{
    heap->entries[index] = entry;
    entry.handle->index = index;
}

/* Finds the place of `entry` from the hole at `index` towards the root. */
static void
sift_up(TimerHeap *heap, size_t index, TimerEntry entry)
{
    while (index != 0) {
        size_t parent = (index - 1) / 2;
        if (!entry_before(&entry, &heap->entries[parent])) {
            break;
        }
        entry_place(heap, index, heap->entries[parent]);
        index = parent;
    }
    entry_place(heap, index, entry);
}

/* The same towards the leaves. */
static void
sift_down(TimerHeap *heap, size_t index, TimerEntry entry)
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
        entry_place(heap, index, heap->entries[child]);
        index = child;
    }
    entry_place(heap, index, entry);
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
    sift_up(heap, heap->len++, entry);
    return 0;
}

/* Takes the entry at `index` out; the reference passes to the caller. */
static TimerHandle *
timers_take(TimerHeap *heap, size_t index)
{
    TimerHandle *timer = heap->entries[index].handle;
    timer->index = TIMER_IDLE;
    TimerEntry last = heap->entries[--heap->len];
    if (index < heap->len) {
        if (index != 0 && entry_before(&last, &heap->entries[(index - 1) / 2])) {
            sift_up(heap, index, last);
        } else {
            sift_down(heap, index, last);
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
