/* call_soon, call_later and similar methods: they turn the arguments of a Python call into a handle
 * in the ready queue or the heap of timers. This is the hottest code of any asyncio program.
 */
#include "base/py.h"

#include "base/err.h"
#include "loop/loop_impl.h"

#include <math.h>

/* Later deadlines, in seconds of the clock (292 years), are treated as this one. */
static const double NEVER = 9.2e9;

int
loop_check_open(Loop *self)
{
    if (unlikely(self->closed || !self->uv_open)) {
        PyErr_SetString(PyExc_RuntimeError,
                        self->forked
                            ? "This event loop belongs to the process that forked "
                              "this one: make a new loop"
                            : "Event loop is closed");
        return -1;
    }
    return 0;
}

/* ---- Arguments ---------------------------------------------------------------------------- */

/* asyncio's own C code passes a string that isn't interned, but always the same kwnames tuple;
 * remember the tuple. */
static bool
is_context(LoopState *st, PyObject *kwnames, PyObject *name)
{
    if (name == st->str_context) {
        return true;
    }
    if (PyUnicode_CompareWithASCIIString(name, "context") != 0) {
        return false;
    }
    Py_XSETREF(st->kw_context, Py_NewRef(kwnames));
    return true;
}

/* Stores the keyword argument `context` (borrowed), or NULL, in *context. Other keywords are errors.
 * 0, or -1 with TypeError set. */
static int
keyword_context(LoopState *st, PyObject *const *kwargs, PyObject *kwnames,
                PyObject **context)
{
    *context = NULL;
    if (kwnames == NULL) {
        return 0;
    }
    if (likely(kwnames == st->kw_context)) {
        *context = kwargs[0];
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        if (!is_context(st, kwnames, name)) {
            PyErr_Format(PyExc_TypeError, "unexpected keyword argument '%U'", name);
            return -1;
        }
        *context = kwargs[i];
    }
    return 0;
}

typedef PyObject *(*CallMethod)(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames);

/* The first parameters of a method, which asyncio also accepts as keyword arguments. */
typedef struct Leading {
    const char *method;
    const char *names[2];
    Py_ssize_t n;
} Leading;

static const Leading CALL_SOON = {"call_soon", {"callback"}, 1};
static const Leading CALL_SOON_THREADSAFE = {"call_soon_threadsafe", {"callback"}, 1};
static const Leading CALL_LATER = {"call_later", {"delay", "callback"}, 2};
static const Leading CALL_AT = {"call_at", {"when", "callback"}, 2};

static Py_ssize_t
leading_index(const Leading *leading, PyObject *name)
{
    for (Py_ssize_t i = 0; i < leading->n; i++) {
        if (PyUnicode_CompareWithASCIIString(name, leading->names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

/* Collects the leading arguments, of which fewer than n are positional, and `context` in argv[n + 1].
 * All are borrowed; the last is NULL without a context. 0, or -1 with TypeError set. */
static int
leading_collect(const Leading *leading, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames, PyObject **argv)
{
    for (Py_ssize_t i = 0; i <= leading->n; i++) {
        argv[i] = i < nargs ? args[i] : NULL;
    }
    Py_ssize_t n = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        Py_ssize_t at = leading_index(leading, name);
        if (at < 0 && PyUnicode_CompareWithASCIIString(name, "context") == 0) {
            at = leading->n;
        }
        if (at < nargs) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected argument '%U'",
                         leading->method, name);
            return -1;
        }
        argv[at] = args[nargs + i];
    }
    for (Py_ssize_t i = 0; i < leading->n; i++) {
        if (argv[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s'",
                         leading->method, leading->names[i]);
            return -1;
        }
    }
    return 0;
}

/* Calls `method` again with the leading arguments as positional ones. Rare, so it may be slow. */
static PyObject *
loop_call_by_name(PyObject *op, CallMethod method, const Leading *leading,
                  PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *argv[3];
    if (leading_collect(leading, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    if (argv[leading->n] == NULL) {
        return method(op, argv, leading->n, NULL);
    }
    PyObject *names = PyTuple_Pack(1, ((Loop *)op)->st->str_context);
    PyObject *res = names == NULL ? NULL : method(op, argv, leading->n, names);
    Py_XDECREF(names);
    return res;
}

/* The checks of asyncio's debug mode: the callback, and the calling thread. */
static int
debug_check(Loop *self, PyObject *callback, const char *method, bool any_thread)
{
    PyObject *res = PyObject_CallMethod((PyObject *)self, "_check_callback", "Os",
                                        callback, method);
    if (res != NULL && !any_thread) {
        Py_DECREF(res);
        res = PyObject_CallMethodNoArgs((PyObject *)self, self->st->str_check_thread);
    }
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* ---- Soon --------------------------------------------------------------------------------- */

/* Queues a new handle (stolen), and returns it; NULL if that fails, or if it is NULL. */
static Handle *
loop_schedule(Loop *self, Handle *handle)
{
    if (unlikely(handle == NULL)) {
        return NULL;
    }
    if (unlikely(!self->running)) {
        handle_track(handle);
    }
    if (ready_push(&self->ready, handle) < 0) {
        Py_CLEAR(handle);
    }
    return handle;
}

static PyObject *
loop_capture(Loop *self, PyObject *callback, PyObject *context)
{
    self->capture = false;
    self->captured = Py_NewRef(callback);
    self->captured_context = Py_XNewRef(context);
    Py_RETURN_NONE;
}

PyObject *
loop_py_call_soon(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    Loop *self = (Loop *)op;
    PyObject *context;
    if (nargs < 1) {
        return loop_call_by_name(op, loop_py_call_soon, &CALL_SOON, args, nargs,
                                 kwnames);
    }
    if (keyword_context(self->st, args + nargs, kwnames, &context) < 0
        || loop_check_open(self) < 0) {
        return NULL;
    }
    if (self->capture) {
        return loop_capture(self, args[0], context);
    }
    if (unlikely(self->debug) && debug_check(self, args[0], "call_soon", false) < 0) {
        return NULL;
    }
    Handle *handle = handle_new(self, args[0], args + 1, nargs - 1, context);
    return (PyObject *)loop_schedule(self, handle);
}

/* The GIL guards the ready queue, so a thread that holds it pushes to the queue as the loop's own
 * thread does. Threads without the GIL use loop_post. */
PyObject *
loop_py_call_soon_threadsafe(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames)
{
    Loop *self = (Loop *)op;
    PyObject *context;
    if (nargs < 1) {
        return loop_call_by_name(op, loop_py_call_soon_threadsafe,
                                 &CALL_SOON_THREADSAFE, args, nargs, kwnames);
    }
    if (keyword_context(self->st, args + nargs, kwnames, &context) < 0
        || loop_check_open(self) < 0) {
        return NULL;
    }
    if (unlikely(self->debug)
        && debug_check(self, args[0], "call_soon_threadsafe", true) < 0) {
        return NULL;
    }
    Handle *handle = loop_schedule(
        self, handle_new_threadsafe(self, args[0], args + 1, nargs - 1, context));
    if (handle != NULL) {
        loop_wake(self);
    }
    return (PyObject *)handle;
}

int
loop_call_soon(Loop *self, PyObject *callback, PyObject *arg, PyObject *context)
{
    if (loop_check_open(self) < 0) {
        return -1;
    }
    Handle *handle =
        loop_schedule(self, handle_new(self, callback, &arg, arg != NULL, context));
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

/* ---- Later -------------------------------------------------------------------------------- */

/* The deadline of `when` (seconds of the clock) in nanoseconds, rounded so that the callback
 * never sees a loop.time() below `when`. 0, or -1 with ValueError set. */
static int
deadline_of(double when, uint64_t *deadline)
{
    if (unlikely(isnan(when))) {
        PyErr_SetString(PyExc_ValueError, "the time of a timer can't be NaN");
        return -1;
    }
    if (when <= 0) {
        *deadline = 0;
    } else if (when >= NEVER) {
        *deadline = (uint64_t)NEVER * 1000000000u;
    } else {
        *deadline = (uint64_t)ceil(when * 1e9) + 1;
    }
    return 0;
}

static PyObject *
loop_schedule_at(Loop *self, double when, PyObject *callback, PyObject *const *args,
                 Py_ssize_t nargs, PyObject *context)
{
    uint64_t deadline;
    if (deadline_of(when, &deadline) < 0) {
        return NULL;
    }
    TimerHandle *timer = timer_handle_new(self, callback, args, nargs, context);
    if (timer == NULL) {
        return NULL;
    }
    timer->when = when;
    timer->deadline = deadline;
    if (unlikely(!self->running)) {
        handle_track(&timer->base);
    }
    if (timers_add(&self->timers, timer) < 0) {
        Py_CLEAR(timer);
    }
    return (PyObject *)timer;
}

/* The common part of call_later and call_at, with two arguments or more. `base` is the time from which
 * the first argument counts. */
static PyObject *
loop_call_timed(Loop *self, double base, const char *method, PyObject *const *args,
                Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *context;
    if (args[0] == Py_None) {
        PyErr_Format(PyExc_TypeError, "%s() requires a number of seconds, not None",
                     method);
        return NULL;
    }
    double seconds = PyFloat_AsDouble(args[0]);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    if (keyword_context(self->st, args + nargs, kwnames, &context) < 0
        || loop_check_open(self) < 0) {
        return NULL;
    }
    if (unlikely(self->debug) && debug_check(self, args[1], method, false) < 0) {
        return NULL;
    }
    return loop_schedule_at(self, base + seconds, args[1], args + 2, nargs - 2,
                            context);
}

PyObject *
loop_py_call_later(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    if (nargs < 2) {
        return loop_call_by_name(op, loop_py_call_later, &CALL_LATER, args, nargs,
                                 kwnames);
    }
    double now = (double)loop_now_ns() / 1e9;
    return loop_call_timed((Loop *)op, now, "call_later", args, nargs, kwnames);
}

PyObject *
loop_py_call_at(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    if (nargs < 2) {
        return loop_call_by_name(op, loop_py_call_at, &CALL_AT, args, nargs, kwnames);
    }
    return loop_call_timed((Loop *)op, 0.0, "call_at", args, nargs, kwnames);
}

/* ---- Futures ------------------------------------------------------------------------------ */

PyObject *
loop_py_create_future(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Loop *self = (Loop *)op;
    LoopState *st = self->st;
    if (self->future_keywords == NULL) {
        self->future_keywords = Py_BuildValue("{OO}", st->str_loop, self);
        if (self->future_keywords == NULL) {
            return NULL;
        }
    }
    return object_make(st->future_type, st->empty_args, self->future_keywords);
}
