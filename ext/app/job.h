/* Runs a `def` handler in the thread pool: a worker calls it and encodes the result, the loop responds. Also what
 * all requests have in common that wait for a thread.
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

/* Gives a job of the request to the pool, or an urgent one's to the pool of those. `late` (zeroed, lives as long as
 * the job) bounds how long it waits: see job_late. As pool_submit. */
int job_submit(HttpRequest *req, PoolJob *job, OverdueEntry *late);
/* pool_withdraw for such a job. */
bool job_withdraw(HttpRequest *req, PoolJob *job);
/* The request's job is over, or was taken back. */
void job_over(HttpRequest *req, OverdueEntry *late);
/* Overdue.expired: the request has waited for a thread for as long as it may. If no worker has begun the job, the
 * response is a 503 with Retry-After, and the job is abandoned. */
void job_late(OverdueEntry *entry);

/* Nobody waits for the response any more: the call isn't made if no worker has begun it. */
void job_drop(HttpRequest *req);

#endif
