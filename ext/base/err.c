/* Conversion of libuv error codes (negative errno values on Unix) to Python exceptions.
 * OSError's constructor picks the subclass (ConnectionResetError …) from the errno.
 */
#include "base/py.h"

#include "base/err.h"

#include <uv.h>

PyObject *
err_new(int err)
{
    assert(err < 0);
    if (err == UV_ENOMEM) {
        return PyObject_CallNoArgs(PyExc_MemoryError);
    }
    return PyObject_CallFunction(PyExc_OSError, "is", -err, uv_strerror(err));
}

PyObject *
err_set(int err)
{
    PyObject *exc = err_new(err);
    if (exc != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
        Py_DECREF(exc);
    }
    return NULL;
}
