/* What the app layer knows of a request: the route that the router found, and the Python objects that
 * represent the exchange. It is stored at http_request_app(req). The http layer zeroes it when the request
 * begins; dispatch_clear (HttpOps.app_clear) releases it.
 *
 * Thread: changed on the loop's thread only; a worker may read it while it holds the GIL.
 */
#ifndef FLUVIAL_APP_CALL_H
#define FLUVIAL_APP_CALL_H

#include "base/py.h"
#include "app/mount.h"
#include "app/overdue.h"
#include "base/ring.h"
#include "route/router.h"
#include "http/request.h"

typedef struct Plan Plan;
typedef struct AppServer AppServer;
typedef struct BodyQueue BodyQueue;
typedef struct HandlerCoro HandlerCoro;
typedef struct PoolJob PoolJob;

typedef struct AppCall {
    /* captures point into `path`, or into the request's head; `plan` and `names` are owned: see call_keep_route */
    RouteMatch match;
    Buf path; /* owned: the decoded path; empty when nothing in it is percent-encoded */
    PyObject *request; /* owned: the Python Request; NULL until it is needed */
    PoolJob
        *job; /* borrowed: the call in the thread pool; NULL when none is on its way */
    /* borrowed: the Sender of a streamed response, which clears this when it dies */
    PyObject *sender;
    HandlerCoro *coro; /* borrowed: what runs for the request; clears this at its end */
    /* borrowed from the server: the mounted app that handles this; or NULL */
    Mount *mount;
    /* the mounted app's own object for the request; it owns and clears it */
    void *mounted;
    PyObject *
        label; /* borrowed from AppServer.labels: the mounted app's own route; or NULL */
    BodyQueue *body;      /* owned: pieces of a streamed body; NULL until the first */
    OverdueEntry overdue; /* while its time is limited */
    bool rooted;          /* the server's root path was removed from the path */
    bool decoded;   /* the collected body isn't as Content-Encoding says any more */
    bool websocket; /* for a native WebSocket handler; `request` is a WebSocket */
    bool gone;      /* the client went away before the response was complete */
} AppCall;

static inline AppCall *
call_of(HttpRequest *req)
{
    return (AppCall *)http_request_app(req);
}

/* To be called after a look-up: the plan and the names of its captures live as long as the request, though the route
 * may get another plan meanwhile, or the table other routes. */
static inline void
call_keep_route(AppCall *call)
{
    if (call->match.outcome == ROUTE_FOUND) {
        Py_INCREF(call->match.plan);
        Py_INCREF(call->match.names);
    }
}

static inline void
call_forget_route(AppCall *call)
{
    Py_CLEAR(call->match.plan);
    Py_CLEAR(call->match.names);
}

/* The percent-decoded path. */
static inline Slice
call_path(HttpRequest *req)
{
    const AppCall *call = call_of(req);
    return call->path.ptr != NULL ? buf_slice(&call->path) : http_request_path(req);
}

/* The server that the request came to; borrowed. */
AppServer *call_server(const HttpRequest *req);
/* Whether the request is urgent, and there is a pool for such ones. */
bool call_is_urgent(const HttpRequest *req);
/* The context that the request's own is a copy of; borrowed from the server. */
PyObject *call_context(const HttpRequest *req);

/* The Python Request, made on first use: a new reference, or NULL with an exception. */
PyObject *call_request(HttpRequest *req);
/* Drops that Request at the end of the call, after what Python code has asked for (Request._at_end). */
void call_let_request_go(HttpRequest *req);

#endif
