/* `_core.WebSocket`: one WebSocket as native handlers see it, before and after it is accepted. It is a
 * `_core.Request` with methods that receive and send.
 *
 * Ownership: as request_type.h says; AppCall.request holds it while the handler runs.
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_WS_WS_TYPE_H
#define FLUVIAL_APP_WS_WS_TYPE_H

#include "base/py.h"
#include "app/app_state.h"
#include "http/request.h"

/* Creates AppState.websocket_type and adds it to the module. 0, or -1 with an exception set. */
int websocket_setup(PyObject *module, AppState *st);

/* An instance of the server's WebSocket type for an upgrade that ws_check has passed. A new
 * reference, or NULL with an exception set. */
PyObject *websocket_new(HttpRequest *req);

/* The client went away before the handshake was complete. */
void websocket_gone(PyObject *websocket);

#endif
