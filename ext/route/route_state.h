/* Routing's share of the module's state.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_ROUTE_ROUTE_STATE_H
#define FLUVIAL_ROUTE_ROUTE_STATE_H

#include "base/py.h"

typedef struct RouteState {
    PyTypeObject *router_type; /* owned */
    PyTypeObject *target_type; /* borrowed: the type of plans; set by app_setup */
} RouteState;

/* Routing's part of the state of `module`; borrowed. Defined in module.c. */
RouteState *route_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int route_setup(PyObject *module, RouteState *st);
int route_traverse(RouteState *st, visitproc visit, void *arg);
void route_clear(RouteState *st);

#endif
