/* See dispatch.h. A request enters by dispatch_head and dispatch_request and leaves by one of
 * call_inline, call_task and call_in_pool (job.c), or by an answer that needs no handler.
 */
#include "base/py.h"

#include "app/dispatch.h"

#include "app/answer.h"
#include "app/body.h"
#include "app/convert.h"
#include "app/coro.h"
#include "app/fields.h"
#include "app/job.h"
#include "app/params.h"
#include "app/plan.h"
#include "app/request.h"
#include "app/request_coro.h"
#include "app/sender.h"
#include "app/server.h"
#include "app/ws_call.h"
#include "app/ws_type.h"
#include "base/err.h"
#include "http/ws.h"

/* ---- AppCall ------------------------------------------------------------------------------ */

AppServer *
call_server(const HttpRequest *req)
{
    return (AppServer *)http_server_context(req->server);
}

PyObject *
call_request(HttpRequest *req)
{
    AppCall *call = call_of(req);
    if (call->request == NULL) {
        AppServer *server = call_server(req);
        call->request = request_new(server->request_type, req, server->app);
    }
    return Py_XNewRef(call->request);
}

static void
dispatch_clear(HttpRequest *req)
{
    AppCall *call = call_of(req);
    assert(call->request == NULL && call->asgi == NULL && call->wsgi == NULL);
    body_clear(call);
    buf_free(&call->path);
}

/* ---- The head ----------------------------------------------------------------------------- */

/* Whether `path` is `prefix` or below it. */
static bool
is_below(Slice path, Slice prefix)
{
    return path.len >= prefix.len && memcmp(path.ptr, prefix.ptr, prefix.len) == 0
           && (path.len == prefix.len || path.ptr[prefix.len] == '/');
}

/* The app that is mounted where the path points to; NULL when there is none. Borrowed. */
static Mount *
find_mount(const AppServer *server, Slice path)
{
    Py_ssize_t count = server->mounts == NULL ? 0 : PyTuple_GET_SIZE(server->mounts);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *mount = PyTuple_GET_ITEM(server->mounts, i);
        Py_ssize_t len;
        const char *prefix = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(mount, 0), &len);
        if (prefix == NULL) {
            PyErr_Clear();
        } else if (is_below(path, slice_of(prefix, (size_t)len))) {
            return (Mount *)PyTuple_GET_ITEM(mount, 1);
        }
    }
    return NULL;
}

/* Hands the request over to an app that is mounted. */
static HttpBodyMode
mount_head(HttpRequest *req, Mount *mount)
{
    call_of(req)->mount = mount;
    return mount->ops->head(req);
}

/* Who takes an offer of a WebSocket: a native handler, else the app that is mounted there. Routes of
 * requests have no say, and middleware is not around WebSockets. */
static bool
websocket_head(HttpRequest *req, HttpBodyMode *mode)
{
    *mode = HTTP_BODY_DISCARD;
    if (ws_call_wanted(req)) {
        return true;
    }
    Mount *mount = find_mount(call_server(req), call_path(req));
    if (mount == NULL || !mount->ops->websockets) {
        return false;
    }
    *mode = mount_head(req, mount);
    return true;
}

/* What becomes of the body of a request that has its route. */
static HttpBodyMode
route_head(HttpRequest *req)
{
    const Plan *plan = (Plan *)call_of(req)->match.plan;
    if (plan->body_limit >= 0) {
        req->body_limit = (uint64_t)plan->body_limit;
    }
    return plan->body_mode;
}

/* Finds the route. */
static HttpBodyMode
dispatch_head(HttpRequest *req)
{
    AppCall *call = call_of(req);
    AppServer *server = call_server(req);
    Slice path = http_request_path(req);
    HttpBodyMode mode = HTTP_BODY_DISCARD;
    if (unlikely(convert_is_quoted(path)) && convert_unquote(path, &call->path) != 0) {
        (void)http_respond_error(req, 500);
        return HTTP_BODY_DISCARD;
    }
    if (server->root != NULL) {
        return mount_head(req, server->root);
    }
    if (unlikely(req->upgrade >= 0) && ws_is_offered(req)
        && websocket_head(req, &mode)) {
        return mode;
    }
    router_find(server->router, req->method, call_path(req), &call->match);
    if (call->match.outcome == ROUTE_FOUND) {
        mode = route_head(req);
    } else if (server->entry == NULL) { /* middleware finds the mounts itself */
        Mount *mount = find_mount(server, call_path(req));
        if (mount != NULL) {
            return mount_head(req, mount);
        }
    }
    if (server->entry != NULL && mode == HTTP_BODY_DISCARD) {
        mode = HTTP_BODY_STREAM;
    }
    return mode;
}

/* ---- Calls -------------------------------------------------------------------------------- */

/* argv leaves room in front, as PY_VECTORCALL_ARGUMENTS_OFFSET promises the callee. */
static PyObject *
plan_call(const Plan *plan, PyObject **argv)
{
    return PyObject_Vectorcall(plan->handler, argv,
                               plan->npositional | PY_VECTORCALL_ARGUMENTS_OFFSET,
                               plan->kwnames);
}

/* Calls the handler in a context of its own: what it sets must not be there for the next one. */
static PyObject *
plan_call_apart(const Plan *plan, PyObject **argv)
{
    PyObject *context = PyContext_CopyCurrent();
    if (context == NULL || PyContext_Enter(context) < 0) {
        Py_XDECREF(context);
        return NULL;
    }
    PyObject *result = plan_call(plan, argv);
    PyObject *exc = result == NULL ? err_take() : NULL;
    (void)PyContext_Exit(context); /* can't fail: it was entered here */
    Py_DECREF(context);
    if (exc != NULL) {
        err_restore(exc);
    }
    return result;
}

static void
call_inline(HttpRequest *req, const Plan *plan, PyObject **argv)
{
    PyObject *result = plan_call_apart(plan, argv);
    CallNext next = result == NULL ? answer_exception(req, CALL_HANDLER)
                                   : answer_result(req, plan, CALL_HANDLER, result);
    Py_XDECREF(result);
    coro_start(req, plan, next);
}

static void
call_task(HttpRequest *req, const Plan *plan, PyObject **argv)
{
    PyObject *awaitable = plan_call(plan, argv);
    PyObject *coro = awaitable == NULL
                         ? NULL
                         : request_coro_of(awaitable, "an asynchronous handler");
    CallNext next = coro == NULL ? answer_exception(req, CALL_HANDLER)
                                 : (CallNext){CALL_HANDLER, coro};
    coro_start(req, plan, next);
}

static void
call_plan(HttpRequest *req, const Plan *plan)
{
    PyObject *space[1 + PLAN_PARAMS_MAX];
    PyObject **argv = space + 1;
    if (params_bind(plan, req, argv) < 0) {
        coro_start(req, NULL, answer_exception(req, CALL_HANDLER));
        return;
    }
    switch (plan->kind) {
    case PLAN_INLINE:
        call_inline(req, plan, argv);
        break;
    case PLAN_TASK:
        call_task(req, plan, argv);
        break;
    case PLAN_POOL:
        job_start(req, plan, argv);
        return; /* the job has the arguments */
    }
    params_release(plan, argv);
}

/* Everything goes through the middleware: entry(request). */
static void
call_entry(HttpRequest *req)
{
    AppServer *server = call_server(req);
    PyObject *request = call_request(req);
    PyObject *coro =
        request == NULL ? NULL : PyObject_CallOneArg(server->entry, request);
    Py_XDECREF(request);
    CallNext next = coro == NULL ? answer_exception(req, CALL_HANDLER)
                                 : (CallNext){CALL_HANDLER, coro};
    coro_start(req, NULL, next);
}

/* ---- Requests without a route ------------------------------------------------------------- */

/* The header fields that go with the route's status, from request.route_headers, in
 * server->fields. 0, or -1 with an exception set. */
static int
route_fields(AppServer *server, PyObject *request)
{
    PyObject *pairs = PyObject_GetAttr(request, server->st->str_route_headers);
    http_fields_clear(&server->fields);
    int err = pairs == NULL ? -1 : fields_from_pairs(&server->fields, pairs);
    Py_XDECREF(pairs);
    return err;
}

/* HTTPException(status, headers={…}), for the user's own exception handlers; sets it. */
static void
route_raise(AppServer *server, PyObject *request, int status)
{
    PyObject *pairs = PyObject_GetAttr(request, server->st->str_route_headers);
    PyObject *headers = PyDict_New();
    PyObject *exc = NULL;
    for (Py_ssize_t i = 0;
         pairs != NULL && headers != NULL && i < PyList_GET_SIZE(pairs); i++) {
        PyObject *pair = PyList_GET_ITEM(pairs, i);
        PyObject *name = convert_latin1(bytes_slice(PyTuple_GET_ITEM(pair, 0)));
        PyObject *value = convert_latin1(bytes_slice(PyTuple_GET_ITEM(pair, 1)));
        if (name == NULL || value == NULL || PyDict_SetItem(headers, name, value) < 0) {
            Py_CLEAR(headers);
        }
        Py_XDECREF(name);
        Py_XDECREF(value);
    }
    if (pairs != NULL && headers != NULL) {
        exc = PyObject_CallFunction(server->http_exception, "iOO", status, Py_None,
                                    headers);
    }
    if (exc != NULL) {
        err_restore(exc);
    }
    Py_XDECREF(pairs);
    Py_XDECREF(headers);
}

/* 404, 405 with Allow, or 307 to the path with its last '/' toggled. */
static void
answer_without_route(HttpRequest *req, RouteOutcome outcome)
{
    AppServer *server = call_server(req);
    int status = route_status(outcome);
    if (status == 404 && !server->custom_errors) {
        (void)http_respond_error(req, 404);
        return;
    }
    PyObject *request = call_request(req);
    CallNext next = {CALL_DONE, NULL};
    if (request != NULL && status != 307 && server->custom_errors) {
        route_raise(server, request, status);
        next = answer_exception(req, CALL_HANDLER);
    } else if (request == NULL || route_fields(server, request) < 0) {
        next = answer_exception(req, CALL_HANDLER);
    } else {
        bool redirect = status == 307;
        HttpHead head = {
            .status = status,
            .content_type = redirect ? SLICE("") : SLICE("application/json"),
            .fields = &server->fields,
        };
        Slice body =
            redirect ? SLICE("") : SLICE("{\"detail\":\"Method Not Allowed\"}");
        (void)http_respond(req, &head, body, NULL);
    }
    Py_XDECREF(request);
    coro_start(req, NULL, next);
}

/* ---- What the http layer calls ------------------------------------------------------------ */

static void
dispatch_request(HttpRequest *req)
{
    AppCall *call = call_of(req);
    http_request_ref(req); /* the client may go away while Python runs */
    if (call->mount != NULL) {
        call->mount->ops->request(req, call->mount);
    } else if (unlikely(call->websocket)) {
        ws_call_start(req);
    } else if (call_server(req)->entry != NULL) {
        call_entry(req);
    } else if (likely(call->match.outcome == ROUTE_FOUND)) {
        call_plan(req, (Plan *)call->match.plan);
    } else {
        answer_without_route(req, call->match.outcome);
    }
    http_request_unref(req);
}

static void
dispatch_body(HttpRequest *req, Slice piece)
{
    const Mount *mount = call_of(req)->mount;
    if (mount != NULL) {
        mount->ops->body(req, piece);
    } else {
        body_feed(req, piece);
    }
}

static void
dispatch_body_end(HttpRequest *req)
{
    const Mount *mount = call_of(req)->mount;
    if (mount != NULL) {
        mount->ops->body_end(req);
    } else {
        body_end(req);
    }
}

static void
dispatch_writable(HttpRequest *req)
{
    const Mount *mount = call_of(req)->mount;
    if (mount != NULL) {
        mount->ops->writable(req);
    } else {
        sender_wake(req);
    }
}

static void
dispatch_eof(HttpRequest *req)
{
    const Mount *mount = call_of(req)->mount;
    if (mount != NULL) {
        if (mount->ops->eof != NULL) {
            mount->ops->eof(req);
        }
        return;
    }
    call_of(req)->eof = true;
    coro_end_stream(req);
}

/* The client went away: whoever waits for its bytes, or for room to write, is woken. */
static void
dispatch_gone(HttpRequest *req)
{
    const Mount *mount = call_of(req)->mount;
    if (mount != NULL) {
        mount->ops->gone(req);
        return;
    }
    body_gone(req);
    if (call_of(req)->websocket && call_of(req)->request != NULL) {
        websocket_gone(call_of(req)->request);
    }
    coro_end_stream(req);
    sender_wake(req);
    coro_let_go(req);
}

static void
dispatch_drained(void *context)
{
    server_drained((AppServer *)context);
}

static void
dispatch_refused(void *context, const NetAddr *peer, const char *reason)
{
    server_tell_refused(context, peer, reason);
}

const HttpOps dispatch_ops = {
    .app_size = sizeof(AppCall),
    .on_head = dispatch_head,
    .on_request = dispatch_request,
    .on_body = dispatch_body,
    .on_body_end = dispatch_body_end,
    .on_gone = dispatch_gone,
    .on_eof = dispatch_eof,
    .on_writable = dispatch_writable,
    .app_clear = dispatch_clear,
    .on_refused = dispatch_refused,
    .on_drained = dispatch_drained,
};
