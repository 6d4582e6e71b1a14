/* Growth, release and traversal of the ready queue (see ready.h).
 */
#include "base/py.h"

#include "loop/ready.h"

enum { READY_SMALLEST = 64 };

int
ready_grow(ReadyQueue *q)
{
    size_t cap = q->ring == NULL ? 0 : q->mask + 1;
    size_t more = cap == 0 ? READY_SMALLEST : cap * 2;
    Handle **ring = PyMem_Malloc(more * sizeof(*ring));
    if (ring == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < q->len; i++) {
        ring[i] = q->ring[(q->head + i) & q->mask];
    }
    PyMem_Free(q->ring);
    q->ring = ring;
    q->mask = more - 1;
    q->head = 0;
    return 0;
}

void
ready_clear(ReadyQueue *q)
{
    ReadyQueue old = *q;
    *q = (ReadyQueue){NULL, 0, 0, 0};
    while (old.len != 0) {
        Py_DECREF(ready_pop(&old));
    }
    PyMem_Free(old.ring);
}

void
ready_track(ReadyQueue *q)
{
    for (size_t i = 0; i < q->len; i++) {
        handle_track(q->ring[(q->head + i) & q->mask]);
    }
}

int
ready_traverse(ReadyQueue *q, visitproc visit, void *arg)
{
    for (size_t i = 0; i < q->len; i++) {
        Py_VISIT(q->ring[(q->head + i) & q->mask]);
    }
    return 0;
}
