/* What the contextvars API doesn't tell: whether the current context has any variables. */
#ifndef FLUVIAL_BASE_CONTEXT_H
#define FLUVIAL_BASE_CONTEXT_H

#include "base/py.h"

/* True when a copy of the current context would be an empty one. */
static inline bool
context_is_empty(void)
{
    PyObject *current =
        PyThreadState_Get()->context; /* borrowed; NULL before first used */
    return current == NULL || PyMapping_Size(current) == 0;
}

#endif
