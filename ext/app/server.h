/* `_core.Server`: everything that one loop needs to handle requests. That is the HTTP server, the routing
 * table, the thread pool, and the Python callables and types that dispatch.c uses.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_APP_SERVER_H
#define FLUVIAL_APP_SERVER_H

#include "base/py.h"
#include "app/app_state.h"
#include "app/bind/params.h"
#include "app/call.h"
#include "app/overdue.h"
#include "pool/pool.h"
#include "app/ws_parts.h"
#include "http/server.h"
#include "loop/loop.h"

struct AppServer {
    PyObject_HEAD
    bool initialised; /* __init__ was called */
    AppState *st;     /* borrowed from the module, which the type keeps alive */
    Loop *loop;       /* owned */
    /* owned: the context in which __init__ ran; each request gets its own copy */
    PyObject *context;
    HttpServer *http;                /* owned; NULL before __init__ and after close() */
    Router *router;                  /* borrowed from router_obj */
    Pool *pool;                      /* borrowed from pool_obj */
    PyObject *router_obj, *pool_obj; /* owned */
    Pool *urgent;         /* borrowed from urgent_obj: for urgent requests, or NULL */
    PyObject *urgent_obj; /* owned */
    /* owned: `context`, in which Python code finds that pool; NULL without */
    PyObject *urgent_context;
    PyObject *app;               /* owned: Request.app */
    PyTypeObject *request_type;  /* owned: subclass of _core.Request */
    PyTypeObject *response_type; /* owned */
    BindErrors errors;           /* both owned */
    PyObject *client_disconnect; /* owned: exception type */
    PyObject *encode;            /* owned callable: result → bytes */
    PyObject *encode_fallback;   /* owned callable, or NULL */
    PyObject *on_error;          /* owned callable */
    /* owned: coroutine function that runs the middleware; NULL: there is none */
    PyObject *entry;
    Mount *root; /* owned: the app that gets all requests; NULL: the routes decide */
    PyObject *root_path; /* owned: str, which the routes' paths are below, or "" */
    bool around;         /* `root` is middleware around the routes, whose limits hold */
    /* owned: tuple of (prefix: str, Mount), or NULL; for paths without a route */
    PyObject *mounts;
    /* owned: tuple of (path: str, Mount), or NULL: what the server itself responds to, before the app */
    PyObject *own_mounts;
    uint64_t own_lengths; /* bit n: one of these paths has n bytes (63: or more) */
    WebSocketParts websockets;
    bool custom_errors;
    bool listening; /* holds a reference on itself until the HttpServer is drained */
    /* owned callable(host, status, reason, limit or None), or NULL */
    PyObject *refused;
    /* owned: the Future that drain() and abort() return; NULL before */
    PyObject *drained;
    Py_buffer metrics; /* owned: where the HttpServer counts; obj is NULL: nowhere */
    PyObject *
        labels; /* owned: dict of the routes of other apps (see counted_note); NULL: none yet */
    Overdue overdue;   /* when the requests' time is over */
    Overdue waiting;   /* when those that wait for a thread have waited too long */
    HttpFields fields; /* scratch memory: the header fields of one response */
};

/* Binds the arguments of the request's handler: see params_bind. */
int call_bind(const Plan *plan, HttpRequest *req, PyObject **argv);

/* Notes for the metrics which route the app of another interface that handles the request has for it (borrowed;
 * anything but a str doesn't count). Never fails. */
void counted_note(HttpRequest *req, PyObject *path);

/* HttpOps.on_refused: passes a refusal on to the callable `refused`. */
void server_tell_refused(AppServer *self, const NetAddr *peer,
                         const HttpRefusal *refusal);
/* HttpOps.on_drained: resolves the future of drain() or abort(). */
void server_drained(AppServer *self);

#endif
