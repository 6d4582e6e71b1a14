/* `_core.Router`: the routing table as Python sees it. Thread: any, with the GIL. */
#ifndef FLUVIAL_ROUTE_ROUTER_TYPE_H
#define FLUVIAL_ROUTE_ROUTER_TYPE_H

#include "base/py.h"
#include "route/route_state.h"
#include "route/router.h"

/* Creates RouteState.router_type and adds it to the module. 0, or -1 with an exception set. */
int router_type_setup(PyObject *module, RouteState *st);

/* The table inside a `_core.Router`, borrowed while `obj` lives; NULL with TypeError set when
 * `obj` is something else. */
Router *router_check(const RouteState *st, PyObject *obj);

#endif
