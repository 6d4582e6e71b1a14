/* A growing bytes object: each piece is copied into it once, and gather_take returns the object
 * without another copy. A zeroed Gather is empty and valid.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_GATHER_H
#define FLUVIAL_BASE_GATHER_H

#include "base/py.h"
#include "base/slice.h"

typedef struct Gather {
    PyObject *bytes; /* owned, without other references; NULL when empty */
    size_t len;      /* bytes of the object that are in use */
} Gather;

/* Appends `piece`. 0; or -1 with MemoryError set, and the earlier pieces are lost. */
int gather_add(Gather *gather, Slice piece);

/* Returns all pieces as one bytes object and leaves the Gather empty: a new reference, or NULL with
 * an exception set. */
PyObject *gather_take(Gather *gather);

static inline void
gather_free(Gather *gather)
{
    gather->len = 0;
    Py_CLEAR(gather->bytes);
}

#endif
