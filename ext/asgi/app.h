/* `_core.AsgiApp`: an ASGI 3 application and what the scopes of all its requests have in common.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_ASGI_APP_H
#define FLUVIAL_ASGI_APP_H

#include "base/py.h"
#include "asgi/asgi_state.h"
#include "app/kept.h"
#include "app/mount.h"
#include "base/ring.h"
#include "loop/loop.h"
#include "net/addr.h"

typedef struct AsgiApp {
    Mount mount;
    bool initialised;     /* __init__ was called */
    AsgiState *st;        /* of the module, which the type keeps alive */
    PyObject *app;        /* owned: callable(scope, receive, send) */
    PyObject *scope;      /* owned: a dict, what every scope begins with */
    PyObject *asgi;       /* owned: a dict, the same in all scopes */
    PyObject *extensions; /* owned: a dict, copied for each scope */
    bool debug;           /* http.response.debug is among them */
    bool more;       /* so are those that change what an app sends: trailers follow */
    PyObject *state; /* owned: a dict, copied for each scope, or NULL: none */
    PyObject *root_path;  /* owned: str, stands before every path */
    PyObject *report;     /* owned: report(message, exception or None), logs */
    PyObject *extend;     /* owned: extend(send, message), an awaitable: see send.c */
    PyObject *gone_error; /* owned: the exception type for send() without a client */
    /* owned: recover(request, send, exception), a coroutine that answers, or None */
    PyObject *recover;
    /* owned: later(loop, func, *args) is a coroutine that calls it and awaits the result */
    PyObject *later;
    LoopHook hook; /* linked in the loop of `waiting`'s members while there are any */
    Ring waiting;  /* of AsgiCall.waiting, all of one loop; owns a reference to each */
    Kept kept;
    NetAddr server; /* whose pair the template has; AF_UNSPEC: none's */
} AsgiApp;

/* Creates AsgiState.asgi_app_type and adds it to the module. 0, or -1 with an exception set. */
int asgi_app_setup(PyObject *module, AsgiState *st);

#endif
