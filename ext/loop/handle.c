/* Handle and TimerHandle (see handle.h): allocation from free lists, the call, cancelling.
 */
#include "base/py.h"

#include "loop/handle.h"
#include "base/context.h"
#include "base/err.h"
#include "loop/loop_impl.h"

/* ---- Memory ------------------------------------------------------------------------------- */

/* Returns an untracked object of which only the header is initialised. */
static PyObject *
handle_alloc(FreeList *list, PyTypeObject *type)
{
    PyObject *op = list->head;
    if (unlikely(op == NULL)) {
        return PyObject_GC_New(PyObject, type);
    }
    list->head = (PyObject *)((Handle *)op)->callback;
    list->len--;
    return PyObject_Init(op, type);
}

/* Keeps the memory of the deallocated `op` in `list`, or frees it. */
static void
handle_release(FreeList *list, PyTypeObject *kept, PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    if (type == kept && list->len < FREE_HANDLES) {
        ((Handle *)op)->callback = list->head;
        list->head = op;
        list->len++;
    } else {
        type->tp_free(op);
    }
    Py_DECREF(type);
}

static void
free_list_clear(FreeList *list)
{
    while (list->head != NULL) {
        PyObject *op = list->head;
        list->head = ((Handle *)op)->callback;
        PyObject_GC_Del(op);
    }
    list->len = 0;
}

void
handle_free_lists(LoopState *st)
{
    free_list_clear(&st->free_handles);
    free_list_clear(&st->free_timer_handles);
}

/* Drops the callback and its arguments. */
static void
handle_drop_call(Handle *self)
{
    Py_CLEAR(self->callback);
    for (unsigned i = 1; i <= self->nargs; i++) {
        Py_CLEAR(self->slots[i]);
    }
    self->nargs = 0;
    Py_CLEAR(self->more);
}

/* Breaks cycles. `loop` and `context` stay until deallocation, because every method relies on them;
 * both can break their own cycles. */
int
handle_clear(PyObject *op)
{
    Handle *self = (Handle *)op;
    self->cancelled = true;
    handle_drop_call(self);
    Py_CLEAR(self->traceback);
    Py_CLEAR(self->repr);
    return 0;
}

int
handle_traverse(PyObject *op, visitproc visit, void *arg)
{
    Handle *self = (Handle *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->callback);
    Py_VISIT(self->context);
    Py_VISIT(self->traceback);
    Py_VISIT(self->more);
    for (unsigned i = 1; i <= self->nargs; i++) {
        Py_VISIT(self->slots[i]);
    }
    return 0;
}

static LoopState *
handle_finish(PyObject *op)
{
    Handle *self = (Handle *)op;
    LoopState *st = self->loop->st;
    if (self->tracked) {
        PyObject_GC_UnTrack(op);
    }
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    handle_drop_call(self);
    Py_CLEAR(self->traceback);
    Py_CLEAR(self->repr);
    Py_CLEAR(self->context);
    Py_CLEAR(self->loop);
    return st;
}

void
handle_dealloc(PyObject *op)
{
    LoopState *st = handle_finish(op);
    handle_release(&st->free_handles, st->handle_type, op);
}

void
timer_handle_dealloc(PyObject *op)
{
    assert(((TimerHandle *)op)->index == TIMER_IDLE);
    LoopState *st = handle_finish(op);
    handle_release(&st->free_timer_handles, st->timer_handle_type, op);
}

/* ---- Creation ----------------------------------------------------------------------------- */

static int
handle_trace(Handle *self)
{
    PyFrameObject *frame = PyEval_GetFrame(); /* borrowed */
    if (frame == NULL) {
        return 0;
    }
    self->traceback =
        PyObject_CallOneArg(self->loop->st->extract_stack, (PyObject *)frame);
    return self->traceback == NULL ? -1 : 0;
}

/* Initialises `self`, whose memory is new or reused. */
static int
handle_init(Handle *self, Loop *loop, PyObject *callback, PyObject *const *args,
            Py_ssize_t nargs, PyObject *context)
{
    self->loop = (Loop *)Py_NewRef(loop);
    self->callback = Py_NewRef(callback);
    self->context = NULL;
    self->traceback = NULL;
    self->repr = NULL;
    self->weakrefs = NULL;
    self->more = NULL;
    self->nargs = 0;
    self->cancelled = false;
    self->running = false;
    self->threadsafe = false;
    self->tracked = false;
    if (likely(nargs <= HANDLE_ARGS)) {
        for (Py_ssize_t i = 0; i < nargs; i++) {
            self->slots[1 + i] = Py_NewRef(args[i]);
        }
        self->nargs = (uint8_t)nargs;
    } else {
        self->more = PyTuple_New(nargs);
        if (self->more == NULL) {
            return -1;
        }
        for (Py_ssize_t i = 0; i < nargs; i++) {
            PyTuple_SET_ITEM(self->more, i, Py_NewRef(args[i]));
        }
    }
    if (context != NULL && context != Py_None) {
        self->context = Py_NewRef(context);
    } else if (!context_is_empty()) {
        self->context = PyContext_CopyCurrent();
        if (self->context == NULL) {
            return -1;
        }
    }
    return unlikely(loop->debug) ? handle_trace(self) : 0;
}

Handle *
handle_new(Loop *loop, PyObject *callback, PyObject *const *args, Py_ssize_t nargs,
           PyObject *context)
{
    LoopState *st = loop->st;
    PyObject *op = handle_alloc(&st->free_handles, st->handle_type);
    if (op == NULL) {
        return NULL;
    }
    if (handle_init((Handle *)op, loop, callback, args, nargs, context) < 0) {
        Py_DECREF(op);
        return NULL;
    }
    return (Handle *)op;
}

TimerHandle *
timer_handle_new(Loop *loop, PyObject *callback, PyObject *const *args,
                 Py_ssize_t nargs, PyObject *context)
{
    LoopState *st = loop->st;
    PyObject *op = handle_alloc(&st->free_timer_handles, st->timer_handle_type);
    if (op == NULL) {
        return NULL;
    }
    ((TimerHandle *)op)->index = TIMER_IDLE;
    if (handle_init((Handle *)op, loop, callback, args, nargs, context) < 0) {
        Py_DECREF(op);
        return NULL;
    }
    return (TimerHandle *)op;
}

Handle *
handle_new_threadsafe(Loop *loop, PyObject *callback, PyObject *const *args,
                      Py_ssize_t nargs, PyObject *context)
{
    LoopState *st = loop->st;
    if (st->asyncio_threadsafe_handle == NULL) {
        return handle_new(loop, callback, args, nargs, context);
    }
    ThreadSafeHandle *self =
        PyObject_GC_New(ThreadSafeHandle, st->threadsafe_handle_type);
    if (self == NULL) {
        return NULL;
    }
    self->runner = PYTHREAD_INVALID_THREAD_ID;
    self->gate = NULL;
    if (handle_init(&self->base, loop, callback, args, nargs, context) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->base.threadsafe = true;
    return &self->base;
}

/* ---- Calling ------------------------------------------------------------------------------ */

/* Passes the exception that the callback raised to loop._callback_failed(handle, exception). */
static int
handle_failed(Handle *self)
{
    Loop *loop = self->loop;
    if (err_is_fatal()) {
        return -1;
    }
    if (self->callback != NULL && step_is_owed(loop->st, self->callback)) {
        PyErr_Clear(); /* the next iteration calls it again: there is room, this handle's own */
        return ready_push(&loop->ready, self);
    }
    PyObject *exc = err_take();
    PyObject *argv[] = {(PyObject *)loop, (PyObject *)self, exc};
    PyObject *res =
        PyObject_VectorcallMethod(loop->st->str_callback_failed, argv, 3, NULL);
    Py_DECREF(exc);
    Py_XDECREF(res);
    if (res != NULL) {
        return 0;
    }
    if (err_is_fatal()) {
        return -1;
    }
    PyErr_WriteUnraisable((PyObject *)self);
    return 0;
}

static PyObject *
handle_call(Handle *self)
{
    if (unlikely(self->more != NULL)) {
        return PyObject_Call(self->callback, self->more, NULL);
    }
    PyTypeObject *type = Py_TYPE(self->callback);
    if (self->nargs == 0 && type->tp_call != NULL
        && !PyType_HasFeature(type, Py_TPFLAGS_HAVE_VECTORCALL)) {
        /* A task's step: PyObject_Vectorcall would do the same, more slowly. */
        return type->tp_call(self->callback, self->loop->st->empty_args, NULL);
    }
    size_t nargs = self->nargs | PY_VECTORCALL_ARGUMENTS_OFFSET;
    return PyObject_Vectorcall(self->callback, self->slots + 1, nargs, NULL);
}

PyObject *
handle_context(Handle *self)
{
    if (self->context == NULL) {
        self->context = PyContext_New();
    }
    return Py_XNewRef(self->context);
}

/* Most programs use no context variables, so their callbacks run in empty contexts. Such a context is
 * reused for the next callback if it is still empty and has no other references. */
static void
context_borrow(Handle *self)
{
    self->context = self->loop->spare_context;
    self->loop->spare_context = NULL;
    if (self->context == NULL) {
        self->context = PyContext_New();
    }
}

static void
context_give_back(Handle *self)
{
    PyObject *context = self->context;
    if (Py_REFCNT(self) == 1 && Py_REFCNT(context) == 1
        && self->loop->spare_context == NULL && PyMapping_Size(context) == 0) {
        self->loop->spare_context = context;
        self->context = NULL;
    }
}

static int
handle_run_now(Handle *self)
{
    bool borrowed = self->context == NULL;
    if (borrowed) {
        context_borrow(self);
    }
    PyObject *context = self->context; /* borrowed: cancelling doesn't drop it */
    if (context == NULL || PyContext_Enter(context) < 0) {
        return handle_failed(self);
    }
    /* A callback may cancel its own handle; it is then dropped only after the call. */
    bool outer = self->running;
    self->running = true;
    PyObject *res = handle_call(self);
    self->running = outer;
    if (PyContext_Exit(context) < 0) {
        Py_CLEAR(res);
    }
    if (borrowed) {
        context_give_back(self);
    }
    int err = 0;
    if (unlikely(res == NULL)) {
        err = handle_failed(self);
    } else {
        Py_DECREF(res);
    }
    if (self->cancelled && !outer) {
        handle_drop_call(self);
    }
    return err;
}

int
handle_run(Handle *self)
{
    if (self->cancelled) {
        return 0;
    }
    if (likely(!self->threadsafe)) {
        return handle_run_now(self);
    }
    bool outermost = threadsafe_begin(self);
    int err = handle_run_now(self);
    if (outermost) {
        threadsafe_end(self);
    }
    return err;
}

/* A slow callback is logged after it has run. If it cancelled its own handle, the log needs this
 * repr(). */
static void
handle_keep_repr(Handle *self)
{
    PyObject *repr = PyObject_Repr((PyObject *)self);
    if (repr == NULL) {
        loop_report(self->loop, "Could not get the repr() of a cancelled callback");
    }
    Py_XSETREF(self->repr, repr);
}

void
handle_cancel(Handle *self)
{
    if (self->cancelled) {
        return;
    }
    if (unlikely(self->loop->debug)) {
        handle_keep_repr(self);
        if (self->cancelled) {
            return; /* by the user's code that this has run */
        }
    }
    self->cancelled = true;
    handle_track(self);
    if (Py_TYPE(self) == self->loop->st->timer_handle_type) {
        Py_INCREF(self);
        timers_remove(&self->loop->timers, (TimerHandle *)self);
        if (!self->running) {
            handle_drop_call(self);
        }
        Py_DECREF(self);
    } else if (!self->running) {
        handle_drop_call(self);
    }
}
