/* The type `_core.Plan`: its constructor and methods (see app/bind/plan.h). Thread: any, with the GIL. */
#ifndef FLUVIAL_APP_PLAN_TYPE_H
#define FLUVIAL_APP_PLAN_TYPE_H

#include "base/py.h"
#include "app/app_state.h"

/* Creates AppState.plan_type, and the constants of plans and parameters. 0, or -1 with an exception
 * set. */
int plan_setup(PyObject *module, AppState *st);

#endif
