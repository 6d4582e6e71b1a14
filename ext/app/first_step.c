/* See first_step.h. A step that was taken without a Task has to be taken again by the Task, once that is
 * made: the Task sends None, and gets what the coroutine has given already. Then it does with it what it
 * would have done. The loop's thread.
 */
#include "base/py.h"

#include "app/first_step.h"

#include "base/err.h"

/* Before the step was over, its code has called cancel() on its own task, so that this threw CancelledError
 * instead of sending None. Now that the task knows what the coroutine waits for, cancel() does with it what
 * it does in any step: it cancels that. A failure is in the task. */
static void
task_cancel_again(RequestCoro *self, PyObject *task)
{
    AppState *st = self->st;
    PyObject *exc = self->replay.thrown;
    self->replay.thrown = NULL;
    PyObject *cancel = NULL, *res = NULL, *count = NULL;
    PyObject *args = PyObject_GetAttr(exc, st->str_args); /* the message, or nothing */
    if (args == NULL) {
        goto done;
    }
    cancel = PyObject_GetAttr(task, st->str_cancel);
    if (cancel == NULL) {
        goto done;
    }
    res = PyObject_CallObject(cancel, args);
    if (res == NULL) {
        goto done;
    }
    count = PyObject_CallMethodNoArgs(task, st->str_uncancel);
done:
    if (count == NULL) {
        loop_report(self->loop, "The task of a request could not be cancelled");
    }
    Py_XDECREF(count);
    Py_XDECREF(res);
    Py_XDECREF(cancel);
    Py_XDECREF(args);
    Py_DECREF(exc);
}

/* The task's own step has left an exception: SystemExit or KeyboardInterrupt, which must leave the loop, or
 * a MemoryError of asyncio's. */
static void
task_step_failed(RequestCoro *self, PyObject *context, const LateTask *late)
{
    if (loop_step_again(self->loop, late->step, context)) {
        return;
    }
    bool lost = PyErr_ExceptionMatches(PyExc_MemoryError);
    loop_report(self->loop, "The first step of a task failed");
    if (lost) {
        self->ops->release(self); /* nothing will call it again */
    }
}

/* Lets the task take the step that was taken without it. `value` is stolen. */
static void
task_catch_up(RequestCoro *self, PySendResult sent, PyObject *value, PyObject *context,
              const LateTask *late)
{
    self->replay = (Replay){.ready = true, .sent = sent, .value = value};
    if (unlikely(late->step == NULL)) {
        return; /* a class derived from the loop's has queued it */
    }
    PyObject *res = PyObject_CallNoArgs(late->step);
    if (res == NULL) {
        task_step_failed(self, context, late);
    }
    Py_XDECREF(res);
    if (unlikely(self->replay.thrown != NULL)) {
        task_cancel_again(self, late->task);
    }
}

/* The coroutine has ended with the exception (stolen), and there is no task that could keep it. */
static void
first_step_failed(RequestCoro *self, PyObject *exc)
{
    bool cancelled = PyErr_GivenExceptionMatches(exc, self->st->cancelled_error);
    if (cancelled) {
        Py_DECREF(exc);
    } else {
        err_restore(exc);
        loop_report(self->loop, "The first step of a task failed");
    }
}

int
first_step_take(RequestCoro *self, PyObject *name, PyObject *context, PyObject **task)
{
    PyObject *op = (PyObject *)self;
    Loop *loop = self->loop;
    LateTask late = {NULL, NULL};
    PyObject *value;
    *task = NULL;
    int entered = loop_step_enter(loop, op, name, context, &late);
    if (entered != 0) {
        *task = late.task;
        return entered < 0 ? -1 : 0;
    }
    PySendResult sent = request_coro_send(op, Py_None, &value);
    if (unlikely(sent == PYGEN_ERROR)) {
        value = err_take();
    }
    int err = loop_step_leave(loop, op, sent == PYGEN_NEXT, &late);
    if (unlikely(late.task != NULL)) {
        task_catch_up(self, sent, value, context, &late);
        Py_XDECREF(late.step);
    } else if (unlikely(sent == PYGEN_ERROR)) {
        first_step_failed(self, value);
    } else {
        Py_XDECREF(value);
    }
    *task = late.task;
    return err;
}
