/* A request's arguments for a handler, as the route's plan says.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_BIND_PARAMS_H
#define FLUVIAL_APP_BIND_PARAMS_H

#include "base/py.h"
#include "app/call.h"
#include "app/bind/plan.h"

/* What is raised; owned by the AppServer. */
typedef struct BindErrors {
    PyObject *validation_error; /* exception type: RequestValidationError */
    PyObject *http_exception;   /* likewise: HTTPException */
} BindErrors;

/* Fills argv[0 .. plan->nparams) with new references. -1 with an exception set and nothing filled
 * when an argument can't be had: RequestValidationError lists every bad argument, not only the first. */
int params_bind(const Plan *plan, HttpRequest *req, const BindErrors *errors,
                PyObject **argv);

/* Releases what params_bind filled in. */
void params_release(const Plan *plan, PyObject **argv);

#endif
