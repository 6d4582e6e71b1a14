/* The app layer's share of the module's state: its types, imports and interned strings. Made
 * when the module is imported, read by all files of the layer, released with the module.
 */
#ifndef FLUVIAL_APP_APP_STATE_H
#define FLUVIAL_APP_APP_STATE_H

#include "base/py.h"

/* The names that the layer looks up in Python objects; each is AppState.str_<name>. */
#define APP_STRINGS(X)                                                                 \
    X(body)                                                                            \
    X(cancel)                                                                          \
    X(create_future)                                                                   \
    X(done)                                                                            \
    X(raw_headers)                                                                     \
    X(request)                                                                         \
    X(respond)                                                                         \
    X(route_headers)                                                                   \
    X(set_exception)                                                                   \
    X(set_result)                                                                      \
    X(status_code)

typedef struct AppState {
    PyObject *module; /* borrowed: the module that owns this state */

    /* Routing, requests and streams. All owned. */
    PyTypeObject *router_type;
    PyTypeObject *request_type;
    PyTypeObject *sender_type;
    PyTypeObject *waiting_type; /* see waiting.h */
    PyObject *waiting_done;

    /* The thread pool. Owned. */
    PyTypeObject *pool_type;

    /* Plans, dispatch and answers. All owned. */
    PyTypeObject *param_type;
    PyTypeObject *plan_type;
    PyTypeObject *coro_type; /* HandlerCoro */
    PyTypeObject *server_type;
    PyObject *cancelled_error; /* asyncio.CancelledError */

    /* Interned strings, all owned: see APP_STRINGS. */
#define APP_STRING_FIELD(name) PyObject *str_##name;
    APP_STRINGS(APP_STRING_FIELD)
#undef APP_STRING_FIELD
} AppState;

/* The app layer's part of the state of `module`; borrowed. Defined in module.c. */
AppState *app_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int app_setup(PyObject *module, AppState *st);
int app_traverse(AppState *st, visitproc visit, void *arg);
void app_clear(AppState *st);

#endif
