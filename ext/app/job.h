/* Runs a `def` handler in the thread pool: a worker calls it and encodes the result, the loop responds.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_APP_JOB_H
#define FLUVIAL_APP_JOB_H

#include "base/py.h"
#include "app/call.h"
#include "app/bind/plan.h"

/* Submits the call; responds with 503 when the pool's queue is full. The references in argv[0 ..
 * plan->nparams) are stolen. The call is made in `context` (borrowed), the request's, which must
 * not be entered at the moment; NULL: a copy of the server's is made. */
void job_start(HttpRequest *req, const Plan *plan, PyObject **argv, PyObject *context);

/* Nobody waits for the response any more: the call isn't made if no worker has begun it. */
void job_drop(HttpRequest *req);

#endif
