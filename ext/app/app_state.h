/* The app layer's share of the module's state: its types, imports and interned strings. */
#ifndef FLUVIAL_APP_APP_STATE_H
#define FLUVIAL_APP_APP_STATE_H

#include "base/py.h"

typedef struct AppState {
    PyObject *module; /* borrowed: the module that owns this state */

    /* Routing, requests and streams. All owned. */
    PyTypeObject *router_type;
    PyTypeObject *request_type;
    PyTypeObject *sender_type;
    PyTypeObject *waiting_type; /* see waiting.h */

    /* The thread pool. All owned. */
    PyTypeObject *pool_type;
    PyObject *str_cancel, *str_create_future, *str_done, *str_set_exception,
        *str_set_result;
} AppState;

/* The app layer's part of the state of `module`; borrowed. Defined in module.c. */
AppState *app_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int app_setup(PyObject *module, AppState *st);
int app_traverse(AppState *st, visitproc visit, void *arg);
void app_clear(AppState *st);

#endif
