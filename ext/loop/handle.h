/* Handle, TimerHandle and ThreadSafeHandle: a callback that waits to be called, as asyncio.Handle,
 * asyncio.TimerHandle and asyncio's private _ThreadSafeHandle. Made and run by the loop.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_LOOP_HANDLE_H
#define FLUVIAL_LOOP_HANDLE_H

#include "base/py.h"
#include "loop/loop.h"
#include "loop/loop_state.h"

enum { HANDLE_ARGS = 3 }; /* arguments kept in the handle itself */

typedef struct Handle Handle;
struct Handle {
    PyObject_HEAD
    Loop *loop;         /* owned */
    PyObject *callback; /* owned; NULL once cancelled */
    PyObject
        *context; /* owned: the contextvars.Context to run in; NULL: an empty one */
    PyObject *traceback; /* owned or NULL: where it was created, in debug mode */
    PyObject *repr;      /* owned or NULL: its repr() when cancelled, in debug mode */
    PyObject *weakrefs;  /* CPython's */
    PyObject *more;      /* owned or NULL: all arguments, if more than HANDLE_ARGS */
    /* The arguments, owned, from [1] on; [0] is the scratch slot of the vectorcall protocol. */
    PyObject *slots[1 + HANDLE_ARGS];
    uint8_t nargs; /* in slots */
    bool cancelled;
    bool running;
    bool threadsafe; /* a ThreadSafeHandle */
    bool tracked;    /* by garbage collection: see handle_track */
};

typedef struct TimerHandle {
    Handle base;
    uint64_t deadline; /* nanoseconds of loop_now_ns */
    uint64_t order;    /* of creation; breaks ties */
    size_t index;      /* in the loop's heap; TIMER_IDLE when not in it */
    double when;       /* in seconds, as the user passed it */
} TimerHandle;

#define TIMER_IDLE SIZE_MAX

typedef struct Gate Gate; /* handle_threadsafe.c */

/* What call_soon_threadsafe gives from 3.14 on: while the callback runs, another thread that cancels
 * it, or asks whether it is cancelled, waits for its end. */
typedef struct ThreadSafeHandle {
    Handle base;
    unsigned long runner; /* the thread that runs the callback, while one does */
    Gate *gate;           /* owned or NULL: where other threads wait for it */
} ThreadSafeHandle;

/* New handles, not tracked. `callback`, `args` and `context` are borrowed; with a NULL or None
 * `context`, the handle copies the current context. NULL with an exception set on failure. */
Handle *handle_new(Loop *loop, PyObject *callback, PyObject *const *args,
                   Py_ssize_t nargs, PyObject *context);
TimerHandle *timer_handle_new(Loop *loop, PyObject *callback, PyObject *const *args,
                              Py_ssize_t nargs, PyObject *context);

/* Likewise; a Handle where asyncio has no _ThreadSafeHandle. */
Handle *handle_new_threadsafe(Loop *loop, PyObject *callback, PyObject *const *args,
                              Py_ssize_t nargs, PyObject *context);

/* Makes the handle visible to garbage collection. A running loop can't be garbage, and neither can
 * the handles in its queues. Most handles are freed there. They are therefore tracked only when the
 * loop stops running, or when the loop drops its reference and another one remains. */
static inline void
handle_track(Handle *self)
{
    if (!self->tracked) {
        self->tracked = true;
        PyObject_GC_Track(self);
    }
}

/* Drops the loop's reference (stolen) to a handle. */
static inline void
handle_let_go(Handle *self)
{
    if (Py_REFCNT(self) > 1) {
        handle_track(self);
    }
    Py_DECREF(self);
}

/* Calls the callback in its context, unless cancelled. An exception goes to the loop's exception
 * handler; -1 with the exception set if run_forever must raise it (SystemExit,
 * KeyboardInterrupt). */
int handle_run(Handle *self);

void handle_cancel(Handle *self);

/* The context that the callback runs in; created now if necessary. NULL with MemoryError set. */
PyObject *handle_context(Handle *self);

/* Slots that both types share; the rest of the types is in handle_type.c. */
int handle_traverse(PyObject *op, visitproc visit, void *arg);
int handle_clear(PyObject *op);
void handle_dealloc(PyObject *op);
void timer_handle_dealloc(PyObject *op);

/* Around the call of a ThreadSafeHandle's callback. begin: false if it runs already, so that the
 * inner call has no end of its own. */
bool threadsafe_begin(Handle *op);
void threadsafe_end(Handle *op);
/* Creates the type. 0, or -1 with an exception set. */
int threadsafe_setup(PyObject *module, LoopState *st);

/* Creates all types. 0, or -1 with an exception set. */
int handle_setup(PyObject *module, LoopState *st);
/* Frees the lists of spare handles. */
void handle_free_lists(LoopState *st);

#endif
