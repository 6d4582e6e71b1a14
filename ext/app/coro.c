/* See coro.h. The object behaves as a coroutine towards the Task (collections.abc.Coroutine):
 * am_send for the Task's own fast path, send, throw and close for everybody else.
 */
#include "base/py.h"

#include "app/coro.h"

#include "app/body.h"
#include "app/call.h"
#include "app/sender.h"
#include "app/server.h"
#include "http/response.h"
#include "base/err.h"

struct HandlerCoro {
    PyObject_HEAD
    AppServer *server; /* owned: outlives the requests of its HttpServer */
    HttpRequest *req;  /* owned reference; NULL when the call is over */
    Plan *plan;        /* owned; may be NULL */
    PyObject *coro;    /* owned: what is awaited now; NULL when the call is over */
    PyObject *task;  /* owned while suspended and the client there, see coro_traverse */
    CallStage stage; /* what `coro` is */
    bool
        cancelled; /* coro_end_stream was here: what cleans up must not be cancelled, too */
};

/* ---- The end of a call -------------------------------------------------------------------- */

/* Lets go of the request, the plan and the coroutine. */
static void
coro_release(HandlerCoro *self)
{
    HttpRequest *req = self->req;
    self->req = NULL;
    if (req != NULL) {
        if (req->answer != HTTP_ANSWER_DONE) {
            http_abort(req);
        }
        body_end(req); /* who still reads it won't get more */
        call_of(req)->coro = NULL;
        Py_CLEAR(call_of(req)->request);
        http_request_unref(req);
    }
    Py_CLEAR(self->coro);
    Py_CLEAR(self->plan);
    Py_CLEAR(self->server);
    Py_CLEAR(self->task);
}

/* The coroutine returned `result` (stolen). */
static CallNext
coro_returned(HandlerCoro *self, PyObject *result)
{
    CallNext next = {CALL_DONE, NULL};
    if (self->stage == CALL_STREAM) {
        (void)http_stream_end(self->req);
    } else {
        next = answer_result(self->req, self->plan, self->stage, result);
    }
    Py_DECREF(result);
    return next;
}

/* Whether the exception that is set is the task's too: cancellation and KeyboardInterrupt. All
 * others, SystemExit among them, end this request and nothing else. */
static bool
coro_lets_through(const HandlerCoro *self)
{
    return PyErr_ExceptionMatches(self->server->st->cancelled_error)
           || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
}

/* The coroutine is finished, with `result` (stolen) or, when NULL, with the exception that is
 * set. Goes on to what is to be awaited next, if anything. PYGEN_NEXT: self->coro is new;
 * PYGEN_RETURN: all is done; PYGEN_ERROR: the exception is the task's. */
static PySendResult
coro_settle(HandlerCoro *self, PyObject *result)
{
    CallNext next;
    if (result != NULL) {
        next = coro_returned(self, result);
    } else if (coro_lets_through(self)) {
        PyObject *exc = err_take();
        (void)http_respond_error(self->req, 500); /* does nothing without a client */
        coro_release(self);
        err_restore(exc);
        return PYGEN_ERROR;
    } else {
        next = answer_exception(self->req, self->stage);
    }
    if (next.stage == CALL_DONE) {
        coro_release(self);
        return PYGEN_RETURN;
    }
    self->stage = next.stage;
    Py_XSETREF(self->coro, next.coro);
    return PYGEN_NEXT;
}

/* A stream that begins to wait when the client has said that it sends nothing more. */
static void
coro_suspended(HandlerCoro *self)
{
    if (unlikely(self->req != NULL && call_of(self->req)->eof)) {
        coro_end_stream(self->req);
    }
}

/* ---- The coroutine protocol --------------------------------------------------------------- */

static PySendResult
coro_am_send(PyObject *op, PyObject *value, PyObject **result)
{
    HandlerCoro *self = (HandlerCoro *)op;
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
            coro_suspended(self);
            return PYGEN_NEXT;
        }
        PySendResult settled = coro_settle(self, *result);
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
    PySendResult sent = coro_am_send(op, value, &result);
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
    HandlerCoro *self = (HandlerCoro *)op;
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
    PySendResult settled = coro_settle(self, returned);
    return settled == PYGEN_NEXT ? coro_send(op, Py_None) : coro_outcome(settled, NULL);
}

static PyObject *
coro_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    HandlerCoro *self = (HandlerCoro *)op;
    PyObject *coro = self->coro == NULL ? NULL : Py_NewRef(self->coro);
    if (coro == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *result = PyObject_CallMethod(coro, "close", NULL);
    Py_DECREF(coro);
    if (result != NULL) {
        coro_release(self);
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
    HandlerCoro *self = (HandlerCoro *)op;
    if (self->coro == NULL) {
        Py_RETURN_NONE;
    }
    return PyObject_GetAttrString(self->coro, (const char *)closure);
}

static PyObject *
coro_repr(PyObject *op)
{
    HandlerCoro *self = (HandlerCoro *)op;
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

/* ---- The type ----------------------------------------------------------------------------- */

/* The task is not visited: asyncio keeps only weak references to tasks, so one that waits for
 * something that nobody else refers to would be collected. The open request keeps it. */
static int
coro_traverse(PyObject *op, visitproc visit, void *arg)
{
    HandlerCoro *self = (HandlerCoro *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->server);
    Py_VISIT(self->plan);
    Py_VISIT(self->coro);
    return 0;
}

static int
coro_clear(PyObject *op)
{
    coro_release((HandlerCoro *)op);
    return 0;
}

static void
coro_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    coro_release((HandlerCoro *)op);
    type->tp_free(op);
    Py_DECREF(type);
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
    {Py_tp_doc, "A handler at work on a request."},
    {Py_tp_repr, coro_repr},
    {Py_tp_methods, coro_methods},
    {Py_tp_getset, coro_getset},
    {Py_tp_traverse, coro_traverse},
    {Py_tp_clear, coro_clear},
    {Py_tp_dealloc, coro_dealloc},
    {Py_tp_iter, coro_self},
    {Py_tp_iternext, coro_iternext},
    {Py_am_await, coro_self},
    {Py_am_send, coro_am_send},
    {0, NULL},
};

static PyType_Spec coro_spec = {
    .name = "fluvial._core.HandlerCoro",
    .basicsize = sizeof(HandlerCoro),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = coro_slots,
};

int
coro_setup(PyObject *module, AppState *st)
{
    st->coro_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &coro_spec, NULL);
    return st->coro_type == NULL ? -1 : PyModule_AddType(module, st->coro_type);
}

/* A HandlerCoro for the call; takes over next.coro. NULL with an exception set. */
static PyObject *
coro_new(HttpRequest *req, const Plan *plan, CallNext next)
{
    AppState *st = call_server(req)->st;
    HandlerCoro *self = (HandlerCoro *)st->coro_type->tp_alloc(st->coro_type, 0);
    if (self == NULL) {
        Py_DECREF(next.coro);
        return NULL;
    }
    http_request_ref(req);
    self->req = req;
    call_of(req)->coro = self;
    self->server = (AppServer *)Py_NewRef((PyObject *)call_server(req));
    self->plan = plan == NULL ? NULL : (Plan *)Py_NewRef((PyObject *)plan);
    self->coro = next.coro;
    self->stage = next.stage;
    return (PyObject *)self;
}

void
coro_start(HttpRequest *req, const Plan *plan, CallNext next)
{
    if (next.stage == CALL_DONE) {
        Py_CLEAR(call_of(req)->request);
        return;
    }
    AppServer *server = call_server(req);
    Loop *loop = server->loop;
    PyObject *name = plan != NULL ? plan->name : server->st->str_request;
    PyObject *coro = coro_new(req, plan, next);
    PyObject *task = coro == NULL ? NULL : loop_task_eager(loop, coro, name);
    if (task != NULL && ((HandlerCoro *)coro)->req != NULL) {
        ((HandlerCoro *)coro)->task = Py_NewRef(task);
        coro_suspended((HandlerCoro *)coro);
    }
    Py_XDECREF(coro);
    if (task == NULL) {
        loop_report(loop, "no task could be made for a request");
        Py_CLEAR(call_of(req)->request);
        (void)http_respond_error(req, 500);
        return;
    }
    Py_DECREF(task);
}

void
coro_end_stream(HttpRequest *req)
{
    HandlerCoro *coro = call_of(req)->coro;
    if (coro == NULL || coro->task == NULL || coro->stage != CALL_STREAM
        || coro->cancelled || sender_is_awaited(req)) {
        return;
    }
    coro->cancelled = true;
    PyObject *task = Py_NewRef(coro->task);
    PyObject *done = PyObject_CallMethodNoArgs(task, call_server(req)->st->str_cancel);
    if (done == NULL) {
        loop_report(call_server(req)->loop, "a streamed answer could not be cancelled");
    }
    Py_XDECREF(done);
    Py_DECREF(task);
}

void
coro_let_go(HttpRequest *req)
{
    if (call_of(req)->coro != NULL) {
        Py_CLEAR(call_of(req)->coro->task);
    }
}
