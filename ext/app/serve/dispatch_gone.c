/* See dispatch_private.h. What ends a request early: a client that leaves, and a deadline. Whatever waits for the
 * request is woken, and what computes its response is cancelled where the application asked for that.
 */
#include "base/py.h"

#include "app/serve/dispatch.h"

#include "app/serve/dispatch_private.h"

#include "app/body.h"
#include "app/coro.h"
#include "app/job.h"
#include "app/sender.h"
#include "app/server.h"
#include "app/ws/ws_type.h"
#include "http/ws/ws.h"

#include <stdio.h>

bool
dispatch_is_socket(HttpRequest *req)
{
    const AppCall *call = call_of(req);
    bool taken =
        call->websocket || (call->mount != NULL && call->mount->ops->websockets);
    return taken && req->upgrade >= 0 && ws_is_offered(req);
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
    if (asked && !dispatch_is_socket(req)) {
        dispatch_cancel(req);
    }
}

/* The client has probably gone. A streamed response that has waited for long, and not for room to write, is
 * cancelled. */
void
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
void
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
