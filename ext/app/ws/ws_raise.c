/* The exceptions of WebSocket's methods: a client that has left, a call that comes too early or too late, a
 * message of the wrong kind. The loop's thread, with the GIL.
 */
#include "base/py.h"

#include "app/ws/ws_object.h"

#include "base/err.h"

#include <uv.h>

void
websocket_raise_with_code(PyObject *type, int code, PyObject *reason)
{
    PyObject *exc = PyObject_CallFunction(type, "iO", code, reason);
    if (exc != NULL) {
        err_restore(exc);
    }
}

void
websocket_raise_disconnect(PyObject *op)
{
    const WsSession *session = websocket_session(op);
    PyObject *reason =
        session->reason == NULL ? PyUnicode_New(0, 0) : Py_NewRef(session->reason);
    if (reason != NULL) {
        websocket_raise_with_code(websocket_server(op)->websockets.disconnect,
                                  session->code != 0 ? session->code : WS_ABNORMAL,
                                  reason);
        Py_DECREF(reason);
    }
}

PyObject *
websocket_raise_error(PyObject *op, int err)
{
    const WsSession *session = websocket_session(op);
    if (err == 1) {
        return NULL; /* an exception is set */
    }
    if (err == UV_ENOMEM) {
        return PyErr_NoMemory();
    }
    if (session->state == SESSION_WAITING) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the WebSocket isn't connected: call accept() first");
    } else if (session->close_asked || session->state == SESSION_CLOSING
               || (session->state == SESSION_CLOSED && !session->by_client)) {
        PyErr_SetString(PyExc_RuntimeError, "the WebSocket has been closed by close()");
    } else {
        websocket_raise_disconnect(op);
    }
    return NULL;
}
