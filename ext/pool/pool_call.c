/* Calls for Pool.submit (see pool_call.h). They are created and finished on the loop's thread and run
 * on a worker, always with the GIL. The worker releases the callable and its arguments right after
 * the call.
 */
#include "base/py.h"

#include "pool/pool_call.h"

#include "base/err.h"

struct PoolCall {
    PoolJob job;
    const PoolState *st;     /* borrowed from the module, which `owner` keeps */
    PyObject *owner;         /* owned: the Pool object */
    Loop *loop;              /* borrowed from the owner */
    PoolCall **list;         /* in the owner */
    PoolCall *before, *next; /* on the list */
    PyObject *future;        /* owned; NULL after pool_calls_cancel */
    PyObject *context;       /* owned; like all below, NULL after its release */
    PyObject *func;          /* owned */
    PyObject *kwnames;       /* owned or NULL */
    PyObject *result;        /* owned, after a call that returned */
    PyObject *error;         /* owned, after a call that raised */
    size_t nargs;            /* positional */
    size_t total;            /* positional and keyword arguments */
    PyObject
        *args[]; /* 1 + total; [0] is vectorcall's scratch slot, the others are owned */
};

/* Releases the callable, its arguments and the context. */
static void
pool_call_release(PoolCall *call)
{
    Py_CLEAR(call->func);
    Py_CLEAR(call->context);
    Py_CLEAR(call->kwnames);
    for (size_t i = 1; i <= call->total; i++) {
        Py_CLEAR(call->args[i]);
    }
}

void
pool_call_free(PoolCall *call)
{
    if (call->before != NULL) {
        call->before->next = call->next;
    } else {
        *call->list = call->next;
    }
    if (call->next != NULL) {
        call->next->before = call->before;
    }
    pool_call_release(call);
    Py_XDECREF(call->future);
    Py_XDECREF(call->result);
    Py_XDECREF(call->error);
    Py_DECREF(call->owner); /* last: `list` is inside */
    PyMem_Free(call);
}

/* ---- On the worker --------------------------------------------------------------- */

/* Whether nobody waits for the call any more: its future is done, which only a cancellation can bring
 * about before the call. */
static bool
is_cancelled(PoolCall *call)
{
    PyObject *future = Py_XNewRef(call->future); /* the loop's thread may drop it */
    PyObject *done =
        future == NULL ? NULL : PyObject_CallMethodNoArgs(future, call->st->str_done);
    bool cancelled = future == NULL || done == Py_True;
    if (future != NULL && done == NULL) {
        PyErr_WriteUnraisable(future);
    }
    Py_XDECREF(done);
    Py_XDECREF(future);
    return cancelled;
}

static void
pool_call_run(PoolJob *job)
{
    PoolCall *call = container_of(job, PoolCall, job);
    if (is_cancelled(call)) {
        pool_call_release(call);
        return;
    }
    if (PyContext_Enter(call->context) == 0) {
        size_t nargsf = call->nargs | PY_VECTORCALL_ARGUMENTS_OFFSET;
        call->result =
            PyObject_Vectorcall(call->func, call->args + 1, nargsf, call->kwnames);
        if (call->result == NULL) {
            call->error = err_take();
        }
        if (PyContext_Exit(call->context) < 0) {
            PyErr_WriteUnraisable(call->func);
        }
    } else {
        call->error = err_take();
    }
    pool_call_release(call);
}

/* ---- On the loop's thread -------------------------------------------------------- */

/* The exception for the future: `error` (stolen), but a RuntimeError in place of StopIteration, which
 * would look like the end of the waiting coroutine. A new reference, or NULL with an exception set. */
static PyObject *
error_for_future(PyObject *error)
{
    if (!PyErr_GivenExceptionMatches(error, PyExc_StopIteration)) {
        return error;
    }
    PyObject *wrapped =
        PyObject_CallFunction(PyExc_RuntimeError, "s", "callable raised StopIteration");
    if (wrapped == NULL) {
        Py_DECREF(error);
        return NULL;
    }
    PyException_SetCause(wrapped, error);
    return wrapped;
}

/* 0, or -1 with an exception set. */
static int
pool_call_resolve(PoolCall *call)
{
    const PoolState *st = call->st;
    PyObject *done = PyObject_CallMethodNoArgs(call->future, st->str_done); /* owned */
    int is_done = done == NULL ? -1 : PyObject_IsTrue(done);
    Py_XDECREF(done);
    if (is_done != 0) {
        return is_done < 0 ? -1 : 0; /* cancelled in the meantime */
    }
    if (call->result == NULL && call->error == NULL) {
        return 0; /* the call was not made, since the future had been cancelled */
    }
    PyObject *name = st->str_set_result; /* borrowed */
    PyObject *value = call->result;      /* owned from here */
    call->result = NULL;
    if (value == NULL) {
        name = st->str_set_exception;
        value = error_for_future(call->error);
        call->error = NULL;
        if (value == NULL) {
            return -1;
        }
    }
    PyObject *none = PyObject_CallMethodOneArg(call->future, name, value); /* owned */
    Py_DECREF(value);
    Py_XDECREF(none);
    return none == NULL ? -1 : 0;
}

static void
pool_call_done(InboxNode *node)
{
    PoolCall *call = container_of(node, PoolCall, job.done);
    if (call->future != NULL && pool_call_resolve(call) < 0) {
        loop_report(call->loop, "Could not deliver the result of a thread");
    }
    pool_call_free(call);
}

static void
pool_call_cancel(PoolCall *call)
{
    PyObject *future = call->future; /* owned */
    call->future = NULL;
    if (future == NULL) {
        return;
    }
    PyObject *res = PyObject_CallMethodNoArgs(future, call->st->str_cancel); /* owned */
    if (res == NULL && PyErr_ExceptionMatches(PyExc_RuntimeError)) {
        PyErr_Clear(); /* the loop is closed and can't schedule the callbacks any more */
    } else if (res == NULL) {
        PyErr_WriteUnraisable(future);
    }
    Py_XDECREF(res);
    Py_DECREF(future);
}

/* Called in pool_close, or on a worker that pool_close did not wait for. In the latter case
 * pool_calls_cancel has already cancelled the future. */
static void
pool_call_abandon(PoolJob *job)
{
    PoolCall *call = container_of(job, PoolCall, job);
    pool_call_cancel(call);
    pool_call_free(call);
}

void
pool_calls_cancel(PoolCall *list)
{
    /* Cancelling schedules callbacks and does not run them, but it may run destructors, which may free
     * calls. So start again at the head of the list after each. */
    for (PoolCall *call = list; call != NULL;) {
        if (call->future != NULL) {
            PoolCall **head = call->list;
            pool_call_cancel(call);
            call = *head;
        } else {
            call = call->next;
        }
    }
}

/* ---- Creation -------------------------------------------------------------------- */

static void
pool_call_link(PoolCall *call, PoolCall **list)
{
    call->list = list;
    call->next = *list;
    if (call->next != NULL) {
        call->next->before = call;
    }
    *list = call;
}

PoolCall *
pool_call_new(const PoolState *st, PyObject *owner, PoolCall **list, Loop *loop,
              PyObject *context, PyObject *func, PyObject *const *args,
              Py_ssize_t nargs, PyObject *kwnames)
{
    size_t total = (size_t)nargs;
    total += kwnames == NULL ? 0 : (size_t)PyTuple_GET_SIZE(kwnames);
    PoolCall *call = PyMem_Calloc(1, sizeof *call + (total + 1) * sizeof(PyObject *));
    if (call == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    call->job.done.run = pool_call_done;
    call->job.run = pool_call_run;
    call->job.abandon = pool_call_abandon;
    call->st = st;
    call->owner = Py_NewRef(owner);
    call->loop = loop;
    call->func = Py_NewRef(func);
    call->kwnames = Py_XNewRef(kwnames);
    call->nargs = (size_t)nargs;
    call->total = total;
    for (size_t i = 0; i < total; i++) {
        call->args[1 + i] = Py_NewRef(args[i]);
    }
    pool_call_link(call, list);
    call->context = context == Py_None ? PyContext_CopyCurrent() : Py_NewRef(context);
    call->future = PyObject_CallMethodNoArgs((PyObject *)loop, st->str_create_future);
    if (call->context == NULL || call->future == NULL) {
        pool_call_free(call);
        return NULL;
    }
    return call;
}

PoolJob *
pool_call_job(PoolCall *call)
{
    return &call->job;
}

PoolCall *
pool_call_find(PoolCall *list, const PyObject *future)
{
    while (list != NULL && list->future != future) {
        list = list->next;
    }
    return list;
}

PyObject *
pool_call_future(PoolCall *call)
{
    return call->future;
}
