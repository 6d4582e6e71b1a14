/* The Server's argument `websockets` (see ws_parts.h), read once when the server is made and kept
 * until its end. Only the types are checked here; Python code decides what the objects do. Thread:
 * any, with the GIL.
 */
#include "base/py.h"

#include "app/ws_parts.h"

#include "route/router_type.h"

int
ws_parts_read(WebSocketParts *parts, const AppState *st, PyObject *tuple)
{
    PyObject *router, *type, *disconnect, *exception, *run, *later; /* borrowed */
    if (tuple == Py_None) {
        return 0;
    }
    if (!PyTuple_Check(tuple)) {
        PyErr_Format(PyExc_TypeError, "websockets must be a tuple, not %.100s",
                     Py_TYPE(tuple)->tp_name);
        return -1;
    }
    if (!PyArg_ParseTuple(tuple, "OO!OOOO:websockets", &router, &PyType_Type, &type,
                          &disconnect, &exception, &run, &later)) {
        return -1;
    }
    if (!PyType_IsSubtype((PyTypeObject *)type, st->websocket_type)) {
        PyErr_Format(PyExc_TypeError, "%R doesn't derive from WebSocket", type);
        return -1;
    }
    parts->router = router_check(st->route, router);
    if (parts->router == NULL) {
        return -1;
    }
    parts->router_obj = Py_NewRef(router);
    parts->type = (PyTypeObject *)Py_NewRef(type);
    parts->disconnect = Py_NewRef(disconnect);
    parts->exception = Py_NewRef(exception);
    parts->run = Py_NewRef(run);
    parts->later = Py_NewRef(later);
    return 0;
}

int
ws_parts_traverse(WebSocketParts *parts, visitproc visit, void *arg)
{
    Py_VISIT(parts->router_obj);
    Py_VISIT(parts->type);
    Py_VISIT(parts->disconnect);
    Py_VISIT(parts->exception);
    Py_VISIT(parts->run);
    Py_VISIT(parts->later);
    return 0;
}

void
ws_parts_clear(WebSocketParts *parts)
{
    parts->router = NULL;
    Py_CLEAR(parts->router_obj);
    Py_CLEAR(parts->type);
    Py_CLEAR(parts->disconnect);
    Py_CLEAR(parts->exception);
    Py_CLEAR(parts->run);
    Py_CLEAR(parts->later);
}
