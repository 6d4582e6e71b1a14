/* See request_coro.h. The object behaves as a coroutine towards the Task
 * (collections.abc.Coroutine): am_send for the Task's own fast path, send, throw and close for
 * everybody else.
 */
#include "base/py.h"

#include "app/request_coro.h"

#include "base/err.h"

static RequestCoro *
coro_of(PyObject *op)
{
    return (RequestCoro *)op;
}

/* ---- The coroutine protocol --------------------------------------------------------------- */

PySendResult
request_coro_send(PyObject *op, PyObject *value, PyObject **result)
{
    RequestCoro *self = coro_of(op);
    *result = NULL;
    if (self->coro == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return PYGEN_ERROR;
    }
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

/* am_send's outcome as the methods send and throw report it. */
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

/* The value of the StopIteration that is set, which is cleared: a new reference. */
static PyObject *
stop_iteration_value(void)
{
    PyObject *exc = err_take();
    PyObject *value = Py_NewRef(((PyStopIterationObject *)exc)->value);
    Py_DECREF(exc);
    return value;
}

static PyObject *
coro_throw(PyObject *op, PyObject *args)
{
    RequestCoro *self = coro_of(op);
    if (self->coro == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return NULL;
    }
    PyObject *method = PyObject_GetAttrString(self->coro, "throw");
    if (method == NULL) {
        return NULL;
    }
    PyObject *yielded = PyObject_CallObject(method, args);
    Py_DECREF(method);
    if (yielded != NULL) {
        return yielded;
    }
    PyObject *returned =
        PyErr_ExceptionMatches(PyExc_StopIteration) ? stop_iteration_value() : NULL;
    PySendResult settled = self->ops->settle(self, returned);
    if (settled == PYGEN_NEXT) {
        return coro_send(op, Py_None);
    }
    return coro_outcome(settled, NULL);
}

static PyObject *
coro_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    RequestCoro *self = coro_of(op);
    PyObject *coro = self->coro == NULL ? NULL : Py_NewRef(self->coro);
    if (coro == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *result = PyObject_CallMethod(coro, "close", NULL);
    Py_DECREF(coro);
    if (result != NULL) {
        self->ops->release(self);
    }
    return result;
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

/* The attribute of the coroutine that is awaited, named by `closure`; None after the end. */
static PyObject *
coro_delegate(PyObject *op, void *closure)
{
    RequestCoro *self = coro_of(op);
    if (self->coro == NULL) {
        Py_RETURN_NONE;
    }
    return PyObject_GetAttrString(self->coro, (const char *)closure);
}

static PyObject *
coro_repr(PyObject *op)
{
    RequestCoro *self = coro_of(op);
    return PyUnicode_FromFormat("<request handler %R>",
                                self->coro == NULL ? Py_None : self->coro);
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
    return 0;
}

void
request_coro_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)type->tp_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
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

static PyMethodDef coro_methods[] = {
    {"send", coro_send, METH_O, NULL},
    {"throw", coro_throw, METH_VARARGS, NULL},
    {"close", coro_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef coro_getset[] = {
    {"__name__", coro_name, NULL, NULL, "__name__"},
    {"__qualname__", coro_name, NULL, NULL, "__qualname__"},
    {"cr_await", coro_delegate, NULL, NULL, "cr_await"},
    {"cr_code", coro_delegate, NULL, NULL, "cr_code"},
    {"cr_frame", coro_delegate, NULL, NULL, "cr_frame"},
    {"cr_running", coro_delegate, NULL, NULL, "cr_running"},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot coro_slots[] = {
    {Py_tp_doc, "What the task of a request runs."},
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

static PyType_Spec coro_spec = {
    .name = "fluvial._core.RequestCoro",
    .basicsize = sizeof(RequestCoro),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = coro_slots,
};

int
request_coro_setup(PyObject *module, AppState *st)
{
    st->request_coro_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &coro_spec, NULL);
    return st->request_coro_type == NULL
               ? -1
               : PyModule_AddType(module, st->request_coro_type);
}
