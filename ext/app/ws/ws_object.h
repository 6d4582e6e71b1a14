/* What an object of `_core.WebSocket` consists of, for ws_type.c and the exceptions that its methods raise.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_APP_WS_OBJECT_H
#define FLUVIAL_APP_WS_OBJECT_H

#include "base/py.h"
#include "app/request_object.h"
#include "app/server.h"
#include "app/ws/ws_session.h"

typedef struct WebSocketObject {
    RequestObject base;
    WsSession session;
    unsigned long thread; /* the loop's */
} WebSocketObject;

static inline WsSession *
websocket_session(PyObject *op)
{
    return &((WebSocketObject *)op)->session;
}

static inline const AppServer *
websocket_server(PyObject *op)
{
    return ((WebSocketObject *)op)->base.server;
}

/* Sets `type`(code, reason); the reason is borrowed. */
void websocket_raise_with_code(PyObject *type, int code, PyObject *reason);
/* Sets WebSocketDisconnect. When the connection hasn't reported a close code yet, it is WS_ABNORMAL (1006):
 * all that is known is that the connection was lost. */
void websocket_raise_disconnect(PyObject *op);
/* Sets the exception for what a session function returned. Returns NULL. */
PyObject *websocket_raise_error(PyObject *op, int err);

#endif
