/* Helpers for contexts (contextvars.Context) that the C API lacks: whether the current one is empty,
 * and running in a copy of one.
 * Thread: any, with the GIL.
 */
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

/* Whether calling `callable` (borrowed) only makes a coroutine, so that no user code runs before the
 * coroutine starts. False when that isn't known. */
static inline bool
callable_is_plain(PyObject *callable)
{
    PyObject *function =
        PyMethod_Check(callable) ? PyMethod_GET_FUNCTION(callable) : callable;
    return PyFunction_Check(function)
           && (((PyCodeObject *)PyFunction_GET_CODE(function))->co_flags & CO_COROUTINE)
                  != 0;
}

/* Makes a copy of `context` (borrowed) the current context, until context_leave. Returns the copy,
 * a new reference, or NULL with an exception set. */
static inline PyObject *
context_enter_copy(PyObject *context)
{
    PyObject *copy = PyContext_Copy(context);
    if (copy != NULL && PyContext_Enter(copy) < 0) {
        Py_CLEAR(copy);
    }
    return copy;
}

/* Leaves `context`; the previous context becomes the current one again. A current exception stays
 * set. */
static inline void
context_leave(PyObject *context)
{
    if (PyContext_Exit(context) < 0) {
        PyErr_WriteUnraisable(context);
    }
}

/* `given`, or a copy of the current context where it is None: a new reference. NULL with TypeError set for
 * anything else. */
static inline PyObject *
context_or_copy(PyObject *given)
{
    if (given == Py_None) {
        return PyContext_CopyCurrent();
    }
    if (!PyContext_CheckExact(given)) {
        PyErr_Format(PyExc_TypeError,
                     "context must be a contextvars.Context, not %.200s",
                     Py_TYPE(given)->tp_name);
        return NULL;
    }
    return Py_NewRef(given);
}

#endif
