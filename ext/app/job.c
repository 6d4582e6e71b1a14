/* See job.h. job_run runs on the worker and job_done on the loop; between them the pool owns the job. The
 * arguments are released on the worker, so that their finalizers don't hold up the loop.
 */
#include "base/py.h"

#include "app/job.h"

#include "app/result.h"
#include "app/coro.h"
#include "app/bind/params.h"
#include "pool/pool.h"
#include "app/server.h"
#include "base/context.h"
#include "base/err.h"

#define NS_PER_MS 1000000u

typedef struct CallJob {
    PoolJob job;
    AppServer *server; /* owned */
    HttpRequest *req;  /* owned reference; the worker only reads it */
    Plan *plan;        /* owned */
    PyObject *context; /* owned: the request's, for the worker and then for the loop */
    /* owned: what the handler returned; JSON as bytes when `encoded` */
    PyObject *result;
    PyObject *exception; /* owned: what it raised */
    bool encoded;
    OverdueEntry late;
    uint64_t posted;  /* loop_now_ns(); 0: nobody wants to know how long it waits */
    uint64_t waited;  /* ns, from then until the worker began */
    PyObject *argv[]; /* owned: a free slot for vectorcall, then the arguments */
} CallJob;

/* ---- Waiting for a thread ----------------------------------------------------------------- */

static Pool *
job_pool(const HttpRequest *req)
{
    const AppServer *server = call_server(req);
    return call_is_urgent(req) ? server->urgent : server->pool;
}

int
job_submit(HttpRequest *req, PoolJob *job, OverdueEntry *late)
{
    Pool *pool = job_pool(req);
    int err = pool_submit(pool, job);
    if (err != 0) {
        return err;
    }
    call_of(req)->job = job;
    uint64_t patience = pool_patience(pool);
    if (unlikely(patience != 0)) {
        uint64_t ms = (patience + NS_PER_MS - 1) / NS_PER_MS;
        overdue_watch(&call_server(req)->waiting, late, req, (uint32_t)ms);
    }
    return 0;
}

bool
job_withdraw(HttpRequest *req, PoolJob *job)
{
    return pool_withdraw(job_pool(req), job);
}

void
job_over(HttpRequest *req, OverdueEntry *late)
{
    call_of(req)->job = NULL;
    overdue_forget(late);
}

void
job_late(OverdueEntry *entry)
{
    HttpRequest *req = entry->req;
    PoolJob *job = call_of(req)->job;
    if (job == NULL || !pool_refuse(job_pool(req), job)) {
        return;
    }
    http_request_ref(req);
    req->waited = loop_now_ns() - entry->since;
    result_respond_late(req);
    job->abandon(job);
    http_request_unref(req);
}

/* ---- On the worker ------------------------------------------------------------------------ */

/* Calls the handler and encodes plain data: a new reference, or NULL with an exception set. */
static PyObject *
job_call(CallJob *job)
{
    const Plan *plan = job->plan;
    PyObject *result = PyObject_Vectorcall(
        plan->handler, job->argv + 1,
        plan->npositional | PY_VECTORCALL_ARGUMENTS_OFFSET, plan->kwnames);
    params_release(plan, job->argv + 1);
    if (result == NULL || !result_is_data(job->req, plan, result)) {
        return result;
    }
    PyObject *body = result_encode(job->req, plan, result);
    Py_DECREF(result);
    job->encoded = body != NULL && PyBytes_CheckExact(body);
    return body;
}

static void
job_run(PoolJob *base)
{
    CallJob *job = container_of(base, CallJob, job);
    if (unlikely(job->posted != 0)) {
        job->waited = loop_now_ns() - job->posted;
    }
    bool entered = PyContext_Enter(job->context) == 0;
    job->result = entered ? job_call(job) : NULL;
    if (job->result == NULL) {
        job->exception = err_take();
    }
    if (entered) {
        context_leave(job->context);
    }
    if (job->encoded) {
        Py_CLEAR(job->context); /* no more Python code runs for this request */
    }
}

/* ---- On the loop -------------------------------------------------------------------------- */

static void
job_free(CallJob *job)
{
    params_release(job->plan, job->argv + 1);
    Py_XDECREF(job->context);
    Py_XDECREF(job->result);
    Py_XDECREF(job->exception);
    http_request_unref(job->req);
    Py_DECREF(job->plan);
    Py_DECREF(job->server);
    PyMem_Free(job);
}

/* Responds with the result. If the worker hasn't encoded it, this may run the user's code, so it enters the
 * request's context. */
static CallNext
job_respond(CallJob *job)
{
    HttpRequest *req = job->req;
    if (job->encoded) {
        result_respond_json(req, job->plan, job->result);
        return (CallNext){CALL_DONE, NULL};
    }
    if (PyContext_Enter(job->context) < 0) {
        return result_respond_exception(req, CALL_HANDLER);
    }
    CallNext next;
    if (job->exception == NULL) {
        next = result_respond(req, job->plan, CALL_HANDLER, job->result);
    } else {
        err_restore(Py_NewRef(job->exception));
        next = result_respond_exception(req, CALL_HANDLER);
    }
    context_leave(job->context);
    return next;
}

static void
job_done(InboxNode *node)
{
    CallJob *job = container_of(node, CallJob, job.done);
    job_over(job->req, &job->late);
    job->req->waited = job->waited;
    coro_start(job->req, job->plan, job_respond(job), job->context);
    job_free(job);
}

/* The pool was closed before the job ran, or nobody waits for it any more: there is no response. */
static void
job_abandon(PoolJob *base)
{
    CallJob *job = container_of(base, CallJob, job);
    job_over(job->req, &job->late);
    Py_CLEAR(call_of(job->req)->request);
    job_free(job);
}

/* A new job, which owns the arguments; NULL with an exception set, and then they are still the caller's. */
static CallJob *
job_new(HttpRequest *req, const Plan *plan, PyObject **argv, PyObject *context)
{
    context = context != NULL ? Py_NewRef(context) : PyContext_Copy(call_context(req));
    if (context == NULL) {
        return NULL;
    }
    CallJob *job = PyMem_Malloc(sizeof(CallJob)
                                + (1 + (size_t)plan->nparams) * sizeof(PyObject *));
    if (job == NULL) {
        Py_DECREF(context);
        PyErr_NoMemory();
        return NULL;
    }
    http_request_ref(req);
    *job = (CallJob){
        .job = {.done = {.run = job_done}, .run = job_run, .abandon = job_abandon},
        .server = (AppServer *)Py_NewRef((PyObject *)call_server(req)),
        .req = req,
        .plan = (Plan *)Py_NewRef((PyObject *)plan),
        .context = context,
        .posted = http_server_is_timed(req->server) ? loop_now_ns() : 0,
    };
    job->argv[0] = NULL;
    if (plan->nparams != 0) {
        memcpy(job->argv + 1, argv, plan->nparams * sizeof *argv);
    }
    return job;
}

void
job_start(HttpRequest *req, const Plan *plan, PyObject **argv, PyObject *context)
{
    CallJob *job = job_new(req, plan, argv, context);
    if (job == NULL) {
        params_release(plan, argv);
        coro_start(req, NULL, result_respond_exception(req, CALL_HANDLER), context);
        return;
    }
    if (job_submit(req, &job->job, &job->late) != 0) {
        Py_CLEAR(call_of(req)->request);
        result_respond_busy(req);
        job_free(job);
    }
}

void
job_drop(HttpRequest *req)
{
    PoolJob *job = call_of(req)->job;
    if (job != NULL && job_withdraw(req, job)) {
        job_abandon(job);
    }
}
