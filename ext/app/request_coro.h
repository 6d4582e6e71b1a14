/* `_core.RequestCoro`, the base of what the task of a request runs: an object in C that passes
 * everything through to a user's coroutine and learns of its end inside the task's own step. So a
 * handler that never suspends is answered in the first step, and one that does needs no callback.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_REQUEST_CORO_H
#define FLUVIAL_APP_REQUEST_CORO_H

#include "base/py.h"
#include "app/app_state.h"
#include "loop/loop.h"

typedef struct RequestCoro RequestCoro;

typedef struct RequestCoroOps {
    /* `coro` returned `result` (stolen) or, when that is NULL, raised: the exception is set.
     * NEXT: `coro` was replaced by what is to be awaited next. RETURN: all is done. ERROR: the
     * exception that is set then is the task's. After the last two `coro` is NULL. */
    PySendResult (*settle)(RequestCoro *self, PyObject *result);
    /* `coro` has suspended. */
    void (*suspended)(RequestCoro *self);
    /* Lets go of everything, `coro` included: the object is closed, cleared or freed. May be
     * called again. */
    void (*release)(RequestCoro *self);
} RequestCoroOps;

/* The first member of every derived object. */
struct RequestCoro {
    PyObject_HEAD
    const RequestCoroOps *ops; /* static */
    PyObject *coro;            /* owned: what is awaited now; NULL when all is over */
    Loop *loop; /* borrowed from the request's server, valid while `coro` is there */
    unsigned long thread; /* the loop's, as far as is known */
    bool running;         /* within a step, of the coroutine or of what follows it */
};

/* For a new object, on the loop's thread. */
void request_coro_init(RequestCoro *self, const RequestCoroOps *ops, Loop *loop);

/* Creates AppState.request_coro_type and adds it to the module. 0, or -1 with an exception set. */
int request_coro_setup(PyObject *module, AppState *st);

/* The coroutine to run for what an asynchronous callable gave (stolen): itself, or what its
 * __await__ returns. NULL with TypeError set, which calls the callable `what`, when it can't be
 * awaited. */
PyObject *request_coro_of(PyObject *awaitable, const char *what);

/* What every derived type needs: tp_clear, tp_dealloc, and am_send, which Python 3.11 doesn't let
 * types inherit. */
int request_coro_clear(PyObject *op);
void request_coro_dealloc(PyObject *op);
PySendResult request_coro_send(PyObject *op, PyObject *value, PyObject **result);

/* Whether the exception that is set is the task's too: cancellation and KeyboardInterrupt. All
 * others, SystemExit among them, end this request and nothing else. */
bool request_coro_lets_through(const AppState *st);

#endif
