/* For types whose tp_new does the whole initialisation, so that __new__ alone can't make an
 * incomplete object. Their tp_init only refuses a second call.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_MADE_H
#define FLUVIAL_BASE_MADE_H

#include "base/py.h"

/* For tp_new: a new object, initialised by `fill`, or NULL with an exception set. */
static inline PyObject *
object_made(PyTypeObject *type, PyObject *args, PyObject *kwargs, initproc fill)
{
    PyObject *op = type->tp_alloc(type, 0);
    if (op != NULL && fill(op, args, kwargs) < 0) {
        Py_CLEAR(op);
    }
    return op;
}

/* For tp_init: accepts the first call, which comes from type(). `initialised` is the object's own
 * flag. */
static inline int
object_init_once(PyObject *op, bool *initialised)
{
    if (*initialised) {
        PyErr_Format(PyExc_RuntimeError, "the %.100s is already initialised",
                     Py_TYPE(op)->tp_name);
        return -1;
    }
    *initialised = true;
    return 0;
}

/* For an optional argument: a new reference to `obj`, or NULL for None. */
static inline PyObject *
object_or_null(PyObject *obj)
{
    return obj == Py_None ? NULL : Py_NewRef(obj);
}

#endif
