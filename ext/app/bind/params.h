/* Makes the arguments of a handler from a request, by the route's plan.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_BIND_PARAMS_H
#define FLUVIAL_APP_BIND_PARAMS_H

#include "base/py.h"
#include "app/call.h"
#include "app/bind/plan.h"

/* The exceptions that binding raises; owned by the AppServer. */
typedef struct BindErrors {
    PyObject *validation_error; /* exception type: RequestValidationError */
    PyObject *http_exception;   /* likewise: HTTPException */
} BindErrors;

/* Fills argv[0 .. plan->nparams) with new references. 0; or -1 with an exception set, and then argv holds
 * nothing. A RequestValidationError lists every bad argument, not only the first one. */
int params_bind(const Plan *plan, HttpRequest *req, const BindErrors *errors,
                PyObject **argv);

/* Releases the references that params_bind filled in. */
void params_release(const Plan *plan, PyObject **argv);

#endif
