/* See dispatch.h. A request enters through dispatch_head (dispatch_head.c) and then dispatch_request. It leaves
 * through one of call_inline, call_task and job_start (job.c), or gets a response that needs no handler. What
 * else may happen to it, a client that leaves or a deadline, is in dispatch_gone.c.
 */
#include "base/py.h"

#include "app/serve/dispatch.h"

#include "app/serve/counted.h"
#include "app/serve/dispatch_private.h"
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
    call_forget_route(call);
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

/* How long the response may take, in ms; 0: as long as it wants. Handlers of WebSockets aren't limited. */
static uint32_t
dispatch_timeout(HttpRequest *req)
{
    const Plan *plan = (Plan *)call_of(req)->match.plan;
    if (dispatch_is_socket(req)) {
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
