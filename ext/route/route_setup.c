/* Set-up, traversal and release of routing's part of the module's state (see route_state.h). */
#include "base/py.h"

#include "route/route_state.h"

#include "route/router_type.h"

int
route_setup(PyObject *module, RouteState *st)
{
    return router_type_setup(module, st);
}

int
route_traverse(RouteState *st, visitproc visit, void *arg)
{
    Py_VISIT(st->router_type);
    return 0;
}

void
route_clear(RouteState *st)
{
    Py_CLEAR(st->router_type);
}
