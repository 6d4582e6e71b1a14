/* The app layer's share of a request: what the router found, and the Python objects that stand
 * for the exchange. Lives in http_request_app(req), zeroed by the http layer when the request begins and
 * released by call_clear (HttpOps.app_clear).
 *
 * Thread: changed on the loop's thread only; a worker may read it while it holds the GIL.
 */
#ifndef FLUVIAL_APP_CALL_H
#define FLUVIAL_APP_CALL_H

#include "base/py.h"
#include "app/mount.h"
#include "route/router.h"
#include "http/request.h"

typedef struct Plan Plan;
typedef struct AppServer AppServer;
typedef struct BodyQueue BodyQueue;
typedef struct HandlerCoro HandlerCoro;

typedef struct AppCall {
    RouteMatch match; /* captures point into `path`, or into the request's head */
    Buf path; /* owned: the decoded path; empty when the path as sent needs no decoding */
    PyObject *request; /* owned: the Python Request; NULL until somebody wants it */
    PyObject
        *sender; /* borrowed: the Sender of a streamed answer; it clears this itself */
    HandlerCoro *coro; /* borrowed: what runs for the request; it clears this itself */
    Mount *mount;    /* borrowed from the server: the other app that answers, or NULL */
    void *mounted;   /* its call: whose it is, and who clears this, says its MountOps */
    BodyQueue *body; /* owned: pieces of a streamed body; NULL until the first */
    bool websocket;  /* for a native WebSocket handler; `request` is a WebSocket */
    bool gone;       /* the client went away before the answer was complete */
} AppCall;

static inline AppCall *
call_of(HttpRequest *req)
{
    return (AppCall *)http_request_app(req);
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

/* The Python Request, made on first use: a new reference, or NULL with an exception. */
PyObject *call_request(HttpRequest *req);

#endif
