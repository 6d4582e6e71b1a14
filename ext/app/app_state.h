/* The app layer's part of the module's state: its types, imports and interned strings. It is made when the
 * module is imported, read by all files of the layer, and released with the module.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_APP_STATE_H
#define FLUVIAL_APP_APP_STATE_H

#include "base/py.h"
#include "base/recycle.h"
#include "base/strings.h"
#include "pool/pool_state.h"
#include "route/route_state.h"

/* The names that the room looks up in Python objects; each is AppState.str_<name>. */
#define APP_STRINGS(X)                                                                 \
    X(args)                                                                            \
    X(body)                                                                            \
    X(cancel)                                                                          \
    X(create_future)                                                                   \
    X(done)                                                                            \
    X(raw_headers)                                                                     \
    X(request)                                                                         \
    X(respond)                                                                         \
    X(route_headers)                                                                   \
    X(set_result)                                                                      \
    X(status_code)                                                                     \
    X(uncancel)

typedef struct AppState {
    PyObject *module;        /* borrowed: the module that owns this state */
    const RouteState *route; /* borrowed: beside this one */
    const PoolState *pool;   /* likewise */

    /* Requests and streams. All owned. */
    PyTypeObject *request_type;
    PyTypeObject *websocket_type;
    PyTypeObject *sender_type;
    PyTypeObject *file_send_type; /* see file_send.h */
    PyTypeObject *waiting_type;   /* see waiting.h */
    PyObject *waiting_done;

    /* Plans, dispatch and responses. All owned. */
    PyTypeObject *mount_type; /* see mount.h */
    PyTypeObject *param_type;
    PyTypeObject *plan_type;
    PyTypeObject *request_coro_type; /* see request_coro.h */
    PyTypeObject *coro_type;         /* HandlerCoro */
    PyTypeObject *server_type;
    PyObject *cancelled_error; /* asyncio.CancelledError */

    Recycler coros; /* of the type HandlerCoro */
    uint64_t plans; /* how many were made: gives them their numbers */

    /* Interned strings, all owned. */
    APP_STRINGS(STRING_FIELD)
} AppState;

/* The room's part of the state of `module`; borrowed. Defined in module.c. */
AppState *app_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int app_setup(PyObject *module, AppState *st);
int app_traverse(AppState *st, visitproc visit, void *arg);
void app_clear(AppState *st);

#endif
