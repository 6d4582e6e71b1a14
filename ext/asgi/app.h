/* `_core.AsgiApp`: an ASGI 3 application, and what the scopes of all its requests have in common.
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
    AsgiState *st;        /* borrowed from the module, which the type keeps alive */
    PyObject *app;        /* owned: callable(scope, receive, send) */
    PyObject *scope;      /* owned: a dict, the template that each scope copies */
    PyObject *asgi;       /* owned: a dict, the same in all scopes */
    PyObject *extensions; /* owned: a dict, copied for each scope */
    bool debug;           /* they include http.response.debug */
    bool more; /* they include trailers, files and others that change what apps send */
    PyObject *state;     /* owned: a dict, copied for each scope; NULL: there is none */
    PyObject *root_path; /* owned: str, put before every path */
    PyObject *prefix;    /* owned: str, where it is mounted below that */
    PyObject *report; /* owned: report(message, exception or None), writes to the log */
    PyObject *extend; /* owned: extend(send, message), an awaitable: see send.c */
    /* owned: the exception type that send() raises without a client */
    PyObject *gone_error;
    /* owned: recover(request, send, exception), a coroutine that responds; or None */
    PyObject *recover;
    /* owned: later(loop, func, *args) is a coroutine that calls it and awaits the result */
    PyObject *later;
    LoopHook hook; /* in the loop of the members of `waiting`, while there are any */
    Ring waiting;  /* of AsgiCall.waiting, all of one loop; owns a reference to each */
    Kept kept;
    NetAddr server; /* the address whose pair is in the template; AF_UNSPEC: none */
} AsgiApp;

/* Creates AsgiState.asgi_app_type and adds it to the module. 0, or -1 with an exception set. */
int asgi_app_setup(PyObject *module, AsgiState *st);

#endif
