/* From an upgrade request to a native WebSocket handler: finds the route, binds the arguments and runs the
 * handler in a task, as dispatch.c does for plain requests.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_WS_WS_CALL_H
#define FLUVIAL_APP_WS_WS_CALL_H

#include "base/py.h"
#include "app/result.h"
#include "app/call.h"

/* Called in HttpOps.on_head, for a request that offers an upgrade: whether its path has a WebSocket
 * handler. If so, AppCall.match and AppCall.websocket are set. */
bool ws_call_wanted(HttpRequest *req);

/* Called in HttpOps.on_request for such a request, within its context: the coroutine to await next. */
CallNext ws_call_begin(HttpRequest *req);

#endif
