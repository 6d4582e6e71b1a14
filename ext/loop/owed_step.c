/* Steps of tasks that there was no memory for. A step that fails in asyncio's own code, before or after the
 * coroutine has run, leaves its task pending, and nothing will call it again. Therefore the
 * loop calls the step again; asyncio then continues where it had stopped, since a future that is still
 * pending is awaited anew. What a coroutine raises isn't seen here, since its task keeps that. The loop's
 * thread.
 */
#include "base/py.h"

#include "base/err.h"
#include "loop/loop_impl.h"

/* The task whose step `callback` is: a new reference, or NULL. No exception is left. */
static PyObject *
step_task(const LoopState *st, PyObject *callback)
{
    PyObject *task = PyObject_GetAttr(callback, st->str_self);
    if (task != NULL && PyObject_IsInstance(task, st->task_type) <= 0) {
        Py_CLEAR(task);
    }
    PyErr_Clear(); /* it is no step, then; what the step raised is restored */
    return task;
}

static bool
task_is_pending(const LoopState *st, PyObject *task)
{
    PyObject *done = PyObject_CallMethodNoArgs(task, st->str_done);
    bool pending = done == Py_False;
    Py_XDECREF(done);
    PyErr_Clear(); /* a user's own class of tasks, whose attributes may differ */
    return pending;
}

bool
step_is_owed(const LoopState *st, PyObject *callback)
{
    if (!PyErr_ExceptionMatches(PyExc_MemoryError)) {
        return false;
    }
    PyObject *exc = err_take();
    PyObject *task = step_task(st, callback);
    bool owed = task != NULL && task_is_pending(st, task);
    Py_XDECREF(task);
    err_restore(exc);
    return owed;
}

bool
loop_step_again(Loop *self, PyObject *step, PyObject *context)
{
    if (!step_is_owed(self->st, step)) {
        return false;
    }
    PyObject *exc = err_take();
    if (loop_call_soon(self, step, NULL, context) < 0) {
        PyErr_Clear(); /* no memory for a handle either: the step's own MemoryError is reported, of which this is one more */
        err_restore(exc);
        return false;
    }
    Py_DECREF(exc);
    return true;
}
