/* See dispatch.h. A request enters through dispatch_head and then dispatch_request. It leaves through one
 * of call_inline, call_task and job_start (job.c), or gets a response that needs no handler.
 */
#include "base/py.h"

#include "app/serve/dispatch.h"

#include "app/serve/counted.h"
#include "app/result.h"
#include "app/body.h"
#include "base/text.h"
#include "app/call_place.h"
#include "app/coro.h"
#include "app/header_pairs.h"
#include "app/job.h"
#include "app/bind/params.h"
#include "app/bind/plan.h"
#include "app/request_type.h"
#include "app/request_coro.h"
#include "app/sender.h"
#include "app/server.h"
#include "app/ws/ws_call.h"
#include "app/ws/ws_type.h"
#include "base/context.h"
#include "base/err.h"
#include "base/probe.h"
#include "http/ws/ws.h"

#include <llhttp.h>
#include <stdio.h>
#include <uv.h>

/* ---- AppCall ------------------------------------------------------------------------------ */

static void
dispatch_clear(HttpRequest *req)
{
    AppCall *call = call_of(req);
    assert(call->request == NULL && call->mounted == NULL);
    overdue_forget(&call->overdue);
    body_clear(call);
    buf_free(&call->path);
    Py_CLEAR(call->match.plan);
}

/* ---- The head ----------------------------------------------------------------------------- */

/* Whether `path` is `prefix` or below it. */
static bool
is_below(Slice path, Slice prefix)
{
    return path.len >= prefix.len && memcmp(path.ptr, prefix.ptr, prefix.len) == 0
           && (path.len == prefix.len || path.ptr[prefix.len] == '/');
}

/* The app that is mounted at the path or above it (borrowed), or NULL. */
static Mount *
mount_find(const AppServer *server, Slice path)
{
    Py_ssize_t count = server->mounts == NULL ? 0 : PyTuple_GET_SIZE(server->mounts);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *mount = PyTuple_GET_ITEM(server->mounts, i);
        Py_ssize_t len;
        const char *prefix = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(mount, 0), &len);
        if (prefix == NULL) {
            PyErr_Clear(); /* no memory, or lone surrogates in the prefix, which no path has */
        } else if (is_below(path, slice_of(prefix, (size_t)len))) {
            return (Mount *)PyTuple_GET_ITEM(mount, 1);
        }
    }
    return NULL;
}

/* What of the server's own has that path (borrowed), or NULL. */
static Mount *
own_find(const AppServer *server, Slice path)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(server->own); i++) {
        PyObject *own = PyTuple_GET_ITEM(server->own, i);
        Py_ssize_t len;
        const char *known = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(own, 0), &len);
        if (known == NULL) {
            PyErr_Clear(); /* as in mount_find */
        } else if (slice_eq(path, slice_of(known, (size_t)len))) {
            return (Mount *)PyTuple_GET_ITEM(own, 1);
        }
    }
    return NULL;
}

/* Gives the request to a mounted app. */
static HttpBodyMode
mount_head(HttpRequest *req, Mount *mount)
{
    call_of(req)->mount = mount;
    return mount->ops->head(req);
}

/* Finds what takes an offered WebSocket: a native WebSocket handler, else the app that is mounted there.
 * False when there is neither: then the offer is ignored. Routes of plain requests don't count here, and
 * middleware doesn't wrap WebSockets. */
static bool
websocket_head(HttpRequest *req, HttpBodyMode *mode)
{
    *mode = HTTP_BODY_DISCARD;
    if (ws_call_wanted(req)) {
        return true;
    }
    Mount *mount = mount_find(call_server(req), call_path(req));
    if (mount == NULL || !mount->ops->websockets) {
        return false;
    }
    *mode = mount_head(req, mount);
    return true;
}

/* Whether the body is a form with files, which can be read without keeping it in memory. */
static bool
is_multipart(const HttpRequest *req)
{
    const Slice type = SLICE("multipart/form-data");
    Slice value = req->content_type < 0
                      ? SLICE("")
                      : http_field_value(req, (uint32_t)req->content_type);
    return value.len >= type.len
           && slice_eq_nocase(slice_of(value.ptr, type.len), type);
}

/* How to treat the body of a request whose route was found; also sets its limit. A handler that reads a
 * streamed body as a whole is refused more than HttpLimits.body by Request.body(). */
static HttpBodyMode
route_head(HttpRequest *req)
{
    const Plan *plan = (Plan *)call_of(req)->match.plan;
    if (plan->body_limit >= 0) {
        req->body_limit = (uint64_t)plan->body_limit;
    } else if (plan->body_mode == HTTP_BODY_STREAM && is_multipart(req)) {
        req->body_limit = http_server_limits(req->server)->form_size;
    }
    return plan->body_mode;
}

/* Removes the server's root path from the path, if that is below it: a proxy in front may or may not have
 * done so. 0 or UV_ENOMEM. */
static int
root_strip(HttpRequest *req)
{
    AppCall *call = call_of(req);
    Slice path = call_path(req);
    Slice root = call_root_bytes(req);
    if (unlikely(root.ptr == NULL)) {
        PyErr_Clear(); /* no memory */
        return UV_ENOMEM;
    }
    if (root.len == 0 || !is_below(path, root)) {
        return 0;
    }
    if (call->path.ptr == NULL && buf_append_slice(&call->path, path) != 0) {
        return UV_ENOMEM;
    }
    buf_consume(&call->path, root.len);
    call->rooted = true;
    return call->path.len == 0 ? buf_append(&call->path, "/", 1) : 0;
}

/* Middleware gets the request first, but its body has the limit of the route that it is for. */
static void
around_head(HttpRequest *req)
{
    AppCall *call = call_of(req);
    router_find_request(call_server(req)->router, req->method, call_path(req),
                        &call->match);
    call_keep_plan(call);
    if (call->match.outcome == ROUTE_FOUND) {
        (void)route_head(req);
    }
}

/* Finds the route, or the mounted app; returns how the body is treated. */
static HttpBodyMode
dispatch_head(HttpRequest *req)
{
    AppCall *call = call_of(req);
    AppServer *server = call_server(req);
    Slice path = http_request_path(req);
    HttpBodyMode mode = HTTP_BODY_DISCARD;
    if (unlikely(server->own_lengths >> (path.len < 63 ? path.len : 63) & 1)) {
        Mount *own = own_find(server, path);
        if (own != NULL) {
            return mount_head(req, own);
        }
    }
    if (unlikely(text_is_quoted(path)) && text_unquote(path, &call->path) != 0) {
        (void)http_respond_error(req, 500);
        return HTTP_BODY_DISCARD;
    }
    bool native = server->root == NULL || server->around;
    /* A prefix that a proxy tells has been removed by it: the path isn't below it any more. */
    if (unlikely(server->root_path != NULL) && req->prefix_len == 0 && native
        && root_strip(req) != 0) {
        (void)http_respond_error(req, 500);
        return HTTP_BODY_DISCARD;
    }
    if (server->root != NULL) {
        if (server->around) {
            around_head(req);
        }
        return mount_head(req, server->root);
    }
    if (unlikely(req->upgrade >= 0) && ws_is_offered(req)
        && websocket_head(req, &mode)) {
        return mode;
    }
    router_find_request(server->router, req->method, call_path(req), &call->match);
    call_keep_plan(call);
    if (call->match.outcome == ROUTE_FOUND) {
        mode = route_head(req);
    } else if (server->entry == NULL) { /* with middleware, entry() finds the mounts */
        Mount *mount = mount_find(server, call_path(req));
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

/* Calls the handler. argv[-1] must be writable, since PY_VECTORCALL_ARGUMENTS_OFFSET allows the
 * callee to use it. */
static PyObject *
plan_call(const Plan *plan, PyObject **argv)
{
    return PyObject_Vectorcall(plan->handler, argv,
                               plan->npositional | PY_VECTORCALL_ARGUMENTS_OFFSET,
                               plan->kwnames);
}

static CallNext
call_inline(HttpRequest *req, const Plan *plan, PyObject **argv)
{
    PyObject *result = plan_call(plan, argv);
    CallNext next = result == NULL ? result_respond_exception(req, CALL_HANDLER)
                                   : result_respond(req, plan, CALL_HANDLER, result);
    Py_XDECREF(result);
    return next;
}

static CallNext
call_task(HttpRequest *req, const Plan *plan, PyObject **argv)
{
    PyObject *awaitable = plan_call(plan, argv);
    PyObject *coro = awaitable == NULL
                         ? NULL
                         : request_coro_of(awaitable, "an asynchronous handler");
    return coro == NULL ? result_respond_exception(req, CALL_HANDLER)
                        : (CallNext){CALL_HANDLER, coro};
}

/* Responds with what the exception handlers make of the exception that is set. The request has no context
 * yet, so this makes one for them. */
static void
dispatch_failed(HttpRequest *req)
{
    PyObject *exc = err_take();
    PyObject *context = context_enter_copy(call_context(req));
    if (context == NULL) {
        loop_report(call_server(req)->loop, "No context could be made for a request");
        (void)http_respond_error(req, 500);
        Py_CLEAR(call_of(req)->request);
        Py_DECREF(exc);
        return;
    }
    err_restore(exc);
    CallNext next = result_respond_exception(req, CALL_HANDLER);
    context_leave(context);
    coro_start(req, NULL, next, context);
    Py_DECREF(context);
}

/* Whether none of the user's code runs on the loop before the handler itself, which runs in a task or on a
 * worker. Then no context is entered here. */
static bool
is_plain(const Plan *plan)
{
    return plan->plain_params
           && (plan->kind == PLAN_POOL
               || (plan->kind == PLAN_TASK && callable_is_plain(plan->handler)));
}

static void
call_plain(HttpRequest *req, const Plan *plan)
{
    PyObject *space[1 + PLAN_PARAMS_MAX];
    PyObject **argv = space + 1;
    if (call_bind(plan, req, argv) < 0) {
        dispatch_failed(req);
        return;
    }
    if (plan->kind == PLAN_POOL) {
        job_start(req, plan, argv, NULL);
        return; /* the job has the arguments */
    }
    PyObject *coro = plan_call(plan, argv);
    params_release(plan, argv);
    if (coro == NULL) {
        dispatch_failed(req);
    } else {
        coro_start(req, plan, (CallNext){CALL_HANDLER, coro}, NULL);
    }
}

/* Binds the arguments and calls the handler. `context` has been entered by the caller and is left
 * here; what continues the request (a task, a job) enters it again. */
static void
call_plan(HttpRequest *req, const Plan *plan, PyObject *context)
{
    PyObject *space[1 + PLAN_PARAMS_MAX];
    PyObject **argv = space + 1;
    CallNext next;
    if (call_bind(plan, req, argv) < 0) {
        next = result_respond_exception(req, CALL_HANDLER);
        plan = NULL;
    } else if (plan->kind == PLAN_POOL) {
        context_leave(context);
        job_start(req, plan, argv, context);
        return; /* the job has the arguments */
    } else {
        next = plan->kind == PLAN_TASK ? call_task(req, plan, argv)
                                       : call_inline(req, plan, argv);
        params_release(plan, argv);
    }
    context_leave(context);
    coro_start(req, plan, next, context);
}

/* Calls the middleware, entry(request), which finds and calls the handler. */
static CallNext
call_entry(HttpRequest *req)
{
    AppServer *server = call_server(req);
    PyObject *request = call_request(req);
    PyObject *coro =
        request == NULL ? NULL : PyObject_CallOneArg(server->entry, request);
    Py_XDECREF(request);
    return coro == NULL ? result_respond_exception(req, CALL_HANDLER)
                        : (CallNext){CALL_HANDLER, coro};
}

/* ---- Requests without a route ------------------------------------------------------------- */

/* Puts the header fields that go with the route's status into server->fields: Allow or Location, taken from
 * request.route_headers. 0, or -1 with an exception set. */
static int
route_fields(AppServer *server, PyObject *request)
{
    PyObject *pairs = PyObject_GetAttr(request, server->st->str_route_headers);
    int err = pairs == NULL ? -1 : fields_from_pairs(&server->fields, pairs);
    Py_XDECREF(pairs);
    return err;
}

/* Sets HTTPException(status, headers={…}), because the user has exception handlers for it. */
static void
route_raise(AppServer *server, PyObject *request, int status)
{
    PyObject *pairs = PyObject_GetAttr(request, server->st->str_route_headers);
    PyObject *headers = PyDict_New();
    PyObject *exc = NULL;
    for (Py_ssize_t i = 0;
         pairs != NULL && headers != NULL && i < PyList_GET_SIZE(pairs); i++) {
        PyObject *pair = PyList_GET_ITEM(pairs, i);
        PyObject *name = text_latin1(bytes_slice(PyTuple_GET_ITEM(pair, 0)));
        PyObject *value = text_latin1(bytes_slice(PyTuple_GET_ITEM(pair, 1)));
        if (name == NULL || value == NULL || PyDict_SetItem(headers, name, value) < 0) {
            Py_CLEAR(headers);
        }
        Py_XDECREF(name);
        Py_XDECREF(value);
    }
    if (pairs != NULL && headers != NULL) {
        exc = PyObject_CallFunction(server->errors.http_exception, "iOO", status,
                                    Py_None, headers);
    }
    if (exc != NULL) {
        err_restore(exc);
    }
    Py_XDECREF(pairs);
    Py_XDECREF(headers);
}

/* 404, 405 with Allow, or 307 to the path with its last '/' toggled. */
static CallNext
dispatch_without_route(HttpRequest *req, RouteOutcome outcome)
{
    AppServer *server = call_server(req);
    int status = route_status(outcome);
    PyObject *request = call_request(req);
    CallNext next = {CALL_DONE, NULL};
    if (request != NULL && status != 307 && server->custom_errors) {
        route_raise(server, request, status);
        next = result_respond_exception(req, CALL_HANDLER);
    } else if (request == NULL || route_fields(server, request) < 0) {
        next = result_respond_exception(req, CALL_HANDLER);
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
    return next;
}

/* Whether the response is a 404 that none of the user's code can change. */
static bool
is_plain_404(HttpRequest *req)
{
    const AppServer *server = call_server(req);
    return server->entry == NULL && !server->custom_errors && !call_of(req)->websocket
           && route_status(call_of(req)->match.outcome) == 404;
}

/* ---- What the http layer calls ------------------------------------------------------------ */

/* Calls what the request leads to, in a context of its own. */
static void
call_native(HttpRequest *req)
{
    AppCall *call = call_of(req);
    AppServer *server = call_server(req);
    const Plan *plan = (Plan *)call->match.plan;
    bool direct =
        call->match.outcome == ROUTE_FOUND && !call->websocket && server->entry == NULL;
    if (likely(direct && is_plain(plan))) {
        call_plain(req, plan);
        return;
    }
    PyObject *context = context_enter_copy(call_context(req));
    if (context == NULL) {
        loop_report(server->loop, "No context could be made for a request");
        (void)http_respond_error(req, 500);
        return;
    }
    if (direct) {
        call_plan(req, plan, context);
    } else {
        CallNext next = call->websocket ? ws_call_begin(req)
                        : server->entry != NULL
                            ? call_entry(req)
                            : dispatch_without_route(req, call->match.outcome);
        context_leave(context);
        bool runs = call->websocket && next.stage == CALL_HANDLER;
        coro_start(req, runs ? plan : NULL, next, context);
    }
    Py_DECREF(context);
}

/* OPTIONS *, which asks about the server as a whole (RFC 9110 section 9.3.7). */
static bool
is_for_server(const HttpRequest *req)
{
    return req->method == HTTP_OPTIONS
           && slice_eq(http_request_target(req), SLICE("*"));
}

static void
dispatch_for_server(HttpRequest *req)
{
    HttpFields fields = {.has_date = false};
    Slice methods = SLICE("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
    const HttpHead head = {.status = 200, .fields = &fields};
    if (http_fields_add(&fields, SLICE("allow"), methods) == 0) {
        (void)http_respond(req, &head, SLICE(""), NULL);
    } else {
        (void)http_respond_error(req, 500);
    }
    http_fields_free(&fields);
}

/* Whether a WebSocket is offered to a handler that takes it. */
static bool
is_socket(HttpRequest *req)
{
    const AppCall *call = call_of(req);
    bool taken =
        call->websocket || (call->mount != NULL && call->mount->ops->websockets);
    return taken && req->upgrade >= 0 && ws_is_offered(req);
}

/* How long the response may take, in ms; 0: as long as it wants. Handlers of WebSockets aren't limited. */
static uint32_t
dispatch_timeout(HttpRequest *req)
{
    const Plan *plan = (Plan *)call_of(req)->match.plan;
    if (is_socket(req)) {
        return 0;
    }
    return plan != NULL && plan->timeout >= 0
               ? (uint32_t)(plan->timeout < UINT32_MAX ? plan->timeout : UINT32_MAX)
               : http_server_limits(req->server)->request_timeout;
}

static void
dispatch_request(HttpRequest *req)
{
    AppCall *call = call_of(req);
    PROBE(dispatch, req->conn, req, call->match.outcome, call->mount);
    bool for_server = unlikely(call->match.outcome != ROUTE_FOUND && is_for_server(req))
                      && (call->mount == NULL || call_server(req)->around);
    http_request_ref(req); /* the client may go away while Python runs */
    if (for_server) {
        call->mount = NULL;
        dispatch_for_server(req);
    } else if (call->mount != NULL) {
        call->mount->ops->request(req, call->mount);
    } else if (unlikely(is_plain_404(req))) {
        (void)http_respond_error(req, 404);
    } else {
        call_native(req);
    }
    if (req->response != HTTP_RESPONSE_DONE) {
        overdue_watch(&call_server(req)->overdue, &call->overdue, req,
                      dispatch_timeout(req));
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
        return;
    }
    sender_wake(req);
    if (req->response == HTTP_RESPONSE_DONE) {
        body_end(req);
    }
}

/* Native responses don't hold their head back, so only mounts need to know (see HttpOps.on_eof). */
static void
dispatch_eof(HttpRequest *req)
{
    const Mount *mount = call_of(req)->mount;
    if (mount != NULL && mount->ops->eof != NULL) {
        mount->ops->eof(req);
    }
}

static void
dispatch_cancel(HttpRequest *req)
{
    const Mount *mount = call_of(req)->mount;
    if (mount == NULL) {
        coro_cancel(req);
    } else if (mount->ops->cancel != NULL) {
        mount->ops->cancel(req);
    }
}

/* The client has left: cancels the handler where the route or the server asks for that. A WebSocket's
 * handler learns of it by itself. */
static void
dispatch_cancel_if_asked(HttpRequest *req)
{
    const Plan *plan = (Plan *)call_of(req)->match.plan;
    bool asked = plan != NULL && plan->cancel >= 0
                     ? plan->cancel != 0
                     : http_server_limits(req->server)->cancel_on_disconnect != 0;
    if (asked && !is_socket(req)) {
        dispatch_cancel(req);
    }
}

/* The client has probably gone. A streamed response that has waited for long, and not for room to write, is
 * cancelled. */
static void
dispatch_left(HttpRequest *req, bool for_long)
{
    const Mount *mount = call_of(req)->mount;
    if (for_long) {
        dispatch_cancel_if_asked(req);
    }
    if (mount != NULL) {
        if (mount->ops->left != NULL) {
            mount->ops->left(req, for_long);
        }
        return;
    }
    body_end(req); /* wakes until_gone(), which checks again */
    if (for_long) {
        coro_end_stream(req);
    }
}

/* The client went away: wakes everything that waits for its bytes or for room to write. */
static void
dispatch_gone(HttpRequest *req)
{
    const Mount *mount = call_of(req)->mount;
    dispatch_cancel_if_asked(req);
    if (mount != NULL) {
        mount->ops->gone(req);
        return;
    }
    body_gone(req);
    job_drop(req);
    if (call_of(req)->websocket && call_of(req)->request != NULL) {
        websocket_gone(call_of(req)->request);
    }
    coro_end_stream(req);
    sender_wake(req);
    coro_let_go(req);
}

/* Logs whose response took too long. The path is as it was sent, therefore ASCII without spaces. */
static void
dispatch_tell_expired(HttpRequest *req)
{
    char reason[256];
    const Plan *plan = (Plan *)call_of(req)->match.plan;
    bool own = plan != NULL && plan->timeout >= 0;
    Slice path = http_request_path(req);
    int len = path.len < 200 ? (int)path.len : 200;
    (void)snprintf(reason, sizeof reason, "%s %.*s", http_request_method(req).ptr, len,
                   path.ptr);
    const HttpRefusal refusal = {504, reason, own ? NULL : "request_timeout"};
    server_tell_refused(call_server(req), &req->peer, &refusal);
}

void
dispatch_expired(OverdueEntry *entry)
{
    HttpRequest *req = entry->req;
    http_request_ref(req);
    dispatch_tell_expired(req);
    dispatch_cancel(req);
    if (req->response == HTTP_RESPONSE_NONE) {
        if (http_respond_error(req, 504) == 0) {
            dispatch_gone(req);
        } /* otherwise the connection is broken, and on_gone follows */
    } else {
        http_abort_told(req);
    }
    http_request_unref(req);
}

static void
dispatch_drained(void *context)
{
    overdue_stop(&((AppServer *)context)->overdue);
    overdue_stop(&((AppServer *)context)->waiting);
    server_drained((AppServer *)context);
}

static void
dispatch_refused(void *context, const NetAddr *peer, const HttpRefusal *refusal)
{
    server_tell_refused(context, peer, refusal);
}

const HttpOps dispatch_ops = {
    .app_size = sizeof(AppCall),
    .on_head = dispatch_head,
    .on_request = dispatch_request,
    .on_body = dispatch_body,
    .on_body_end = dispatch_body_end,
    .on_gone = dispatch_gone,
    .on_eof = dispatch_eof,
    .on_left = dispatch_left,
    .on_writable = dispatch_writable,
    .route = counted_route,
    .label = counted_label,
    .on_turn = counted_turn,
    .app_clear = dispatch_clear,
    .on_refused = dispatch_refused,
    .on_drained = dispatch_drained,
};
