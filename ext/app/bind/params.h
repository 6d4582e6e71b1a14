/* Makes the arguments of a handler from a request, by the route's plan.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_BIND_PARAMS_H
#define FLUVIAL_APP_BIND_PARAMS_H

#include "base/py.h"
#include "app/bind/plan.h"
#include "route/router.h"

/* The exceptions that binding raises; owned by the AppServer. */
typedef struct BindErrors {
    PyObject *validation_error; /* exception type: RequestValidationError */
    PyObject *http_exception;   /* likewise: HTTPException */
} BindErrors;

/* What the arguments are made of. */
typedef struct BindInput {
    HttpRequest *req;        /* borrowed */
    const RouteMatch *match; /* borrowed: the values of the path's parameters */
    /* the collected body isn't as Content-Encoding says any more */
    bool decoded;
    /* makes the Python Request: a new reference, or NULL with an exception set */
    PyObject *(*request)(HttpRequest *req);
} BindInput;

/* Fills argv[0 .. plan->nparams) with new references. 0; or -1 with an exception set, and then argv holds
 * nothing. A RequestValidationError lists every bad argument, not only the first one. */
int params_bind(const Plan *plan, const BindInput *input, const BindErrors *errors,
                PyObject **argv);

/* Releases the references that params_bind filled in. */
void params_release(const Plan *plan, PyObject **argv);

#endif
