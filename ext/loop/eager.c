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
#include "loop/loop_impl.h"

#if PY_VERSION_HEX >= 0x030C0000

int
eager_setup(LoopState *st)
{
    st->kw_eager = Py_BuildValue("(sss)", "loop", "name", "eager_start");
    return st->kw_eager == NULL ? -1 : 0;
}

PyObject *
loop_task_eager(Loop *self, PyObject *coro, PyObject *name)
{
    LoopState *st = self->st;
    PyObject *argv[] = {NULL, coro, (PyObject *)self, name, Py_True};
    return PyObject_Vectorcall(st->task_type, argv + 1,
                               1 | PY_VECTORCALL_ARGUMENTS_OFFSET, st->kw_eager);
}

#else

/* ---- asyncio.all_tasks() ------------------------------------------------------------------ */

/* Stands before the WeakSet's own add: what every new Task of the process calls. */
static PyObject *
register_task(PyObject *module, PyObject *task)
{
    LoopState *st = loop_state(module);
    if (st->eager_starting) {
        Py_RETURN_NONE;
    }
    return PyObject_CallOneArg(st->register_task, task);
}

static PyMethodDef register_task_def = {"add", register_task, METH_O,
                                        "Adds a task to asyncio.all_tasks()."};

/* Shadows the set's `add`, once, when the first such task is made. */
static int
register_task_setup(LoopState *st)
{
    if (likely(st->register_task != NULL)) {
        return 0;
    }
    PyObject *tasks = NULL;
    if (name_import(&tasks, "asyncio.tasks", "_all_tasks") < 0) {
        return -1;
    }
    st->register_task = PyObject_GetAttrString(tasks, "add");
    PyObject *shadow = PyCFunction_New(&register_task_def, st->module);
    int err = st->register_task == NULL || shadow == NULL
                  ? -1
                  : PyObject_SetAttrString(tasks, "add", shadow);
    Py_XDECREF(shadow);
    Py_DECREF(tasks);
    return err;
}

/* Adds a task that has suspended. */
static void
register_late(Loop *self, PyObject *task)
{
    LoopState *st = self->st;
    PyObject *done = PyObject_CallMethodNoArgs(task, st->str_done);
    PyObject *res =
        done == Py_False ? PyObject_CallOneArg(st->register_task, task) : NULL;
    if (PyErr_Occurred()) {
        loop_report(self, "A task could not be registered");
    }
    Py_XDECREF(done);
    Py_XDECREF(res);
}

/* ---- The task ----------------------------------------------------------------------------- */

int
eager_setup(LoopState *st)
{
    st->kw_eager = Py_BuildValue("(ss)", "loop", "name");
    return st->kw_eager == NULL ? -1 : name_intern(&st->str_done, "done");
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
    PyObject *argv[] = {NULL, coro, (PyObject *)self, name};
    int collecting = PyGC_Disable();
    assert(!self->capture && !st->eager_starting);
    self->capture = true;
    st->eager_starting = true;
    PyObject *task = PyObject_Vectorcall(
        st->task_type, argv + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, st->kw_eager);
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
    if (register_task_setup(self->st) < 0) {
        return NULL;
    }
    PyObject *task = task_captured(self, coro, name);
    PyObject *step = self->captured;
    PyObject *context = self->captured_context;
    self->captured = NULL;
    self->captured_context = NULL;
    if (task != NULL && step != NULL && task_first_step(self, step, context) < 0) {
        Py_CLEAR(task);
    }
    if (task != NULL) {
        register_late(self, task);
    }
    Py_XDECREF(step);
    Py_XDECREF(context);
    return task;
}

#endif
