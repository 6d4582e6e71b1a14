/* `_core.RequestCoro`, the base type of what the task of a request runs. It passes everything
 * through to a user's coroutine, and learns that this has ended within the task's own step. A
 * handler that never suspends therefore has its response in the task's first step, and no handler
 * needs a done callback (ADR 3).
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_REQUEST_CORO_H
#define FLUVIAL_APP_REQUEST_CORO_H

#include "base/py.h"
#include "app/app_state.h"
#include "app/replay.h"
#include "http/server.h"
#include "loop/loop.h"

typedef struct RequestCoro RequestCoro;

typedef struct RequestCoroOps {
    /* `coro` returned `result` (stolen) or, when that is NULL, raised the exception that is set. The
     * result says how the task goes on:
     *   PYGEN_NEXT    `coro` was replaced by the coroutine to await next
     *   PYGEN_RETURN  everything is done; `coro` is NULL
     *   PYGEN_ERROR   the task ends with the exception that is set now; `coro` is NULL */
    PySendResult (*settle)(RequestCoro *self, PyObject *result);
    /* `coro` has suspended. */
    void (*suspended)(RequestCoro *self);
    /* The request (borrowed); NULL when the call is over. */
    const HttpRequest *(*request)(const RequestCoro *self);
    /* Releases everything, `coro` included, since the object is being closed, cleared or freed. May be
     * called more than once. */
    void (*release)(RequestCoro *self);
} RequestCoroOps;

/* The first member of every derived object. */
struct RequestCoro {
    PyObject_HEAD
    const RequestCoroOps *ops; /* static */
    PyObject *coro;            /* owned: what is awaited now; NULL after the end */
    Loop *loop; /* borrowed from the request's server; valid while `coro` is not NULL */
    unsigned long thread; /* the loop's when last seen, see coro_is_here */
    bool running;         /* a step is being taken: of the coroutine, or of `settle` */
    AppState *st;         /* borrowed: the type holds the module that owns it */
    Recycler *memory;     /* likewise: where the object's memory goes; NULL: nowhere */
    Replay replay;
};

enum { CORO_SPARES = 64 }; /* objects whose memory is kept, of each kind */

/* Initialises a new object. On the loop's thread. */
void request_coro_init(RequestCoro *self, const RequestCoroOps *ops, AppState *st,
                       Loop *loop);

/* Creates AppState.request_coro_type and adds it to the module. 0, or -1 with an exception set. */
int request_coro_setup(PyObject *module, AppState *st);

/* The coroutine to run for `awaitable` (stolen), which an asynchronous callable returned: a coroutine
 * itself, for other objects the result of __await__. NULL with an exception set; the TypeError for what
 * can't be awaited names the callable as `what`. */
PyObject *request_coro_of(PyObject *awaitable, const char *what);

/* Slots of all derived types: tp_clear, tp_dealloc and am_send. Python 3.11 doesn't let types inherit the
 * last one. */
int request_coro_clear(PyObject *op);
void request_coro_dealloc(PyObject *op);
PySendResult request_coro_send(PyObject *op, PyObject *value, PyObject **result);

/* Whether the exception that is set must also leave the task: true for cancellation and KeyboardInterrupt.
 * All others, SystemExit included, end this request and nothing else. */
bool request_coro_lets_through(const AppState *st);

#endif
