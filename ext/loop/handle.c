/* Handle and TimerHandle (see handle.h): allocation from free lists, the call, and what Python
 * sees of them. The rarely used parts (repr) are asyncio's own functions, which our attributes
 * of the same names serve.
 */
#include "base/py.h"

#include "loop/handle.h"
#include "base/err.h"
#include "loop/loop_impl.h"

#include <structmember.h>

/* ---- Memory ------------------------------------------------------------------------------- */

static PyObject *
handle_alloc(FreeList *list, PyTypeObject *type)
{
    PyObject *op = list->head;
    if (op == NULL) {
        return type->tp_alloc(type, 0);
    }
    list->head = (PyObject *)((Handle *)op)->callback;
    list->len--;
    ((Handle *)op)->callback = NULL;
    return PyObject_Init(op, type);
}

/* Keeps the memory of the dead and cleared `op` in `list`, or gives it back. */
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

/* Drops what the callback needs. */
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

/* Breaks cycles. Loop and context stay until the end: every method relies on them, and both
 * can clear themselves. */
static int
handle_clear(PyObject *op)
{
    Handle *self = (Handle *)op;
    self->cancelled = true;
    handle_drop_call(self);
    Py_CLEAR(self->traceback);
    return 0;
}

static int
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
    PyObject_GC_UnTrack(op);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    handle_drop_call(self);
    Py_CLEAR(self->traceback);
    Py_CLEAR(self->context);
    Py_CLEAR(self->loop);
    return st;
}

static void
handle_dealloc(PyObject *op)
{
    LoopState *st = handle_finish(op);
    handle_release(&st->free_handles, st->handle_type, op);
}

static void
timer_handle_dealloc(PyObject *op)
{
    assert(((TimerHandle *)op)->index == TIMER_IDLE);
    LoopState *st = handle_finish(op);
    handle_release(&st->free_timer_handles, st->timer_handle_type, op);
}

/* ---- Making ------------------------------------------------------------------------------- */

static int
handle_trace(Handle *self)
{
    PyFrameObject *frame = PyEval_GetFrame(); /* borrowed */
    if (frame == NULL) {
        return 0;
    }
    self->traceback = PyObject_CallOneArg(self->loop->st->extract_stack, (PyObject *)frame);
    return self->traceback == NULL ? -1 : 0;
}

/* Fills in the fresh `self`. */
static int
handle_init(Handle *self, Loop *loop, PyObject *callback, PyObject *const *args,
            Py_ssize_t nargs, PyObject *context)
{
    self->loop = (Loop *)Py_NewRef(loop);
    self->callback = Py_NewRef(callback);
    self->context = NULL;
    self->traceback = NULL;
    self->weakrefs = NULL;
    self->more = NULL;
    self->nargs = 0;
    self->cancelled = false;
    self->running = false;
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
    bool given = context != NULL && context != Py_None;
    self->context = given ? Py_NewRef(context) : PyContext_CopyCurrent();
    if (self->context == NULL) {
        return -1;
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
    int err = handle_init((Handle *)op, loop, callback, args, nargs, context);
    if (!PyObject_GC_IsTracked(op)) {
        PyObject_GC_Track(op);
    }
    if (err < 0) {
        Py_DECREF(op);
        return NULL;
    }
    return (Handle *)op;
}

TimerHandle *
timer_handle_new(Loop *loop, PyObject *callback, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *context)
{
    LoopState *st = loop->st;
    PyObject *op = handle_alloc(&st->free_timer_handles, st->timer_handle_type);
    if (op == NULL) {
        return NULL;
    }
    ((TimerHandle *)op)->index = TIMER_IDLE;
    int err = handle_init((Handle *)op, loop, callback, args, nargs, context);
    if (!PyObject_GC_IsTracked(op)) {
        PyObject_GC_Track(op);
    }
    if (err < 0) {
        Py_DECREF(op);
        return NULL;
    }
    return (TimerHandle *)op;
}

/* ---- Calling ------------------------------------------------------------------------------ */

/* Gives the exception that the callback raised to loop._callback_failed(handle, exception). */
static int
handle_failed(Handle *self)
{
    Loop *loop = self->loop;
    if (err_is_fatal()) {
        return -1;
    }
    PyObject *exc = err_take();
    PyObject *argv[] = {(PyObject *)loop, (PyObject *)self, exc};
    PyObject *res = PyObject_VectorcallMethod(loop->st->str_callback_failed, argv, 3, NULL);
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
    size_t nargs = self->nargs | PY_VECTORCALL_ARGUMENTS_OFFSET;
    return PyObject_Vectorcall(self->callback, self->slots + 1, nargs, NULL);
}

int
handle_run(Handle *self)
{
    if (self->cancelled) {
        return 0;
    }
    PyObject *context = self->context; /* borrowed: cancelling doesn't drop it */
    if (PyContext_Enter(context) < 0) {
        return handle_failed(self);
    }
    /* A callback may cancel its own handle: what it runs on is dropped only afterwards. */
    bool outer = self->running;
    self->running = true;
    PyObject *res = handle_call(self);
    self->running = outer;
    if (PyContext_Exit(context) < 0) {
        Py_CLEAR(res);
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

void
handle_cancel(Handle *self)
{
    if (self->cancelled) {
        return;
    }
    self->cancelled = true;
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

/* ---- What Python sees --------------------------------------------------------------------- */

static PyObject *
handle_py_cancel(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    handle_cancel((Handle *)op);
    Py_RETURN_NONE;
}

static PyObject *
handle_py_cancelled(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(((Handle *)op)->cancelled);
}

static PyObject *
handle_py_run(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (handle_run((Handle *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
handle_py_get_context(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(((Handle *)op)->context);
}

static PyObject *
handle_get_args(PyObject *op, void *Py_UNUSED(closure))
{
    Handle *self = (Handle *)op;
    if (self->callback == NULL) {
        Py_RETURN_NONE;
    }
    if (self->more != NULL) {
        return Py_NewRef(self->more);
    }
    PyObject *args = PyTuple_New(self->nargs);
    for (unsigned i = 0; args != NULL && i < self->nargs; i++) {
        PyTuple_SET_ITEM(args, i, Py_NewRef(self->slots[1 + i]));
    }
    return args;
}

static PyObject *
handle_get_repr(PyObject *Py_UNUSED(op), void *Py_UNUSED(closure))
{
    Py_RETURN_NONE; /* asyncio keeps a finished repr here in debug mode; ours is always made */
}

/* isinstance(handle, asyncio.Handle) is true: isinstance asks for __class__ where the type
 * itself is no subclass. asyncio's classes can't be bases, their slots would double ours. */
static PyObject *
handle_get_class(PyObject *op, void *Py_UNUSED(closure))
{
    LoopState *st = ((Handle *)op)->loop->st;
    bool timer = Py_TYPE(op) == st->timer_handle_type;
    return Py_NewRef(timer ? st->asyncio_timer_handle : st->asyncio_handle);
}

static PyObject *
handle_repr(PyObject *op)
{
    LoopState *st = ((Handle *)op)->loop->st;
    return PyObject_CallMethod(st->asyncio_handle, "__repr__", "O", op);
}

static PyMethodDef handle_methods[] = {
    {"cancel", handle_py_cancel, METH_NOARGS, NULL},
    {"cancelled", handle_py_cancelled, METH_NOARGS, NULL},
    {"get_context", handle_py_get_context, METH_NOARGS, NULL},
    {"_run", handle_py_run, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef handle_members[] = {
    {"_callback", T_OBJECT, offsetof(Handle, callback), READONLY, NULL},
    {"_context", T_OBJECT, offsetof(Handle, context), READONLY, NULL},
    {"_loop", T_OBJECT, offsetof(Handle, loop), READONLY, NULL},
    {"_source_traceback", T_OBJECT, offsetof(Handle, traceback), READONLY, NULL},
    {"_cancelled", T_BOOL, offsetof(Handle, cancelled), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Handle, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef handle_getset[] = {
    {"_args", handle_get_args, NULL, NULL, NULL},
    {"_repr", handle_get_repr, NULL, NULL, NULL},
    {"__class__", handle_get_class, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot handle_slots[] = {
    {Py_tp_doc, "A callback that waits to be called; see asyncio.Handle."},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_traverse, handle_traverse},
    {Py_tp_clear, handle_clear},
    {Py_tp_repr, handle_repr},
    {Py_tp_methods, handle_methods},
    {Py_tp_members, handle_members},
    {Py_tp_getset, handle_getset},
    {0, NULL},
};

enum {
    HANDLE_FLAGS = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE
                   | Py_TPFLAGS_DISALLOW_INSTANTIATION,
};

static PyType_Spec handle_spec = {
    .name = "fluvial._core.Handle",
    .basicsize = sizeof(Handle),
    .flags = HANDLE_FLAGS,
    .slots = handle_slots,
};

static PyObject *
timer_handle_when(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyFloat_FromDouble(((TimerHandle *)op)->when);
}

static PyMethodDef timer_handle_methods[] = {
    {"when", timer_handle_when, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef timer_handle_members[] = {
    {"_when", T_DOUBLE, offsetof(TimerHandle, when), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *
timer_handle_get_scheduled(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((TimerHandle *)op)->index != TIMER_IDLE);
}

static PyGetSetDef timer_handle_getset[] = {
    {"_scheduled", timer_handle_get_scheduled, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyObject *
timer_handle_repr(PyObject *op)
{
    LoopState *st = ((Handle *)op)->loop->st;
    return PyObject_CallMethod(st->asyncio_timer_handle, "__repr__", "O", op);
}

/* By deadline, as asyncio's; equality is identity. */
static PyObject *
timer_handle_richcompare(PyObject *a, PyObject *b, int op)
{
    if (Py_TYPE(a) != Py_TYPE(b) || op == Py_EQ || op == Py_NE) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    double x = ((TimerHandle *)a)->when, y = ((TimerHandle *)b)->when;
    Py_RETURN_RICHCOMPARE(x, y, op);
}

static Py_hash_t
timer_handle_hash(PyObject *op)
{
    return (Py_hash_t)((uintptr_t)op >> 4);
}

static PyType_Slot timer_handle_slots[] = {
    {Py_tp_doc, "A callback that waits for its time; see asyncio.TimerHandle."},
    {Py_tp_dealloc, timer_handle_dealloc},
    {Py_tp_traverse, handle_traverse},
    {Py_tp_clear, handle_clear},
    {Py_tp_repr, timer_handle_repr},
    {Py_tp_hash, timer_handle_hash},
    {Py_tp_richcompare, timer_handle_richcompare},
    {Py_tp_methods, timer_handle_methods},
    {Py_tp_members, timer_handle_members},
    {Py_tp_getset, timer_handle_getset},
    {0, NULL},
};

static PyType_Spec timer_handle_spec = {
    .name = "fluvial._core.TimerHandle",
    .basicsize = sizeof(TimerHandle),
    .flags = HANDLE_FLAGS,
    .slots = timer_handle_slots,
};

/* Lends asyncio's function of that name to our type. */
static int
type_borrow(PyTypeObject *type, PyObject *from, const char *name)
{
    PyObject *func = PyObject_GetAttrString(from, name);
    if (func == NULL) {
        return -1;
    }
    int err = PyObject_SetAttrString((PyObject *)type, name, func);
    Py_DECREF(func);
    return err;
}

int
handle_setup(PyObject *module, LoopState *st)
{
    st->handle_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &handle_spec, NULL);
    if (st->handle_type == NULL || PyModule_AddType(module, st->handle_type) < 0
        || type_borrow(st->handle_type, st->asyncio_handle, "_repr_info") < 0) {
        return -1;
    }
    st->timer_handle_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &timer_handle_spec, (PyObject *)st->handle_type);
    if (st->timer_handle_type == NULL || PyModule_AddType(module, st->timer_handle_type) < 0) {
        return -1;
    }
    return type_borrow(st->timer_handle_type, st->asyncio_timer_handle, "_repr_info");
}
