/* A `def` handler's trip to the thread pool and back: call, encode the result, answer.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_APP_JOB_H
#define FLUVIAL_APP_JOB_H

#include "base/py.h"
#include "app/call.h"
#include "app/bind/plan.h"

/* Submits the call, to be made in `context` (borrowed), the request's, which nobody is in; NULL: it has
 * none yet. Takes over the references in argv[0 .. plan->nparams). Answers 503 when the pool's queue is full. Thread:
 * the loop's. */
void job_start(HttpRequest *req, const Plan *plan, PyObject **argv, PyObject *context);

#endif
