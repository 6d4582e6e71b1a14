/* loop_task_eager: a real asyncio.Task whose first step runs before the call returns.
 *
 * From 3.12 asyncio does this itself (eager_start). On 3.11 a new Task asks its loop to call_soon
 * its first step: we take the step from there (loop_capture in calls.c) and run it in its
 * context. There a Task also adds itself to the WeakSet behind asyncio.all_tasks(), in Python, which
 * costs as much as the rest of the Task; we put that off until the first step has suspended, as
 * 3.12 does. Runs on the loop's thread.
 */
#include "base/py.h"

#include "loop/eager.h"

#include "base/err.h"
#include "base/names.h"
#include "loop/all_tasks.h"
#include "loop/loop_impl.h"

/* ---- Making the Task ---------------------------------------------------------------------- */

/* The keyword arguments of every Task made here, borrowed: one dict, since building one for each
 * call would cost a tenth of a request. NULL with an exception set. */
static PyObject *
eager_keywords(Loop *self, PyObject *name)
{
    LoopState *st = self->st;
    if (self->eager_keywords == NULL) {
        self->eager_keywords = PyDict_Copy(st->eager_keywords);
        if (self->eager_keywords == NULL
            || PyDict_SetItem(self->eager_keywords, st->str_loop, (PyObject *)self)
                   < 0) {
            return NULL;
        }
    }
    if (self->eager_name != name) {
        if (PyDict_SetItem(self->eager_keywords, st->str_name, name) < 0) {
            return NULL;
        }
        self->eager_name = name;
    }
    return self->eager_keywords;
}

/* Task(coro, loop=…, name=…). A new reference, or NULL with an exception set. */
static PyObject *
eager_task_new(Loop *self, PyObject *coro, PyObject *name)
{
    PyObject *keywords = eager_keywords(self, name);
    PyObject *args = keywords == NULL ? NULL : PyTuple_Pack(1, coro);
    PyObject *task =
        args == NULL ? NULL : PyObject_Call(self->st->task_type, args, keywords);
    Py_XDECREF(args);
    return task;
}

#if PY_VERSION_HEX >= 0x030C0000

int
eager_setup(LoopState *st)
{
    st->eager_keywords = Py_BuildValue("{sO}", "eager_start", Py_True);
    return st->eager_keywords == NULL ? -1 : name_intern(&st->str_name, "name");
}

PyObject *
loop_task_eager(Loop *self, PyObject *coro, PyObject *name)
{
    return eager_task_new(self, coro, name);
}

#else

/* ---- asyncio.all_tasks() ------------------------------------------------------------------ */

/* Adds a task that has suspended. */
static void
register_late(Loop *self, PyObject *task)
{
    LoopState *st = self->st;
    PyObject *done = PyObject_CallMethodNoArgs(task, st->str_done);
    if (done == NULL || (done == Py_False && all_tasks_add(st, task) < 0)) {
        loop_report(self, "A task could not be registered");
    }
    Py_XDECREF(done);
}

/* ---- The first step ----------------------------------------------------------------------- */

int
eager_setup(LoopState *st)
{
    st->eager_keywords = PyDict_New();
    if (st->eager_keywords == NULL || name_intern(&st->str_name, "name") < 0) {
        return -1;
    }
    return name_intern(&st->str_done, "done");
}

/* Runs the first step in its context. Task steps raise nothing but what must leave the loop. */
static int
task_first_step(Loop *self, PyObject *step, PyObject *context)
{
    if (PyContext_Enter(context) < 0) {
        return -1;
    }
    PyObject *res = PyObject_CallNoArgs(step);
    if (PyContext_Exit(context) < 0) {
        Py_CLEAR(res);
    }
    if (res == NULL) {
        loop_report(self, "The first step of a task failed");
    }
    Py_XDECREF(res);
    return 0;
}

/* Makes the Task and captures its first step. The collector stands still meanwhile: a finalizer
 * that makes a task or calls call_soon would be taken for ours. */
static PyObject *
task_captured(Loop *self, PyObject *coro, PyObject *name)
{
    LoopState *st = self->st;
    int collecting = PyGC_Disable();
    assert(!self->capture && !st->eager_starting);
    self->capture = true;
    st->eager_starting = true;
    PyObject *task = eager_task_new(self, coro, name);
    st->eager_starting = false;
    self->capture = false;
    if (collecting) {
        (void)PyGC_Enable();
    }
    return task;
}

PyObject *
loop_task_eager(Loop *self, PyObject *coro, PyObject *name)
{
    PyObject *task = task_captured(self, coro, name);
    PyObject *step = self->captured;
    PyObject *context = self->captured_context;
    self->captured = NULL;
    self->captured_context = NULL;
    if (task != NULL && step != NULL && task_first_step(self, step, context) < 0) {
        Py_CLEAR(task);
    }
    Py_XDECREF(step);
    Py_XDECREF(context);
    /* Whatever a suspended task waits for refers to it. */
    if (task != NULL && Py_REFCNT(task) != 1) {
        register_late(self, task);
    }
    return task;
}

#endif
