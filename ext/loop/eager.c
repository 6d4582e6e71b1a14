/* loop_task_eager: a real asyncio.Task whose first step runs before the call returns.
 *
 * From 3.12 asyncio does this itself (eager_start). On 3.11 a new Task passes its first step to its
 * loop's call_soon. We take the step from there (loop_capture in calls.c) and run it in its context.
 * A Task of 3.11 also adds itself, by Python code, to the WeakSet that asyncio.all_tasks() reads,
 * which costs as much as the rest of the Task. We postpone that until the first step has suspended,
 * as 3.12 does. Runs on the loop's thread.
 */
#include "base/py.h"

#include "loop/eager.h"

#include "base/context.h"
#include "base/err.h"
#include "base/names.h"
#include "loop/all_tasks.h"
#include "loop/loop_impl.h"

/* ---- Making the Task ---------------------------------------------------------------------- */

/* A dict with the keyword arguments `loop` and `name` of a Task, borrowed. It is always the same
 * dict, because building one for each call would cost a tenth of a request. NULL with an exception
 * set. */
static PyObject *
eager_keywords(Loop *self, TaskKeywords *kw, PyObject *name)
{
    LoopState *st = self->st;
    if (kw->dict == NULL) {
        kw->dict = PyDict_Copy(st->eager_keywords);
        if (kw->dict == NULL
            || PyDict_SetItem(kw->dict, st->str_loop, (PyObject *)self) < 0) {
            return NULL;
        }
    }
    if (kw->name != name) {
        if (PyDict_SetItem(kw->dict, st->str_name, name) < 0) {
            return NULL;
        }
        kw->name = name;
    }
    return kw->dict;
}

/* Task(coro, **keywords). A new reference, or NULL with an exception set. */
static PyObject *
task_make(Loop *self, PyObject *coro, PyObject *keywords)
{
    PyObject *args = PyTuple_Pack(1, coro);
    PyObject *task =
        args == NULL ? NULL : PyObject_Call(self->st->task_type, args, keywords);
    Py_XDECREF(args);
    return task;
}

/* Task(coro, loop=…, name=…, context=context). A new reference, or NULL with an exception set. Only
 * the task may keep a reference to the context, so it is removed from the dict. */
static PyObject *
eager_task_in(Loop *self, PyObject *coro, PyObject *name, PyObject *context)
{
    PyObject *keywords = eager_keywords(self, &self->eager_in, name);
    PyObject *key = self->st->str_context;
    if (keywords == NULL || PyDict_SetItem(keywords, key, context) < 0) {
        return NULL;
    }
    PyObject *task = task_make(self, coro, keywords);
    if (PyDict_SetItem(keywords, key, Py_None) < 0) {
        Py_CLEAR(task);
    }
    return task;
}

#if PY_VERSION_HEX >= 0x030C0000

int
eager_setup(LoopState *st)
{
    st->eager_keywords = Py_BuildValue("{sO}", "eager_start", Py_True);
    return st->eager_keywords == NULL ? -1 : name_intern(&st->str_name, "name");
}

static PyObject *
task_start_in(Loop *self, PyObject *coro, PyObject *name, PyObject *context)
{
    return eager_task_in(self, coro, name, context);
}

static PyObject *
task_start_apart(Loop *self, PyObject *coro, PyObject *name, PyObject *base)
{
    PyObject *context = PyContext_Copy(base);
    PyObject *task = context == NULL ? NULL : eager_task_in(self, coro, name, context);
    Py_XDECREF(context);
    return task;
}

#else

/* ---- asyncio.all_tasks() ------------------------------------------------------------------ */

/* Adds a task that has suspended. */
static void
task_register_late(Loop *self, PyObject *task)
{
    LoopState *st = self->st;
    PyObject *done = PyObject_CallMethodNoArgs(task, st->str_done);
    if (done == NULL || (done == Py_False && all_tasks_add(st, task) < 0)) {
        loop_report(self, "Could not add a task to asyncio.all_tasks()");
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

/* Runs the first step in its context. A step raises only exceptions that must leave the loop
 * (SystemExit, KeyboardInterrupt). */
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

/* Task(coro, loop=…, name=…) copies the current context. So `base` is made the current context while
 * the Task is made; nothing else runs in it. This is cheaper than another keyword argument. */
static PyObject *
eager_task_apart(Loop *self, PyObject *coro, PyObject *name, PyObject *base)
{
    PyObject *keywords = eager_keywords(self, &self->eager_apart, name);
    if (keywords == NULL || PyContext_Enter(base) < 0) {
        return NULL;
    }
    PyObject *task = task_make(self, coro, keywords);
    context_leave(base);
    return task;
}

/* Makes the Task by `make` and runs the captured first step. Garbage collection is disabled while the
 * Task is made: if a finalizer called call_soon or made a task, its callback would be captured
 * instead. */
static PyObject *
task_start(Loop *self, PyObject *coro, PyObject *name, PyObject *context,
           PyObject *(*make)(Loop *, PyObject *, PyObject *, PyObject *))
{
    LoopState *st = self->st;
    int collecting = PyGC_Disable();
    assert(!self->capture && !st->eager_starting);
    self->capture = true;
    st->eager_starting = true;
    PyObject *task = make(self, coro, name, context);
    st->eager_starting = false;
    self->capture = false;
    if (collecting) {
        (void)PyGC_Enable();
    }
    PyObject *step = self->captured;
    PyObject *own = self->captured_context;
    self->captured = NULL;
    self->captured_context = NULL;
    if (task != NULL && step != NULL && task_first_step(self, step, own) < 0) {
        Py_CLEAR(task);
    }
    Py_XDECREF(step);
    Py_XDECREF(own);
    /* If the task is suspended, the object that it waits for holds a reference to it. */
    if (task != NULL && Py_REFCNT(task) != 1) {
        task_register_late(self, task);
    }
    return task;
}

static PyObject *
task_start_in(Loop *self, PyObject *coro, PyObject *name, PyObject *context)
{
    return task_start(self, coro, name, context, eager_task_in);
}

static PyObject *
task_start_apart(Loop *self, PyObject *coro, PyObject *name, PyObject *base)
{
    return task_start(self, coro, name, base, eager_task_apart);
}

#endif

/* ---- All versions ------------------------------------------------------------------------- */

PyObject *
loop_task_eager(Loop *self, PyObject *coro, PyObject *name, PyObject *context)
{
    uint64_t begun = loop_slow_begin(self);
    PyObject *task = task_start_in(self, coro, name, context);
    loop_slow_end(self, task == NULL ? 0 : begun, task, NULL);
    return task;
}

PyObject *
loop_task_eager_apart(Loop *self, PyObject *coro, PyObject *name, PyObject *base)
{
    uint64_t begun = loop_slow_begin(self);
    PyObject *task = task_start_apart(self, coro, name, base);
    loop_slow_end(self, task == NULL ? 0 : begun, task, NULL);
    return task;
}
