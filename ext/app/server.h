/* `_core.Server`: what one loop needs to answer requests: the HTTP server, the routing table, the pool, and
 * the Python callables and types that dispatch asks for.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_APP_SERVER_H
#define FLUVIAL_APP_SERVER_H

#include "base/py.h"
#include "app/app_state.h"
#include "app/bind/params.h"
#include "app/call.h"
#include "pool/pool.h"
#include "app/ws/ws_parts.h"
#include "http/server.h"
#include "loop/loop.h"

struct AppServer {
    PyObject_HEAD
    bool initialised;  /* __init__ was called */
    AppState *st;      /* of the module, which the type keeps alive */
    Loop *loop;        /* owned */
    PyObject *context; /* owned: that of __init__; each request has a copy of its own */
    HttpServer *http;  /* owned; NULL before __init__ and after close() */
    Router *router;    /* borrowed from router_obj */
    Pool *pool;        /* borrowed from pool_obj */
    PyObject *router_obj, *pool_obj; /* owned */
    PyObject *app;                   /* owned: Request.app */
    PyTypeObject *request_type;      /* owned: subclass of _core.Request */
    PyTypeObject *response_type;     /* owned */
    BindErrors errors;               /* both owned */
    PyObject *client_disconnect;     /* owned: exception type */
    PyObject *encode;                /* owned callable: result → bytes */
    PyObject *encode_fallback;       /* owned callable, or NULL */
    PyObject *on_error;              /* owned callable */
    PyObject *entry; /* owned coroutine function, or NULL: no middleware */
    Mount *root;     /* owned: answers everything; NULL: the routes do */
    PyObject *
        mounts; /* owned: tuple of (prefix: str, Mount), or NULL; for what no route has */
    WebSocketParts websockets;
    bool custom_errors;
    bool listening; /* holds a reference on itself until the HttpServer is drained */
    PyObject
        *refused; /* owned callable(host, status, reason, limit or None), or NULL */
    PyObject *drained; /* owned Future of drain() and abort(); NULL before */
    HttpFields fields; /* scratch for the header fields of one answer */
};

/* From HttpOps.on_refused. */
void server_tell_refused(AppServer *self, const NetAddr *peer,
                         const HttpRefusal *refusal);
/* From HttpOps.on_drained. */
void server_drained(AppServer *self);

#endif
