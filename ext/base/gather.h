/* A bytes object that grows: pieces are copied into it once, and whoever wants the whole gets the
 * object itself. Zeroed it is empty and valid.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_GATHER_H
#define FLUVIAL_BASE_GATHER_H

#include "base/py.h"
#include "base/slice.h"

typedef struct Gather {
    PyObject *bytes; /* owned, seen by nobody else; NULL when empty */
    size_t len;      /* bytes in use of the object's */
} Gather;

/* Appends `piece`. 0; or -1 with MemoryError set, and the pieces so far are lost. */
int gather_add(Gather *gather, Slice piece);

/* All of it, which is gone from here then: a new reference, or NULL with an exception set. */
PyObject *gather_take(Gather *gather);

static inline void
gather_free(Gather *gather)
{
    gather->len = 0;
    Py_CLEAR(gather->bytes);
}

#endif
