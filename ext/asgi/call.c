/* A call to an ASGI app (see call.h), from the request to the app's return. call_end.c has what becomes of the
 * response then.
 */
#include "base/py.h"

#include "asgi/call.h"

#include "app/first_step.h"
#include "asgi/scope.h"
#include "base/context.h"
#include "base/err.h"
#include "http/ws/ws.h"

#include <structmember.h>

/* ---- What the files of a call share ------------------------------------------------------- */

/* Removes the call from the queue of those that wait for their bodies, if it is there. */
static void
asgi_call_unqueue(AsgiCall *self)
{
    AsgiApp *app = self->app;
    if (ring_is_linked(&self->waiting)) {
        ring_remove(&self->waiting);
        if (ring_is_empty(&app->waiting)) {
            loop_hook_remove(self->server->loop, &app->hook);
        }
        Py_DECREF((PyObject *)self);
    }
}

int
asgi_call_check(const AsgiCall *self, const char *name)
{
    if (asgi_call_is_here(self)) {
        return 0;
    }
    PyErr_Format(PyExc_RuntimeError, "%s() works on the thread of the app's loop only",
                 name);
    return -1;
}

PyObject *
asgi_call_later(AsgiCall *self, PyObject *func, PyObject *arg)
{
    PyObject *coro = NULL;
    if (self->server == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the request is over");
    } else if (func != NULL) {
        PyObject *loop = (PyObject *)self->server->loop;
        coro = PyObject_CallFunctionObjArgs(self->app->later, loop, func, arg, NULL);
    }
    Py_XDECREF(func);
    return coro;
}

void
asgi_call_responded(AsgiCall *self)
{
    self->stage = ASGI_OVER;
    waiting_wake(&self->readers);
}

/* What routers leave in the scope: FastAPI and Starlette `route`, which has a path, Litestar `path_template`. A new
 * reference, or NULL, perhaps with an exception set. */
static PyObject *
scope_route(const AsgiState *st, PyObject *scope)
{
    PyObject *text = PyDict_GetItemWithError(scope, st->str_path_template);
    if (text != NULL || PyErr_Occurred()) {
        return Py_XNewRef(text);
    }
    PyObject *route = PyDict_GetItemWithError(scope, st->str_route);
    return route == NULL ? NULL : PyObject_GetAttr(route, st->str_path);
}

void
asgi_note_route(AsgiCall *self)
{
    PyObject *scope = self->scope;
    if (likely(scope == NULL)) {
        return;
    }
    self->scope = NULL;
    PyObject *path = scope_route(self->app->st, scope);
    if (path != NULL && self->req != NULL) {
        counted_note(self->req, path);
    }
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) {
        loop_report(self->server->loop, "The route of a request could not be read");
    }
    PyErr_Clear(); /* of a route without a path: it counts as one without a route */
    Py_XDECREF(path);
    Py_DECREF(scope);
}

/* ---- The start ---------------------------------------------------------------------------- */

/* app(scope, receive, send): the coroutine, or NULL with an exception set. */
static PyObject *
asgi_call_app(AsgiCall *self)
{
    PyObject *argv[] = {NULL, self->kind->scope(self->app, self->req),
                        asgi_receive_new(self), asgi_send_new(self)};
    PyObject *awaitable = NULL;
    if (argv[1] != NULL && argv[2] != NULL && argv[3] != NULL) {
        awaitable = PyObject_Vectorcall(self->app->app, argv + 1,
                                        3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    if (unlikely(self->server->metrics.obj != NULL) && self->req != NULL) {
        Py_XSETREF(self->scope, Py_XNewRef(argv[1]));
    }
    for (int i = 1; i <= 3; i++) {
        Py_XDECREF(argv[i]);
    }
    return awaitable == NULL ? NULL : request_coro_of(awaitable, "an ASGI app");
}

/* Runs the app's coroutine in a task, which keeps the call alive from then on. `context` (borrowed) is the
 * request's; NULL: a copy of the server's is made. */
static void
asgi_call_run_task(AsgiCall *self, PyObject *context)
{
    Loop *loop = self->server->loop;
    PyObject *base =
        self->req == NULL ? self->server->context : call_context(self->req);
    PyObject *own = context == NULL ? PyContext_Copy(base) : Py_NewRef(context);
    PyObject *task = NULL;
    if (own == NULL
        || first_step_take(&self->base, self->server->st->str_request, own, &task)
               < 0) {
        loop_report(loop, "No task could be made for a request");
        if (self->req != NULL) {
            (void)http_respond_error(self->req, 500);
            self->base.ops->release(&self->base);
        }
    } else if (task != NULL && self->req != NULL && !self->gone) {
        self->task = Py_NewRef(task);
    }
    Py_XDECREF(task);
    Py_XDECREF(own);
}

/* Calling the app gave no coroutine: an exception is set, which is cleared. `context` is as for
 * asgi_call_run_task. True when `coro` is now a coroutine that sends the response. */
static bool
asgi_call_failed(AsgiCall *self, PyObject *context)
{
    bool entered = context != NULL && PyContext_Enter(context) == 0;
    bool recovered = asgi_call_raised(self);
    if (!recovered) {
        self->base.ops->release(&self->base);
    }
    if (entered) {
        context_leave(context);
    }
    return recovered;
}

void
asgi_call_start(AsgiCall *self)
{
    if (self->base.coro != NULL || self->req == NULL) {
        return;
    }
    Py_INCREF((PyObject *)self);
    asgi_call_unqueue(self);
    PyObject *context = NULL;
    if (callable_is_plain(self->app->app)) {
        self->base.coro = asgi_call_app(self);
    } else if ((context = context_enter_copy(call_context(self->req))) != NULL) {
        self->base.coro = asgi_call_app(self);
        context_leave(context);
    }
    if (self->base.coro != NULL || asgi_call_failed(self, context)) {
        asgi_call_run_task(self, context);
    }
    Py_XDECREF(context);
    Py_DECREF((PyObject *)self);
}

/* ---- Calls that wait for their bodies ----------------------------------------------------- */

static AsgiCall *
first_waiting(AsgiApp *app)
{
    return container_of(app->waiting.next, AsgiCall, waiting);
}

/* Runs before the loop blocks: calls the app for the requests whose bodies haven't arrived
 * completely. The last one removes the hook. */
static void
asgi_on_hook(LoopHook *hook)
{
    AsgiApp *app = container_of(hook, AsgiApp, hook);
    Py_INCREF((PyObject *)app);
    /* The app's code may let another thread run, whose loop may take over the queue once it is
     * empty. This loop must not start that loop's calls. */
    const Loop *loop = first_waiting(app)->server->loop;
    while (!ring_is_empty(&app->waiting) && first_waiting(app)->server->loop == loop
           && !loop_is_forked(loop)) {
        asgi_call_start(first_waiting(app));
    }
    Py_DECREF((PyObject *)app);
}

/* Queues the call until its body has arrived, or the loop is about to block. The queue is of one loop at a
 * time. That is the rule anyway: each server makes AsgiApps of its own, also one that the child of a fork
 * starts. Should two loops share one all the same, the calls of the second start at once. */
static void
asgi_call_queue(AsgiCall *self)
{
    AsgiApp *app = self->app;
    if (ring_is_empty(&app->waiting)) {
        app->hook.run = asgi_on_hook;
        loop_hook_add(self->server->loop, &app->hook);
    } else if (first_waiting(app)->server->loop != self->server->loop) {
        asgi_call_start(self);
        return;
    }
    Py_INCREF((PyObject *)self);
    ring_append(&app->waiting, &self->waiting);
}

/* ---- What dispatch forwards --------------------------------------------------------------- */

static HttpBodyMode
asgi_on_head(HttpRequest *req)
{
    return req->has_body ? HTTP_BODY_STREAM : HTTP_BODY_DISCARD;
}

static PyObject *
http_send(AsgiCall *call, PyObject *message, const Message *m)
{
    return asgi_http_send(call, message, m, m->kind);
}

static const AsgiKind http_kind = {
    .scope = asgi_scope_http,
    .receive = {.attempt = asgi_http_receive},
    .send = http_send,
    .fault = asgi_http_fault,
    .end = asgi_http_end,
};

AsgiCall *
asgi_call_new(PyTypeObject *type, const AsgiKind *kind, HttpRequest *req, AsgiApp *app)
{
    Recycler *memory = type == app->st->asgi_call_type ? &app->st->calls : NULL;
    AsgiCall *self = (AsgiCall *)(memory != NULL ? recycle_new(memory, type)
                                                 : type->tp_alloc(type, 0));
    if (self == NULL) {
        return NULL;
    }
    self->kind = kind;
    self->server = (AppServer *)Py_NewRef((PyObject *)call_server(req));
    request_coro_init(&self->base, &asgi_call_ops, self->server->st,
                      self->server->loop);
    self->base.memory = memory;
    self->app = (AsgiApp *)Py_NewRef((PyObject *)app);
    http_request_ref(req);
    self->req = req;
    call_of(req)->mounted = self;
    return self;
}

static void
asgi_on_request(HttpRequest *req, Mount *mount)
{
    AsgiApp *app = (AsgiApp *)mount;
    PyTypeObject *type = app->st->asgi_call_type;
    if (unlikely(req->upgrade >= 0) && ws_is_offered(req)) {
        asgi_socket_request(req, app);
        return;
    }
    AsgiCall *self = asgi_call_new(type, &http_kind, req, app);
    if (self == NULL) {
        loop_report(call_server(req)->loop, "A request could not be handled");
        (void)http_respond_error(req, 500);
        return;
    }
    if (!req->has_body || req->body_complete) {
        asgi_call_start(self);
    } else if (req->expect_continue) {
        http_body_pause(req); /* until the app asks for the body */
        self->paused = true;
        asgi_call_start(self);
    } else {
        asgi_call_queue(self);
    }
    Py_DECREF((PyObject *)self);
}

static void
asgi_on_eof(HttpRequest *req)
{
    AsgiCall *self = call_of(req)->mounted;
    if (self != NULL) {
        asgi_send_held(self);
    }
}

/* The client has probably gone. The app is notified at once, because it may be waiting for nothing else. */
static void
asgi_on_left(HttpRequest *req, bool Py_UNUSED(for_long))
{
    AsgiCall *self = call_of(req)->mounted;
    if (self != NULL) {
        self->left = true;
        waiting_wake(&self->readers);
    }
}

/* Cancels the app's task, if there is one. */
static void
asgi_call_cancel(AsgiCall *self)
{
    PyObject *task = self->cancelled ? NULL : Py_XNewRef(self->task);
    self->cancelled = self->cancelled || task != NULL;
    PyObject *done =
        task == NULL ? NULL
                     : PyObject_CallMethodNoArgs(task, self->server->st->str_cancel);
    if (task != NULL && done == NULL) {
        loop_report(self->server->loop,
                    "The task of an ASGI app could not be cancelled");
    }
    Py_XDECREF(done);
    Py_XDECREF(task);
}

void
asgi_call_gone(HttpRequest *req)
{
    AsgiCall *self = call_of(req)->mounted;
    if (self == NULL) {
        return;
    }
    Py_INCREF((PyObject *)self);
    self->gone = true;
    self->hears_gone |= self->told_gone || self->readers.first != NULL;
    if (asgi_is_socket(self)) {
        asgi_socket_gone(self);
    }
    if (http_server_ends_streams(req->server) && self->readers.first == NULL) {
        asgi_call_cancel(self); /* nothing else would end an app that doesn't listen */
    }
    waiting_wake(&self->readers);
    waiting_wake(&self->writers);
    /* If the task waits for something that can no longer happen, the garbage collector may destroy
     * it now. */
    Py_CLEAR(self->task);
    if (ring_is_linked(&self->waiting)) {
        asgi_call_unqueue(self);
        self->base.ops->release(&self->base);
    }
    Py_DECREF((PyObject *)self);
}

static void
asgi_on_cancel(HttpRequest *req)
{
    AsgiCall *self = call_of(req)->mounted;
    if (self != NULL) {
        asgi_call_cancel(self);
    }
}

static void
asgi_on_writable(HttpRequest *req)
{
    AsgiCall *self = call_of(req)->mounted;
    if (self != NULL) {
        waiting_wake(&self->writers);
    }
}

const MountOps asgi_mount_ops = {
    .head = asgi_on_head,
    .request = asgi_on_request,
    .body = asgi_body,
    .body_end = asgi_body_end,
    .eof = asgi_on_eof,
    .left = asgi_on_left,
    .cancel = asgi_on_cancel,
    .gone = asgi_call_gone,
    .writable = asgi_on_writable,
    .websockets = true,
};

/* ---- The type ----------------------------------------------------------------------------- */

/* Deliberately doesn't visit the task, see handler_coro_traverse. */
int
asgi_call_traverse(PyObject *op, visitproc visit, void *arg)
{
    AsgiCall *self = (AsgiCall *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->base.coro);
    Py_VISIT(self->scope);
    Py_VISIT((PyObject *)self->server);
    Py_VISIT((PyObject *)self->app);
    return 0;
}

int
asgi_call_clear(PyObject *op)
{
    AsgiCall *self = (AsgiCall *)op;
    int err = request_coro_clear(op);
    Py_CLEAR(self->scope);
    Py_CLEAR(self->server);
    Py_CLEAR(self->app);
    return err;
}

static PyMemberDef asgi_call_members[] = {
    {"server", T_OBJECT, offsetof(AsgiCall, server), READONLY,
     "The server that the request came to."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot asgi_call_slots[] = {
    {Py_tp_doc, "A request to an ASGI app."},
    {Py_tp_members, asgi_call_members},
    {Py_tp_traverse, asgi_call_traverse},
    {Py_tp_clear, asgi_call_clear},
    {Py_tp_dealloc, request_coro_dealloc},
    {Py_am_send, request_coro_send},
    {0, NULL},
};

static PyType_Spec asgi_call_spec = {
    .name = "fluvial._core.AsgiCall",
    .basicsize = sizeof(AsgiCall),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = asgi_call_slots,
};

int
asgi_call_setup(PyObject *module, AsgiState *st)
{
    st->asgi_call_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &asgi_call_spec, (PyObject *)app_state(module)->request_coro_type);
    st->calls.room = CORO_SPARES;
    return st->asgi_call_type == NULL ? -1
                                      : PyModule_AddType(module, st->asgi_call_type);
}
