/* From an upgrade request to a native WebSocket handler: finds the route, binds the arguments,
 * and runs the handler in a task, as dispatch.c does for requests.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_WS_WS_CALL_H
#define FLUVIAL_APP_WS_WS_CALL_H

#include "base/py.h"
#include "app/result.h"
#include "app/call.h"

/* In on_head, for a request that offers an upgrade: whether its path has a WebSocket handler.
 * AppCall.match and AppCall.websocket are set then. */
bool ws_call_wanted(HttpRequest *req);

/* In on_request, for such a request, in its context: what is to be awaited. */
CallNext ws_call_begin(HttpRequest *req);

#endif
