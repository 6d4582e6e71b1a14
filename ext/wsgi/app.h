/* `_core.WsgiApp`: a WSGI application, and what the environs of all its requests have in common.
 *
 * Thread: made and changed on the loop's; workers use the caches, always with the GIL.
 */
#ifndef FLUVIAL_WSGI_APP_H
#define FLUVIAL_WSGI_APP_H

#include "base/py.h"
#include "wsgi/wsgi_state.h"
#include "app/kept.h"
#include "app/mount.h"
#include "http/response.h"
#include "net/addr.h"

typedef struct WsgiApp {
    Mount mount;
    bool initialised;  /* __init__ was called */
    WsgiState *st;     /* borrowed from the module, which the type keeps alive */
    PyObject *app;     /* owned: callable(environ, start_response) */
    PyObject *environ; /* owned: a dict, what every environ begins with; replaced, never
                              changed, since calls hold it, too */
    PyObject *prefix;  /* owned: str, the path at which the app is mounted */
    /* owned: report(message, exception or None), writes to the log on any thread */
    PyObject *report;
    PyObject *file_type;  /* owned: the type of environ["wsgi.file_wrapper"] */
    PyObject *file_facts; /* owned: file_facts(wrapper), see file.c */
    PyObject
        *route_of; /* owned: route_of(environ, result); NULL: nobody counts routes */
    PyObject *no_input; /* owned: the wsgi.input of requests without a body */
    HttpFields fields;  /* scratch memory: the header fields of one response */
    NetAddr server;     /* the address whose name is in `environ`; AF_UNSPEC: none */
    Kept kept;          /* of clients: (REMOTE_ADDR, REMOTE_PORT) */
} WsgiApp;

/* Creates WsgiState.wsgi_app_type and adds it to the module. 0, or -1 with an exception set. */
int wsgi_app_setup(PyObject *module, WsgiState *st);

#endif
