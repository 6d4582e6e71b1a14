/* The WSGI bridge's part of the module's state.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_WSGI_WSGI_STATE_H
#define FLUVIAL_WSGI_WSGI_STATE_H

#include "base/py.h"
#include "base/strings.h"

/* The names that the room looks up in Python objects; each is WsgiState.str_<name>. */
#define WSGI_STRINGS(X)                                                                \
    X(PATH_INFO)                                                                       \
    X(QUERY_STRING)                                                                    \
    X(RAW_URI)                                                                         \
    X(REMOTE_ADDR)                                                                     \
    X(REMOTE_PORT)                                                                     \
    X(REQUEST_METHOD)                                                                  \
    X(REQUEST_URI)                                                                     \
    X(SCRIPT_NAME)                                                                     \
    X(SERVER_NAME)                                                                     \
    X(SERVER_PORT)                                                                     \
    X(SERVER_PROTOCOL)                                                                 \
    X(close)

/* The same for texts that aren't identifiers. */
#define WSGI_TEXTS(X)                                                                  \
    X(fluvial_request_id, "fluvial.request_id")                                        \
    X(wsgi_input, "wsgi.input")                                                        \
    X(wsgi_url_scheme, "wsgi.url_scheme")                                              \
    X(wsgi_file_wrapper, "wsgi.file_wrapper")

typedef struct WsgiState {
    /* All owned. */
    PyTypeObject *wsgi_app_type;
    PyTypeObject *wsgi_call_type;
    PyTypeObject *wsgi_input_type;

    /* Interned strings, all owned. */
    WSGI_STRINGS(STRING_FIELD)
    WSGI_TEXTS(TEXT_FIELD)
} WsgiState;

/* The room's part of the state of `module`; borrowed. Defined in module.c. */
WsgiState *wsgi_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int wsgi_setup(PyObject *module, WsgiState *st);
int wsgi_traverse(WsgiState *st, visitproc visit, void *arg);
void wsgi_clear(WsgiState *st);

#endif
