/* Native WebSocket handlers (see ws_call.h). What happens once per connection is done in Python:
 * `run(websocket, coroutine)` awaits the handler, decides how the connection ends, and returns a
 * Response when the WebSocket is declined. dispatch.c runs that coroutine as for a plain request,
 * so it also sends the response for a declined WebSocket or an exception before acceptance.
 */
#include "base/py.h"

#include "app/ws/ws_call.h"

#include "app/bind/params.h"
#include "app/bind/plan.h"
#include "app/server.h"
#include "app/ws/ws_type.h"
#include "http/ws/ws.h"

bool
ws_call_wanted(HttpRequest *req)
{
    AppServer *server = call_server(req);
    AppCall *call = call_of(req);
    if (server->websockets.router == NULL) {
        return false;
    }
    router_find(server->websockets.router, req->method, call_path(req), &call->match);
    call_keep_route(call);
    call->websocket = call->match.outcome == ROUTE_FOUND;
    return call->websocket;
}

/* run(websocket, handler(…)): a new reference to a coroutine, or NULL with an exception set. */
static PyObject *
ws_call_handler(HttpRequest *req, const Plan *plan)
{
    PyObject *space[1 + PLAN_PARAMS_MAX];
    PyObject **argv = space + 1; /* see plan_call */
    if (call_bind(plan, req, argv) < 0) {
        return NULL;
    }
    PyObject *coro = PyObject_Vectorcall(
        plan->handler, argv, plan->npositional | PY_VECTORCALL_ARGUMENTS_OFFSET,
        plan->kwnames);
    params_release(plan, argv);
    if (coro == NULL) {
        return NULL;
    }
    PyObject *args[] = {call_of(req)->request, coro};
    PyObject *run =
        PyObject_Vectorcall(call_server(req)->websockets.run, args, 2, NULL);
    Py_DECREF(coro);
    return run;
}

CallNext
ws_call_begin(HttpRequest *req)
{
    AppCall *call = call_of(req);
    const Plan *plan = (Plan *)call->match.plan;
    if (!ws_check(req)) {
        return (CallNext){CALL_DONE, NULL};
    }
    call->request = websocket_new(req);
    PyObject *coro = call->request == NULL ? NULL : ws_call_handler(req, plan);
    return coro == NULL ? result_respond_exception(req, CALL_HANDLER)
                        : (CallNext){CALL_HANDLER, coro};
}
