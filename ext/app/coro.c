/* See coro.h. request_coro.c calls coro_settle when the coroutine has ended; result.c then decides what
 * comes next: a response, or another coroutine to await.
 */
#include "base/py.h"

#include "app/coro.h"

#include "app/body.h"
#include "app/call.h"
#include "app/first_step.h"
#include "app/request_coro.h"
#include "app/sender.h"
#include "app/server.h"
#include "http/response.h"
#include "base/err.h"

#include <structmember.h>

struct HandlerCoro {
    RequestCoro base;
    AppServer *server; /* owned: outlives the requests of its HttpServer */
    HttpRequest *req;  /* owned reference; NULL when the call is over */
    Plan *plan;        /* owned; may be NULL */
    /* owned while suspended and the client is there, see handler_coro_traverse */
    PyObject *task;
    CallStage stage; /* what the coroutine computes */
    /* coro_cancel has cancelled the task; do not cancel its clean-up again */
    bool cancelled;
};

/* ---- The end of a call -------------------------------------------------------------------- */

/* Ends the call (RequestCoroOps.release): a response that isn't complete by now is broken off. */
static void
coro_release(RequestCoro *base)
{
    HandlerCoro *self = (HandlerCoro *)base;
    HttpRequest *req = self->req;
    self->req = NULL;
    if (req != NULL) {
        if (req->response != HTTP_RESPONSE_DONE) {
            http_abort(req);
        }
        body_end(req); /* tasks that still read the body get no more */
        call_of(req)->coro = NULL;
        call_let_request_go(req);
        http_request_unref(req);
    }
    Py_CLEAR(self->base.coro);
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
        next = result_respond(self->req, self->plan, self->stage, result);
    }
    Py_DECREF(result);
    return next;
}

/* Writes the response, or continues with the next coroutine (RequestCoroOps.settle). */
static PySendResult
coro_settle(RequestCoro *base, PyObject *result)
{
    HandlerCoro *self = (HandlerCoro *)base;
    CallNext next;
    if (result != NULL) {
        next = coro_returned(self, result);
    } else if (request_coro_lets_through(self->server->st)) {
        PyObject *exc = err_take();
        (void)http_respond_error(self->req,
                                 500); /* does nothing when the client has gone */
        coro_release(base);
        err_restore(exc);
        return PYGEN_ERROR;
    } else {
        next = result_respond_exception(self->req, self->stage);
    }
    if (next.stage == CALL_DONE) {
        coro_release(base);
        return PYGEN_RETURN;
    }
    self->stage = next.stage;
    Py_XSETREF(base->coro, next.coro);
    return PYGEN_NEXT;
}

static void
coro_suspended(RequestCoro *Py_UNUSED(base))
{
}

static const HttpRequest *
coro_request(const RequestCoro *base)
{
    return ((const HandlerCoro *)base)->req;
}

static const RequestCoroOps coro_ops = {
    .settle = coro_settle,
    .suspended = coro_suspended,
    .request = coro_request,
    .release = coro_release,
};

/* ---- The type ----------------------------------------------------------------------------- */

/* Deliberately doesn't visit the task. asyncio keeps only weak references to tasks. If our
 * reference were visited, the garbage collector could destroy a task that waits for something to
 * which nothing else refers. So the task lives as long as the request is open. */
static int
handler_coro_traverse(PyObject *op, visitproc visit, void *arg)
{
    HandlerCoro *self = (HandlerCoro *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->server);
    Py_VISIT(self->plan);
    Py_VISIT(self->base.coro);
    return 0;
}

static PyMemberDef coro_members[] = {
    {"server", T_OBJECT, offsetof(HandlerCoro, server), READONLY,
     "The server that the request came to; None at the end."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot coro_slots[] = {
    {Py_tp_doc, "Runs the handler of a request."},
    {Py_tp_members, coro_members},
    {Py_tp_traverse, handler_coro_traverse},
    {Py_tp_clear, request_coro_clear},
    {Py_tp_dealloc, request_coro_dealloc},
    {Py_am_send, request_coro_send},
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
    st->coro_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &coro_spec, (PyObject *)st->request_coro_type);
    st->coros.room = CORO_SPARES;
    return st->coro_type == NULL ? -1 : PyModule_AddType(module, st->coro_type);
}

/* Takes the first step in `context` (borrowed), or in a copy of the server's when that is NULL. *task: see
 * first_step_take. 0, or -1 with an exception set. */
static int
coro_run(HandlerCoro *self, PyObject *context, PyObject **task)
{
    const AppServer *server = self->server;
    PyObject *name = self->plan != NULL ? self->plan->name : server->st->str_request;
    PyObject *own =
        context == NULL ? PyContext_Copy(call_context(self->req)) : Py_NewRef(context);
    int err = own == NULL ? -1 : first_step_take(&self->base, name, own, task);
    Py_XDECREF(own);
    return err;
}

/* A HandlerCoro for the call: a new reference, or NULL with an exception set. next.coro is stolen. */
static HandlerCoro *
coro_new(HttpRequest *req, const Plan *plan, CallNext next)
{
    AppState *st = call_server(req)->st;
    HandlerCoro *self = (HandlerCoro *)recycle_new(&st->coros, st->coro_type);
    if (self == NULL) {
        Py_DECREF(next.coro);
        return NULL;
    }
    http_request_ref(req);
    self->req = req;
    call_of(req)->coro = self;
    self->server = (AppServer *)Py_NewRef((PyObject *)call_server(req));
    self->plan = plan == NULL ? NULL : (Plan *)Py_NewRef((PyObject *)plan);
    request_coro_init(&self->base, &coro_ops, st, self->server->loop);
    self->base.memory = &st->coros;
    self->base.coro = next.coro;
    self->stage = next.stage;
    return self;
}

void
coro_start(HttpRequest *req, const Plan *plan, CallNext next, PyObject *context)
{
    if (next.stage == CALL_DONE) {
        Py_CLEAR(call_of(req)->request);
        return;
    }
    Loop *loop = call_server(req)->loop;
    HandlerCoro *coro = coro_new(req, plan, next);
    PyObject *task = NULL;
    if (coro == NULL || coro_run(coro, context, &task) < 0) {
        loop_report(loop, "No task could be made for a request");
        Py_CLEAR(call_of(req)->request);
        (void)http_respond_error(req, 500);
        if (coro != NULL) {
            coro_release(&coro->base); /* it may have begun a response, and waits */
        }
    } else if (task != NULL && coro->req != NULL) {
        coro->task = Py_NewRef(task);
    }
    Py_XDECREF(task);
    Py_XDECREF((PyObject *)coro);
}

void
coro_end_stream(HttpRequest *req)
{
    const HandlerCoro *coro = call_of(req)->coro;
    if (coro != NULL && coro->stage == CALL_STREAM && !sender_is_awaited(req)) {
        coro_cancel(req);
    }
}

void
coro_cancel(HttpRequest *req)
{
    HandlerCoro *coro = call_of(req)->coro;
    if (coro == NULL || coro->task == NULL || coro->cancelled) {
        return;
    }
    coro->cancelled = true;
    PyObject *task = Py_NewRef(coro->task);
    PyObject *done = PyObject_CallMethodNoArgs(task, call_server(req)->st->str_cancel);
    if (done == NULL) {
        loop_report(call_server(req)->loop,
                    "The task of a request could not be cancelled");
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
