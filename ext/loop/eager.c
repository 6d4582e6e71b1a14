/* The first step of a coroutine that a server calls for an event: it runs at once, and in a real
 * asyncio.Task as far as anybody can tell.
 *
 * Up to 3.13 the Task is made when it is needed (ADR 26): the coroutine suspends, or its code
 * asks for asyncio.current_task(). That looks the loop up in asyncio's dict of current tasks, and
 * therefore calls hash(loop), which is ours. A Task that is made in the middle of a step passes its own
 * first step to its loop's call_soon. We take it from there (loop_capture in calls.c); it runs when ours
 * is over, and the coroutine then tells it how that ended. From 3.14 on asyncio keeps the current task
 * where no hook of ours is asked, so that the Task is made first and starts itself (eager_start).
 *
 * Runs on the loop's thread; hash(loop) may be called in any thread, with the GIL.
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

/* Task(coro, loop=…, name=…, context=context). A new reference, or NULL with an exception set. Only
 * the task may keep a reference to the context, so it is removed from the dict. */
static PyObject *
eager_task_in(Loop *self, PyObject *coro, PyObject *name, PyObject *context)
{
    PyObject *keywords = eager_keywords(self, &self->eager, name);
    PyObject *key = self->st->str_context;
    PyObject *args = keywords == NULL ? NULL : PyTuple_Pack(1, coro);
    if (args == NULL || PyDict_SetItem(keywords, key, context) < 0) {
        Py_XDECREF(args);
        return NULL;
    }
    PyObject *task = object_make(self->st->task_type, args, keywords);
    Py_DECREF(args);
    if (PyDict_SetItem(keywords, key, Py_None) < 0) {
        Py_CLEAR(task);
    }
    return task;
}

#if PY_VERSION_HEX >= 0x030E0000

int
eager_setup(LoopState *st)
{
    st->eager_keywords = Py_BuildValue("{sO}", "eager_start", Py_True);
    return st->eager_keywords == NULL ? -1 : name_intern(&st->str_name, "name");
}

Py_hash_t
loop_hash(PyObject *op)
{
    return PyBaseObject_Type.tp_hash(op);
}

int
loop_step_enter(Loop *self, PyObject *coro, PyObject *name, PyObject *context,
                LateTask *late)
{
    uint64_t begun = loop_slow_begin(self);
    late->step = NULL;
    late->task = eager_task_in(self, coro, name, context);
    loop_slow_end(self, late->task == NULL ? 0 : begun, late->task, NULL);
    return late->task == NULL ? -1 : 1;
}

int
loop_step_leave(Loop *Py_UNUSED(self), PyObject *Py_UNUSED(coro),
                bool Py_UNUSED(suspended), LateTask *Py_UNUSED(late))
{
    return 0;
}

#else

/* ---- The task of the running step --------------------------------------------------------- */

int
eager_setup(LoopState *st)
{
    st->eager_keywords = PyDict_New();
    if (st->eager_keywords == NULL || name_intern(&st->str_name, "name") < 0
        || name_import(&st->enter_task, "asyncio.tasks", "_enter_task") < 0) {
        return -1;
    }
    return name_import(&st->leave_task, "asyncio.tasks", "_leave_task");
}

/* Makes the Task of the step `first` and captures the Task's own first step. Garbage collection is
 * disabled meanwhile: if a finalizer called call_soon or made a task, its callback would be captured
 * instead. 0, or -1 with an exception set. */
static int
first_task_make(Loop *self, PyObject *coro, FirstStep *first)
{
    int collecting = PyGC_Disable();
    assert(!self->capture);
    self->capture = true;
    first->late.task = eager_task_in(self, coro, first->name, first->context);
    self->capture = false;
    if (collecting) {
        (void)PyGC_Enable();
    }
    first->late.step = self->captured;
    self->captured = NULL;
    Py_CLEAR(self->captured_context); /* the task has it, too */
    if (first->late.task == NULL) {
        Py_CLEAR(first->late.step); /* of a task that could not be registered */
        return -1;
    }
    return 0;
}

/* Calls asyncio's _enter_task(loop, task) or _leave_task(loop, task). */
static int
current_task_set(Loop *self, PyObject *function, PyObject *task)
{
    PyObject *res =
        PyObject_CallFunctionObjArgs(function, (PyObject *)self, task, NULL);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* Makes the running step's Task, and makes it the current one. 0, or -1 with an exception set. */
static int
first_task_enter(Loop *self)
{
    FirstStep *first = &self->first;
    PyObject *coro = first->coro;
    first->coro = NULL; /* for hash(loop) meanwhile */
    int err = first_task_make(self, coro, first);
    if (err == 0
        && current_task_set(self, self->st->enter_task, first->late.task) < 0) {
        Py_CLEAR(first->late.task);
        Py_CLEAR(first->late.step);
        err = -1;
    }
    first->coro = coro;
    return err;
}

/* Whether a Task can be made here. In another thread than the loop's that is so if no Python code runs for it,
 * since the step could end meanwhile. */
static bool
task_can_be_made(const Loop *self)
{
    return loop_runs_here(self)
           || PyType_HasFeature((PyTypeObject *)self->st->task_type,
                                Py_TPFLAGS_IMMUTABLETYPE);
}

Py_hash_t
loop_hash(PyObject *op)
{
    Loop *self = (Loop *)op;
    bool wanted = self->first.coro != NULL && self->first.late.task == NULL;
    if (unlikely(wanted) && task_can_be_made(self) && first_task_enter(self) < 0) {
        return -1;
    }
    return PyBaseObject_Type.tp_hash(op);
}

/* ---- The step ----------------------------------------------------------------------------- */

/* Whether this is the first time that a step of the type is taken. asyncio asks Python code then whether its
 * objects are coroutines, which must not happen in another thread. */
static bool
type_is_new(LoopState *st, PyTypeObject *type)
{
    size_t i = 0;
    while (i < Py_ARRAY_LENGTH(st->eager_types) && st->eager_types[i] != type) {
        if (st->eager_types[i] == NULL) {
            st->eager_types[i] = type;
            return true;
        }
        i++;
    }
    return i == Py_ARRAY_LENGTH(st->eager_types);
}

/* Whether the Task is made before the step: when the time that a step takes is to be reported with its
 * Task, or a class derived from ours doesn't hash as ours does. */
static bool
task_comes_first(const Loop *self, PyObject *coro)
{
    return unlikely(type_is_new(self->st, Py_TYPE(coro)) || self->debug
                    || Py_TYPE(self)->tp_hash != loop_hash);
}

/* Forgets the step. The caller has taken over what `late` holds. */
static void
first_step_end(Loop *self)
{
    PyObject *name = self->first.name;
    PyObject *context = self->first.context;
    self->first = (FirstStep){.coro = NULL};
    Py_DECREF(name);
    Py_DECREF(context);
}

int
loop_step_enter(Loop *self, PyObject *coro, PyObject *name, PyObject *context,
                LateTask *Py_UNUSED(late))
{
    if (unlikely(self->first.coro != NULL)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the first step of another task is running");
        return -1;
    }
    if (PyContext_Enter(context) < 0) {
        return -1;
    }
    self->first = (FirstStep){
        .coro = coro, .name = Py_NewRef(name), .context = Py_NewRef(context)};
    if (task_comes_first(self, coro) && first_task_enter(self) < 0) {
        context_leave(context);
        first_step_end(self);
        return -1;
    }
    self->first.begun = loop_slow_begin(self);
    return 0;
}

int
loop_step_leave(Loop *self, PyObject *coro, bool suspended, LateTask *late)
{
    FirstStep *first = &self->first;
    int err = 0;
    first->coro = NULL; /* for hash(loop) */
    context_leave(first->context);
    if (unlikely(first->late.task != NULL)) {
        loop_slow_end(self, first->begun, first->late.task, NULL);
        if (current_task_set(self, self->st->leave_task, first->late.task) < 0) {
            loop_report(self, "The first step of a task failed");
        }
    } else if (suspended) {
        err = first_task_make(self, coro, first);
    }
    *late = first->late;
    first_step_end(self);
    return err;
}

#endif
