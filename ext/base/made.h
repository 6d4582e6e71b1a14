/* Types whose objects are complete as soon as they exist: tp_new does it all, so that there is none which
 * __new__ alone has made, and tp_init only refuses to be called again.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_MADE_H
#define FLUVIAL_BASE_MADE_H

#include "base/py.h"

/* For tp_new: a new object that `fill` has filled, or NULL with an exception set. */
static inline PyObject *
object_made(PyTypeObject *type, PyObject *args, PyObject *kwargs, initproc fill)
{
    PyObject *op = type->tp_alloc(type, 0);
    if (op != NULL && fill(op, args, kwargs) < 0) {
        Py_CLEAR(op);
    }
    return op;
}

/* For tp_init: the first call is that of `type()`. `initialised` is the object's own flag. */
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

#endif
