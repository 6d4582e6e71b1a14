/* See request_coro.h. To the Task the object looks like a coroutine (collections.abc.Coroutine). Tasks in C
 * call am_send; send, throw and close are for everything else.
 */
#include "base/py.h"

#include "app/request_coro.h"

#include "base/err.h"

static RequestCoro *
coro_of(PyObject *op)
{
    return (RequestCoro *)op;
}

void
request_coro_init(RequestCoro *self, const RequestCoroOps *ops, AppState *st,
                  Loop *loop)
{
    self->ops = ops;
    self->st = st;
    self->loop = loop;
    self->thread = PyThread_get_thread_ident();
}

/* ---- The coroutine protocol --------------------------------------------------------------- */

/* Whether this is the loop's thread. */
static bool
coro_is_here(RequestCoro *self)
{
    unsigned long thread = PyThread_get_thread_ident();
    if (likely(thread == self->thread)) {
        return true;
    }
    if (self->loop == NULL || !loop_runs_here(self->loop)) {
        return false;
    }
    self->thread = thread; /* the loop runs in another thread now */
    return true;
}

/* Whether no step is being taken. False sets the exception that Python's own coroutines raise. */
static bool
coro_is_idle(RequestCoro *self)
{
    if (unlikely(self->running)) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return false;
    }
    return true;
}

/* Begins a step; false with an exception set when there can be none. */
static bool
coro_enter(RequestCoro *self)
{
    if (!coro_is_idle(self)) {
        return false;
    }
    if (unlikely(self->coro == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return false;
    }
    if (unlikely(!coro_is_here(self))) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a request's coroutine runs on the loop's thread only");
        return false;
    }
    self->running = true;
    return true;
}

/* Takes steps, also of the coroutines that `settle` supplies, until one suspends or all have ended. */
static PySendResult
coro_go_on(RequestCoro *self, PyObject *value, PyObject **result)
{
    *result = NULL;
    for (;;) {
        PyObject *coro = Py_NewRef(self->coro);
        PySendResult sent = PyIter_Send(coro, value, result);
        Py_DECREF(coro);
        if (sent == PYGEN_NEXT) {
            self->ops->suspended(self);
            return PYGEN_NEXT;
        }
        PySendResult settled = self->ops->settle(self, *result);
        *result = NULL;
        if (settled == PYGEN_RETURN) {
            *result = Py_NewRef(Py_None);
        }
        if (settled != PYGEN_NEXT) {
            return settled;
        }
        value = Py_None;
    }
}

PySendResult
request_coro_send(PyObject *op, PyObject *value, PyObject **result)
{
    RequestCoro *self = coro_of(op);
    *result = NULL;
    if (unlikely(self->replay.ready)) {
        return replay_send(&self->replay, result);
    }
    if (!coro_enter(self)) {
        return PYGEN_ERROR;
    }
    PySendResult sent = coro_go_on(self, value, result);
    self->running = false;
    return sent;
}

/* Converts the outcome of am_send into what send() and throw() return or raise. */
static PyObject *
coro_outcome(PySendResult sent, PyObject *result)
{
    if (sent == PYGEN_RETURN) {
        Py_XDECREF(result);
        PyErr_SetNone(PyExc_StopIteration);
        return NULL;
    }
    return result;
}

static PyObject *
coro_send(PyObject *op, PyObject *value)
{
    PyObject *result;
    PySendResult sent = request_coro_send(op, value, &result);
    return coro_outcome(sent, result);
}

/* Clears the StopIteration that is set and returns its value: a new reference. */
static PyObject *
stop_iteration_value(void)
{
    PyObject *exc = err_take();
    PyObject *value = Py_NewRef(((PyStopIterationObject *)exc)->value);
    Py_DECREF(exc);
    return value;
}

/* A method of the awaited object: a new reference. NULL without an exception when it has no such method. */
static PyObject *
coro_method(const RequestCoro *self, const char *name)
{
    PyObject *method = PyObject_GetAttrString(self->coro, name);
    if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear(); /* iterators need no throw() and no close() */
    }
    return method;
}

/* coro.throw(*args). An iterator without that method ends with the exception, as in `yield from`. */
static PyObject *
coro_throw_into(const RequestCoro *self, PyObject *args)
{
    PyObject *method = coro_method(self, "throw");
    if (method != NULL) {
        PyObject *yielded = PyObject_CallObject(method, args);
        Py_DECREF(method);
        return yielded;
    }
    PyObject *exc = PyErr_Occurred() ? NULL : err_thrown(args);
    if (exc != NULL) {
        err_restore(exc);
    }
    return NULL;
}

static PyObject *
coro_throw_and_go_on(RequestCoro *self, PyObject *args)
{
    PyObject *result = coro_throw_into(self, args);
    if (result != NULL) {
        self->ops->suspended(self);
        return result;
    }
    PyObject *returned =
        PyErr_ExceptionMatches(PyExc_StopIteration) ? stop_iteration_value() : NULL;
    PySendResult settled = self->ops->settle(self, returned);
    if (settled == PYGEN_NEXT) {
        settled = coro_go_on(self, Py_None, &result);
    }
    return coro_outcome(settled, result);
}

static PyObject *
coro_throw(PyObject *op, PyObject *args)
{
    RequestCoro *self = coro_of(op);
    if (unlikely(self->replay.ready)) {
        PyObject *given = NULL;
        PySendResult sent = replay_throw(&self->replay, args, &given);
        return coro_outcome(sent, given);
    }
    if (!coro_enter(self)) {
        return NULL;
    }
    PyObject *result = coro_throw_and_go_on(self, args);
    self->running = false;
    return result;
}

/* Closes the awaited object, if it has close(). 0, or -1 with an exception set. */
static int
coro_close_inner(const RequestCoro *self)
{
    PyObject *coro = Py_NewRef(self->coro);
    PyObject *method = coro_method(self, "close");
    PyObject *result = method == NULL ? NULL : PyObject_CallNoArgs(method);
    Py_XDECREF(method);
    Py_XDECREF(result);
    Py_DECREF(coro);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *
coro_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    RequestCoro *self = coro_of(op);
    if (!coro_is_idle(self)) {
        return NULL;
    }
    if (self->coro == NULL) {
        Py_RETURN_NONE;
    }
    if (!coro_enter(self)) {
        return NULL;
    }
    int err = coro_close_inner(self);
    if (err == 0) {
        self->ops->release(self);
    }
    self->running = false;
    return err < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
coro_iternext(PyObject *op)
{
    return coro_send(op, Py_None);
}

static PyObject *
coro_self(PyObject *op)
{
    return Py_NewRef(op);
}

/* ---- What debuggers and Task.__repr__ look at -------------------------------------------- */

/* The name of an attribute in coroutines, and in generators that are awaited (NULL: they have none). */
typedef struct CoroAttribute {
    const char *coro, *generator;
} CoroAttribute;

static const CoroAttribute coro_name_attr = {"__name__", NULL};
static const CoroAttribute coro_qualname_attr = {"__qualname__", NULL};
static const CoroAttribute coro_await_attr = {"cr_await", "gi_yieldfrom"};
static const CoroAttribute coro_code_attr = {"cr_code", "gi_code"};
static const CoroAttribute coro_frame_attr = {"cr_frame", "gi_frame"};
static const CoroAttribute coro_suspended_attr = {"cr_suspended", "gi_suspended"};
static const CoroAttribute coro_origin_attr = {"cr_origin", NULL};

/* The attribute of the awaited coroutine; None after its end, and for objects without the attribute. */
static PyObject *
coro_delegate(PyObject *op, void *closure)
{
    const CoroAttribute *attribute = closure;
    PyObject *coro = coro_of(op)->coro;
    PyObject *value = NULL;
    if (coro != NULL) {
        Py_INCREF(coro);
        value = PyObject_GetAttrString(coro, attribute->coro);
        if (value == NULL && attribute->generator != NULL
            && PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear(); /* it is a generator, perhaps */
            value = PyObject_GetAttrString(coro, attribute->generator);
        }
        Py_DECREF(coro);
        if (value == NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return NULL;
        }
        PyErr_Clear(); /* at most the AttributeError: None stands for what is missing */
    }
    return value != NULL ? value : Py_NewRef(Py_None);
}

static PyObject *
coro_running(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(coro_of(op)->running);
}

static PyObject *
coro_is_suspended(PyObject *op, void *closure)
{
    RequestCoro *self = coro_of(op);
    return self->running || self->coro == NULL ? Py_NewRef(Py_False)
                                               : coro_delegate(op, closure);
}

static PyObject *
coro_repr(PyObject *op)
{
    PyObject *coro = Py_NewRef(coro_of(op)->coro == NULL ? Py_None : coro_of(op)->coro);
    PyObject *text = PyUnicode_FromFormat("<request handler %R>", coro);
    Py_DECREF(coro);
    return text;
}

static PyObject *
coro_name(PyObject *op, void *closure)
{
    PyObject *name = coro_delegate(op, closure);
    if (name == Py_None) {
        Py_DECREF(name);
        return PyUnicode_FromString("handler");
    }
    return name;
}

/* ---- For derived types -------------------------------------------------------------------- */

PyObject *
request_coro_of(PyObject *awaitable, const char *what)
{
    if (likely(PyCoro_CheckExact(awaitable))) {
        return awaitable;
    }
    PyAsyncMethods *async = Py_TYPE(awaitable)->tp_as_async;
    if (async == NULL || async->am_await == NULL) {
        PyErr_Format(PyExc_TypeError, "%s must return an awaitable, not %.100s", what,
                     Py_TYPE(awaitable)->tp_name);
        Py_DECREF(awaitable);
        return NULL;
    }
    PyObject *iterator = async->am_await(awaitable);
    Py_DECREF(awaitable);
    return iterator;
}

int
request_coro_clear(PyObject *op)
{
    RequestCoro *self = coro_of(op);
    self->ops->release(self);
    replay_clear(&self->replay);
    return 0;
}

void
request_coro_dealloc(PyObject *op)
{
    PyObject_GC_UnTrack(op);
    (void)Py_TYPE(op)->tp_clear(op);
    recycle_free(coro_of(op)->memory, op);
}

bool
request_coro_lets_through(const AppState *st)
{
    return PyErr_ExceptionMatches(st->cancelled_error)
           || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
}

/* ---- The type ----------------------------------------------------------------------------- */

static int
coro_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(coro_of(op)->coro);
    return 0;
}

static PyObject *
coro_pending(PyObject *op, void *Py_UNUSED(closure))
{
    const RequestCoro *self = coro_of(op);
    const HttpRequest *req = self->ops == NULL ? NULL : self->ops->request(self);
    return PyBool_FromLong(req != NULL && http_request_is_pending(req));
}

static PyMethodDef coro_methods[] = {
    {"send", coro_send, METH_O, NULL},
    {"throw", coro_throw, METH_VARARGS, NULL},
    {"close", coro_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef coro_getset[] = {
    {"__name__", coro_name, NULL, NULL, (void *)&coro_name_attr},
    {"__qualname__", coro_name, NULL, NULL, (void *)&coro_qualname_attr},
    {"cr_await", coro_delegate, NULL, NULL, (void *)&coro_await_attr},
    {"cr_code", coro_delegate, NULL, NULL, (void *)&coro_code_attr},
    {"cr_frame", coro_delegate, NULL, NULL, (void *)&coro_frame_attr},
    {"cr_origin", coro_delegate, NULL, NULL, (void *)&coro_origin_attr},
    {"cr_running", coro_running, NULL, NULL, NULL},
    {"pending", coro_pending, NULL, NULL, NULL},
    {"cr_suspended", coro_is_suspended, NULL, NULL, (void *)&coro_suspended_attr},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot request_coro_slots[] = {
    {Py_tp_doc, "The coroutine that the task of a request runs."},
    {Py_tp_repr, coro_repr},
    {Py_tp_methods, coro_methods},
    {Py_tp_getset, coro_getset},
    {Py_tp_traverse, coro_traverse},
    {Py_tp_iter, coro_self},
    {Py_tp_iternext, coro_iternext},
    {Py_am_await, coro_self},
    {Py_am_send, request_coro_send},
    {0, NULL},
};

static PyType_Spec request_coro_spec = {
    .name = "fluvial._core.RequestCoro",
    .basicsize = sizeof(RequestCoro),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = request_coro_slots,
};

int
request_coro_setup(PyObject *module, AppState *st)
{
    st->request_coro_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &request_coro_spec, NULL);
    return st->request_coro_type == NULL
               ? -1
               : PyModule_AddType(module, st->request_coro_type);
}
