/* Memory of dead objects that are made again and again, all of one type with tp_basicsize and GC: a new object
 * takes it, and costs neither the allocator nor the collector's count anything.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_RECYCLE_H
#define FLUVIAL_BASE_RECYCLE_H

#include "base/py.h"

typedef struct Recycler {
    PyObject *
        head; /* memory only, not counted as a reference; linked after its PyObject_HEAD */
    unsigned len;
    unsigned
        room; /* how much is kept at most; 0: nothing, as before the set-up and after the end */
} Recycler;

static inline PyObject **
recycle_link(PyObject *op)
{
    return (PyObject **)((char *)op + sizeof(PyObject));
}

/* As type->tp_alloc(type, 0). */
static inline PyObject *
recycle_new(Recycler *self, PyTypeObject *type)
{
    PyObject *op = self->head;
    if (unlikely(op == NULL)) {
        return type->tp_alloc(type, 0);
    }
    self->head = *recycle_link(op);
    self->len--;
    memset(recycle_link(op), 0, (size_t)type->tp_basicsize - sizeof(PyObject));
    (void)PyObject_Init(op, type);
    PyObject_GC_Track(op);
    return op;
}

/* The end of tp_dealloc, for an untracked and cleared object: keeps its memory or frees it, and drops the
 * reference to its type. */
static inline void
recycle_free(Recycler *self, PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    if (self != NULL && self->len < self->room) {
        *recycle_link(op) = self->head;
        self->head = op;
        self->len++;
    } else {
        type->tp_free(op);
    }
    Py_DECREF(type);
}

/* Frees what is kept, and keeps nothing from now on. */
static inline void
recycle_end(Recycler *self)
{
    self->room = 0;
    while (self->head != NULL) {
        PyObject *op = self->head;
        self->head = *recycle_link(op);
        PyObject_GC_Del(op);
    }
    self->len = 0;
}

#endif
