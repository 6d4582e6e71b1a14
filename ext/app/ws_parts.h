/* The Python objects that a Server needs for native WebSockets: the argument `websockets` of its
 * constructor. Owned by the AppServer; zeroed when the app has no WebSockets.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_APP_WS_PARTS_H
#define FLUVIAL_APP_WS_PARTS_H

#include "base/py.h"
#include "app/app_state.h"
#include "route/router.h"

typedef struct WebSocketParts {
    Router *router; /* borrowed from router_obj; NULL when there are no WebSockets */
    PyObject *router_obj; /* owned */
    PyTypeObject *type;   /* owned: subclass of _core.WebSocket */
    PyObject *disconnect; /* owned: exception type, made of (code, reason) */
    PyObject *exception;  /* owned: likewise */
    PyObject *run;        /* owned: see ws_call.c */
    /* owned: later(loop, method, *args) is a coroutine that calls it and awaits the result */
    PyObject *later;
} WebSocketParts;

/* Reads them from `tuple` (borrowed), which may be None. 0, or -1 with an exception set. */
int ws_parts_read(WebSocketParts *parts, const AppState *st, PyObject *tuple);
int ws_parts_traverse(WebSocketParts *parts, visitproc visit, void *arg);
void ws_parts_clear(WebSocketParts *parts);

#endif
