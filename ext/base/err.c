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
    /* libuv's own codes start at -3000. The others are errno values, for which Python uses
     * strerror(). */
    const char *text = err > UV_EAI_ADDRFAMILY ? strerror(-err) : uv_strerror(err);
    return PyObject_CallFunction(PyExc_OSError, "is", -err, text);
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

PyObject *
err_take(void)
{
    assert(PyErr_Occurred());
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *exc, *traceback;
    PyErr_Fetch(&type, &exc, &traceback);
    PyErr_NormalizeException(&type, &exc, &traceback);
    if (traceback != NULL) {
        (void)PyException_SetTraceback(exc, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return exc;
#endif
}

void
err_restore(PyObject *exc)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exc);
#else
    PyErr_Restore(Py_NewRef(Py_TYPE(exc)), exc, PyException_GetTraceback(exc));
#endif
}

PyObject *
err_thrown(PyObject *args)
{
    PyObject *type, *value = Py_None, *traceback = Py_None;
    if (!PyArg_ParseTuple(args, "O|OO", &type, &value, &traceback)) {
        return NULL;
    }
    PyObject *exc;
    if (PyExceptionInstance_Check(type)) {
        exc = Py_NewRef(type);
    } else if (PyExceptionInstance_Check(value)) {
        exc = Py_NewRef(value);
    } else {
        exc = value == Py_None ? PyObject_CallNoArgs(type)
                               : PyObject_CallOneArg(type, value);
    }
    if (exc != NULL && !PyExceptionInstance_Check(exc)) {
        Py_CLEAR(exc);
        PyErr_SetString(PyExc_TypeError,
                        "throw() takes an exception, its type, or both");
    }
    if (exc != NULL && traceback != Py_None
        && PyException_SetTraceback(exc, traceback) < 0) {
        Py_CLEAR(exc);
    }
    return exc;
}

bool
err_is_fatal(void)
{
    return PyErr_ExceptionMatches(PyExc_SystemExit)
           || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
}
