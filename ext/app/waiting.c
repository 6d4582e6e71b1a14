/* The awaitable of waiting.h, which is its own iterator. Each step attempts the work. When that is blocked,
 * the object makes a future, links itself into the list, and iterates the future as `await future` would do
 * in a coroutine. When a Task is cancelled, it throws into the coroutine, which then releases the object;
 * that unlinks it.
 */
#include "base/py.h"

#include "app/waiting.h"

#include "app/future.h"
#include "base/err.h"

struct Waiting {
    PyObject_HEAD
    const WaitOps *ops;   /* static; NULL in AppState.waiting_done */
    const AppState *st;   /* of the module, which the type keeps alive */
    Loop *loop;           /* owned */
    PyObject *owner;      /* owned; NULL once the work is done */
    PyObject *future;     /* owned; NULL unless suspended */
    PyObject *iterator;   /* owned: the future's; NULL unless suspended */
    WaitList *list;       /* the owner's, while linked; else NULL */
    Waiting *prev, *next; /* borrowed */
    bool running;         /* a step is being taken */
};

/* ---- The list ----------------------------------------------------------------------------- */

static void
waiting_link(Waiting *self, WaitList *list)
{
    assert(self->list == NULL);
    self->list = list;
    self->prev = list->last;
    self->next = NULL;
    *(list->last == NULL ? &list->first : &list->last->next) = self;
    list->last = self;
}

static void
waiting_unlink(Waiting *self)
{
    WaitList *list = self->list;
    if (list == NULL) {
        return;
    }
    *(self->prev == NULL ? &list->first : &self->prev->next) = self->next;
    *(self->next == NULL ? &list->last : &self->next->prev) = self->prev;
    self->list = NULL;
    self->prev = self->next = NULL;
}

void
waiting_wake(WaitList *list)
{
    while (list->first != NULL) {
        Waiting *self = (Waiting *)Py_NewRef((PyObject *)list->first);
        PyObject *future = Py_NewRef(self->future);
        waiting_unlink(self);
        if (future_resolve(self->st, future, Py_None) < 0) {
            loop_report(self->loop, "A waiting coroutine could not be woken");
        }
        Py_DECREF(future);
        Py_DECREF((PyObject *)self);
    }
}

/* ---- The awaitable ------------------------------------------------------------------------ */

/* Makes the future to wait for and links the object into `list`. 0, or -1 with an exception set. */
static int
waiting_suspend(Waiting *self, WaitList *list)
{
    assert(self->future == NULL);
    self->future = future_new(self->st, self->loop);
    if (self->future == NULL) {
        return -1;
    }
    self->iterator = PyObject_GetIter(self->future);
    if (self->iterator == NULL) {
        Py_CLEAR(self->future);
        return -1;
    }
    waiting_link(self, list);
    return 0;
}

/* The wait ends with the exception that is set. If steps were taken out of turn, another task may
 * wait for the future. Wakes it, since nothing else will. */
static void
waiting_wake_others(const Waiting *self)
{
    PyObject *exc = err_take();
    PyObject *future = Py_NewRef(self->future);
    if (future_resolve(self->st, future, Py_None) < 0) {
        PyErr_WriteUnraisable(future);
    }
    Py_DECREF(future);
    err_restore(exc);
}

/* Takes a step of the future. PYGEN_RETURN: it is resolved. */
static PySendResult
waiting_resume(Waiting *self, PyObject **result)
{
    PyObject *iterator = Py_NewRef(self->iterator);
    PySendResult sent = PyIter_Send(iterator, Py_None, result);
    Py_DECREF(iterator);
    if (sent == PYGEN_ERROR) {
        waiting_wake_others(self);
    }
    if (sent != PYGEN_NEXT) {
        waiting_unlink(self);
        Py_CLEAR(self->iterator);
        Py_CLEAR(self->future);
    }
    if (sent == PYGEN_RETURN) {
        Py_CLEAR(*result);
    }
    return sent;
}

static PySendResult
waiting_end(Waiting *self, WaitStep step)
{
    Py_CLEAR(self->owner);
    return step == WAIT_DONE ? PYGEN_RETURN : PYGEN_ERROR;
}

/* Whether no step is being taken. False sets the exception that Python's own coroutines raise. */
static bool
waiting_is_idle(const Waiting *self)
{
    if (unlikely(self->running)) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return false;
    }
    return true;
}

/* Whether a step may be taken; else an exception is set. */
static bool
waiting_may_step(const Waiting *self)
{
    if (!waiting_is_idle(self)) {
        return false;
    }
    if (self->owner == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return false;
    }
    if (!loop_runs_here(self->loop)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "methods of a request are awaited on the loop's thread only");
        return false;
    }
    return true;
}

static PySendResult
waiting_step(Waiting *self, PyObject **result)
{
    for (;;) {
        if (self->iterator != NULL) {
            PySendResult sent = waiting_resume(self, result);
            if (sent != PYGEN_RETURN) {
                return sent;
            }
        }
        WaitList *list = NULL;
        WaitStep step = self->ops->attempt(self->owner, result, &list);
        if (step != WAIT_BLOCKED) {
            return waiting_end(self, step);
        }
        if (waiting_suspend(self, list) < 0) {
            return PYGEN_ERROR;
        }
    }
}

static PySendResult
waiting_am_send(PyObject *op, PyObject *Py_UNUSED(value), PyObject **result)
{
    Waiting *self = (Waiting *)op;
    *result = NULL;
    if (self->ops == NULL) {
        *result = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    }
    if (!waiting_may_step(self)) {
        return PYGEN_ERROR;
    }
    self->running = true;
    PySendResult sent = waiting_step(self, result);
    self->running = false;
    return sent;
}

static PyObject *
waiting_send(PyObject *op, PyObject *value)
{
    PyObject *result;
    PySendResult sent = waiting_am_send(op, value, &result);
    if (sent == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        Py_DECREF(result);
        if (stop != NULL) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
        return NULL;
    }
    return result;
}

static PyObject *
waiting_iternext(PyObject *op)
{
    return waiting_send(op, Py_None);
}

/* Ends the wait before the work is done. */
static void
waiting_cancel(Waiting *self)
{
    waiting_unlink(self);
    Py_CLEAR(self->iterator);
    Py_CLEAR(self->future);
    PyObject *owner = self->owner;
    self->owner = NULL;
    if (owner != NULL && self->ops->drop != NULL) {
        self->ops->drop(owner);
    }
    Py_XDECREF(owner);
}

static PyObject *
waiting_throw(PyObject *op, PyObject *args)
{
    Waiting *self = (Waiting *)op;
    PyObject *exc = err_thrown(args);
    if (exc == NULL) {
        return NULL;
    }
    if (self->ops != NULL && !waiting_may_step(self)) {
        Py_DECREF(exc);
        return NULL;
    }
    waiting_cancel(self);
    err_restore(exc);
    return NULL;
}

static PyObject *
waiting_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (!waiting_is_idle((Waiting *)op)) {
        return NULL;
    }
    waiting_cancel((Waiting *)op);
    Py_RETURN_NONE;
}

static PyObject *
waiting_self(PyObject *op)
{
    return Py_NewRef(op);
}

/* As with a coroutine, only one task at a time may await the object. */
static PyObject *
waiting_await(PyObject *op)
{
    if (((Waiting *)op)->future != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
        return NULL;
    }
    return Py_NewRef(op);
}

/* ---- The type ----------------------------------------------------------------------------- */

static int
waiting_traverse(PyObject *op, visitproc visit, void *arg)
{
    Waiting *self = (Waiting *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT((PyObject *)self->loop);
    Py_VISIT(self->owner);
    Py_VISIT(self->future);
    Py_VISIT(self->iterator);
    return 0;
}

static int
waiting_clear(PyObject *op)
{
    Waiting *self = (Waiting *)op;
    waiting_cancel(self);
    Py_CLEAR(self->loop);
    return 0;
}

static void
waiting_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)waiting_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* These three make it a collections.abc.Coroutine, which create_task accepts. */
static PyMethodDef waiting_methods[] = {
    {"send", waiting_send, METH_O, NULL},
    {"throw", waiting_throw, METH_VARARGS, NULL},
    {"close", waiting_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot waiting_slots[] = {
    {Py_tp_doc, "Awaitable: suspends until a request can go on."},
    {Py_tp_methods, waiting_methods},
    {Py_tp_traverse, waiting_traverse},
    {Py_tp_clear, waiting_clear},
    {Py_tp_dealloc, waiting_dealloc},
    {Py_tp_iter, waiting_self},
    {Py_tp_iternext, waiting_iternext},
    {Py_am_await, waiting_await},
    {Py_am_send, waiting_am_send},
    {0, NULL},
};

static PyType_Spec waiting_spec = {
    .name = "fluvial._core.Waiting",
    .basicsize = sizeof(Waiting),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = waiting_slots,
};

int
waiting_setup(PyObject *module, AppState *st)
{
    st->waiting_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &waiting_spec, NULL);
    if (st->waiting_type == NULL) {
        return -1;
    }
    st->waiting_done = st->waiting_type->tp_alloc(st->waiting_type, 0);
    return st->waiting_done == NULL ? -1 : 0;
}

PyObject *
waiting_new(const AppState *st, Loop *loop, const WaitOps *ops, PyObject *owner)
{
    Waiting *self = (Waiting *)st->waiting_type->tp_alloc(st->waiting_type, 0);
    if (self != NULL) {
        self->ops = ops;
        self->st = st;
        self->loop = (Loop *)Py_NewRef((PyObject *)loop);
        self->owner = Py_NewRef(owner);
    }
    return (PyObject *)self;
}

static WaitStep
failed_attempt(PyObject *owner, PyObject **Py_UNUSED(result),
               WaitList **Py_UNUSED(list))
{
    err_restore(Py_NewRef(owner));
    return WAIT_FAILED;
}

static const WaitOps failed_ops = {.attempt = failed_attempt};

PyObject *
waiting_failed(const AppState *st, Loop *loop)
{
    PyObject *exc = err_take();
    PyObject *op = waiting_new(st, loop, &failed_ops, exc);
    Py_DECREF(exc);
    return op;
}
