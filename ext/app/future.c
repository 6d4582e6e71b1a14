/* See future.h. Thread: the loop's. */
#include "base/py.h"

#include "app/future.h"

PyObject *
future_new(const AppState *st, Loop *loop)
{
    return PyObject_CallMethodNoArgs((PyObject *)loop, st->str_create_future);
}

int
future_resolve(const AppState *st, PyObject *future, PyObject *result)
{
    PyObject *done = PyObject_CallMethodNoArgs(future, st->str_done);
    if (done == NULL) {
        return -1;
    }
    int is_done = PyObject_IsTrue(done);
    Py_DECREF(done);
    if (is_done != 0) {
        return is_done < 0 ? -1 : 0;
    }
    PyObject *none = PyObject_CallMethodOneArg(future, st->str_set_result, result);
    Py_XDECREF(none);
    return none == NULL ? -1 : 0;
}
