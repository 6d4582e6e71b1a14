/* What the files of dispatch share. dispatch_ops names most of it.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_SERVE_DISPATCH_PRIVATE_H
#define FLUVIAL_APP_SERVE_DISPATCH_PRIVATE_H

#include "base/py.h"
#include "http/server.h"

/* Finds the route, or the mounted app; returns how the body is treated. */
HttpBodyMode dispatch_head(HttpRequest *req);

/* Whether a WebSocket is offered to a handler that takes it. */
bool dispatch_is_socket(HttpRequest *req);

/* HttpOps.on_left and HttpOps.on_gone. */
void dispatch_left(HttpRequest *req, bool for_long);
void dispatch_gone(HttpRequest *req);

#endif
