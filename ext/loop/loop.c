/* The type _core.Loop: creation and deallocation, garbage collection, and the tables of its methods
 * and attributes. pysrc/fluvial/_loop/loop.py combines it with asyncio's own loop class. The private
 * attributes that asyncio's methods use have the same names here.
 */
#include "base/py.h"

#include "base/err.h"
#include "base/flag.h"
#include "base/module.h"
#include "loop/all_tasks.h"
#include "loop/loop_impl.h"
#include "loop/sockop.h"

#include <structmember.h>

/* ---- Life --------------------------------------------------------------------------------- */

static PyObject *
loop_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    PyObject *module = module_of_type(type);
    if (module == NULL) {
        return NULL;
    }
    LoopState *st = loop_state(module);
    if (all_tasks_setup(st) < 0) {
        return NULL;
    }
    Loop *self = (Loop *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->st = st;
    fds_init(&self->fds);
    ring_init(&self->held);
    if (loop_open(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int
loop_traverse_self(PyObject *op, visitproc visit, void *arg)
{
    Loop *self = (Loop *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->thread_id);
    Py_VISIT(self->current);
    Py_VISIT(self->task_factory);
    Py_VISIT(self->fatal);
    for (Ring *at = self->held.next; at != &self->held; at = at->next) {
        Py_VISIT(container_of(at, LoopRef, ring)->owner);
    }
    Py_VISIT(self->captured);
    Py_VISIT(self->captured_context);
    Py_VISIT(self->taken);
    Py_VISIT(self->spare_context);
    Py_VISIT(self->future_keywords);
    Py_VISIT(self->task_keywords);
    Py_VISIT(self->eager.dict);
    int err = ready_traverse(&self->ready, visit, arg);
    if (err == 0) {
        err = timers_traverse(&self->timers, visit, arg);
    }
    return err == 0 ? fds_traverse(&self->fds, visit, arg) : err;
}

/* asyncio's __del__ has closed a fluvial.Loop before this; a bare _core.Loop is closed here. */
static int
loop_clear_self(PyObject *op)
{
    Loop *self = (Loop *)op;
    self->closed = true;
    loop_shut(self);
    Py_CLEAR(self->thread_id);
    Py_CLEAR(self->current);
    Py_CLEAR(self->task_factory);
    Py_CLEAR(self->fatal);
    Py_CLEAR(self->captured);
    Py_CLEAR(self->captured_context);
    self->eager.name = NULL;
    Py_CLEAR(self->eager.dict);
    Py_CLEAR(self->future_keywords);
    Py_CLEAR(self->task_keywords);
    Py_CLEAR(self->spare_context);
    Py_CLEAR(self->taken);
    return 0;
}

static void
loop_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)loop_clear_self(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* ---- What Python sees --------------------------------------------------------------------- */

static PyObject *
loop_py_time(PyObject *Py_UNUSED(op), PyObject *Py_UNUSED(ignored))
{
    return PyFloat_FromDouble((double)loop_now_ns() / 1e9);
}

static PyObject *
loop_py_stop(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    ((Loop *)op)->stopping = true;
    Py_RETURN_NONE;
}

static PyObject *
loop_py_is_running(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyObject *id = ((Loop *)op)->thread_id;
    return PyBool_FromLong(id != NULL && id != Py_None);
}

static PyObject *
loop_py_is_closed(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(((Loop *)op)->closed);
}

/* asyncio's methods call this first. */
static PyObject *
loop_py_check_closed(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (loop_check_open((Loop *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
loop_py_get_debug(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(((Loop *)op)->debug);
}

/* The libuv part of close(), which runs after asyncio's part. */
static PyObject *
loop_py_shut(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Loop *self = (Loop *)op;
    if (self->running) {
        PyErr_SetString(PyExc_RuntimeError, "Cannot close a running event loop");
        return NULL;
    }
    self->closed = true;
    loop_shut(self);
    Py_RETURN_NONE;
}

int
loop_fd_of(PyObject *file)
{
    int fd = PyObject_AsFileDescriptor(file);
    if (fd < 0
        && (PyErr_ExceptionMatches(PyExc_TypeError)
            || PyErr_ExceptionMatches(PyExc_AttributeError))) {
        PyErr_Clear(); /* replaced, as in asyncio */
        PyErr_Format(PyExc_ValueError, "Invalid file object: %R", file);
    }
    return fd;
}

/* The same for a file that may be watched, and may have been closed since it was added. */
static int
watched_fd_of(Loop *self, PyObject *file)
{
    int fd = loop_fd_of(file);
    if (fd < 0 && PyErr_ExceptionMatches(PyExc_ValueError)) {
        fd = fds_find(&self->fds, file);
        if (fd >= 0) {
            PyErr_Clear(); /* the file was closed; its former descriptor is known */
        }
    }
    return fd;
}

/* loop._add_reader(fd, callback, *args), and the same for writers. Returns the handle. */
static PyObject *
loop_watch(Loop *self, FdSide side, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 2) {
        PyErr_SetString(PyExc_TypeError,
                        "a file descriptor and a callback are required");
        return NULL;
    }
    if (loop_check_open(self) < 0) {
        return NULL;
    }
    int fd = loop_fd_of(args[0]);
    if (fd < 0) {
        return NULL;
    }
    Handle *handle = handle_new(self, args[1], args + 2, nargs - 2, NULL);
    if (handle == NULL) {
        return NULL;
    }
    handle_track(handle);
    if (fds_add(&self->fds, self, fd, args[0], side, handle) < 0) {
        Py_CLEAR(handle);
    }
    return (PyObject *)handle;
}

static PyObject *
loop_unwatch(Loop *self, FdSide side, PyObject *file)
{
    if (self->closed) {
        Py_RETURN_FALSE;
    }
    int fd = watched_fd_of(self, file);
    if (fd < 0 && PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear(); /* too large for a descriptor, so it is not watched */
        Py_RETURN_FALSE;
    }
    if (fd < 0) {
        return NULL;
    }
    return PyBool_FromLong(fds_remove(&self->fds, fd, side));
}

static PyObject *
loop_py_add_reader(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    return loop_watch((Loop *)op, FD_READER, args, nargs);
}

static PyObject *
loop_py_add_writer(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    return loop_watch((Loop *)op, FD_WRITER, args, nargs);
}

static PyObject *
loop_py_remove_reader(PyObject *op, PyObject *file)
{
    return loop_unwatch((Loop *)op, FD_READER, file);
}

static PyObject *
loop_py_remove_writer(PyObject *op, PyObject *file)
{
    return loop_unwatch((Loop *)op, FD_WRITER, file);
}

/* The handles that watch a descriptor, as (reader, writer), with None for an unwatched side. */
static PyObject *
loop_py_watched(PyObject *op, PyObject *file)
{
    Loop *self = (Loop *)op;
    int fd = watched_fd_of(self, file);
    if (fd < 0) {
        return NULL;
    }
    PyObject *reader = (PyObject *)fds_get(&self->fds, fd, FD_READER);
    PyObject *writer = (PyObject *)fds_get(&self->fds, fd, FD_WRITER);
    return PyTuple_Pack(2, reader == NULL ? Py_None : reader,
                        writer == NULL ? Py_None : writer);
}

/* The objects whose libuv handles are open, oldest first. */
static PyObject *
loop_py_held(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Loop *self = (Loop *)op;
    PyObject *list = PyList_New(0);
    for (Ring *at = self->held.next; list != NULL && at != &self->held; at = at->next) {
        if (PyList_Append(list, container_of(at, LoopRef, ring)->owner) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

#define FAST(func) (PyCFunction)(void (*)(void))(func), METH_FASTCALL
#define FAST_KEYWORDS(func)                                                            \
    (PyCFunction)(void (*)(void))(func), METH_FASTCALL | METH_KEYWORDS

/* The signature of asyncio's method, in the format that inspect.signature() reads. */
#define SIGNATURE(text) text "\n--\n\n"

/* 3.13.4 took back half of what 3.13.3 had changed. */
#if PY_VERSION_HEX >= 0x030E0000                                                       \
    || (PY_VERSION_HEX >= 0x030D0300 && PY_VERSION_HEX < 0x030D0400)
#define TASK_KEYWORDS "**kwargs"
#elif PY_VERSION_HEX >= 0x030D0400
#define TASK_KEYWORDS "*, name=None, context=None, **kwargs"
#else
#define TASK_KEYWORDS "*, name=None, context=None"
#endif

static PyMethodDef loop_methods[] = {
    {"call_soon", FAST_KEYWORDS(loop_py_call_soon),
     SIGNATURE("call_soon($self, callback, *args, context=None)")},
    {"call_soon_threadsafe", FAST_KEYWORDS(loop_py_call_soon_threadsafe),
     SIGNATURE("call_soon_threadsafe($self, callback, *args, context=None)")},
    {"call_later", FAST_KEYWORDS(loop_py_call_later),
     SIGNATURE("call_later($self, delay, callback, *args, context=None)")},
    {"call_at", FAST_KEYWORDS(loop_py_call_at),
     SIGNATURE("call_at($self, when, callback, *args, context=None)")},
    {"time", loop_py_time, METH_NOARGS, SIGNATURE("time($self)")},
    {"create_future", loop_py_create_future, METH_NOARGS,
     SIGNATURE("create_future($self)")},
    {"create_task", FAST_KEYWORDS(loop_py_create_task),
     SIGNATURE("create_task($self, coro, " TASK_KEYWORDS ")")},
    {"stop", loop_py_stop, METH_NOARGS, SIGNATURE("stop($self)")},
    {"is_running", loop_py_is_running, METH_NOARGS, SIGNATURE("is_running($self)")},
    {"is_closed", loop_py_is_closed, METH_NOARGS, SIGNATURE("is_closed($self)")},
    {"get_debug", loop_py_get_debug, METH_NOARGS, SIGNATURE("get_debug($self)")},
    {"_check_closed", loop_py_check_closed, METH_NOARGS, NULL},
    {"_forked", loop_py_forked, METH_NOARGS, NULL},
    {"_pulse", loop_py_pulse, METH_VARARGS, NULL},
    {"_run", loop_py_run, METH_NOARGS, NULL},
    {"_shut", loop_py_shut, METH_NOARGS, NULL},
    {"_add_reader", FAST(loop_py_add_reader), NULL},
    {"_add_writer", FAST(loop_py_add_writer), NULL},
    {"_remove_reader", loop_py_remove_reader, METH_O, NULL},
    {"_remove_writer", loop_py_remove_writer, METH_O, NULL},
    {"_receive", FAST(loop_py_receive), NULL},
    {"_receive_into", FAST(loop_py_receive_into), NULL},
    {"_send_all", FAST(loop_py_send_all), NULL},
    {"_watched", loop_py_watched, METH_O, NULL},
    {"_held", loop_py_held, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef loop_members[] = {
    {"_thread_id", T_OBJECT, offsetof(Loop, thread_id), 0, NULL},
    {"_current_handle", T_OBJECT, offsetof(Loop, current), 0, NULL},
    {"_task_factory", T_OBJECT, offsetof(Loop, task_factory), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef loop_getset[] = {
    FLAG("_closed", Loop, closed),
    FLAG("_stopping", Loop, stopping),
    FLAG("_debug", Loop, debug),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot loop_slots[] = {
    {Py_tp_doc, "The hot part of fluvial.Loop."},
    {Py_tp_new, loop_new},
    {Py_tp_dealloc, loop_dealloc},
    {Py_tp_traverse, loop_traverse_self},
    {Py_tp_clear, loop_clear_self},
    {Py_tp_hash, loop_hash},
    {Py_tp_methods, loop_methods},
    {Py_tp_members, loop_members},
    {Py_tp_getset, loop_getset},
    {0, NULL},
};

static PyType_Spec loop_spec = {
    .name = "fluvial._core.Loop",
    .basicsize = sizeof(Loop),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = loop_slots,
};

int
loop_type_setup(PyObject *module, LoopState *st)
{
    st->loop_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &loop_spec, NULL);
    return st->loop_type == NULL ? -1 : PyModule_AddType(module, st->loop_type);
}

void
loop_hold(Loop *loop, LoopRef *ref, PyObject *owner)
{
    assert(ref->owner == NULL);
    ref->owner = Py_NewRef(owner);
    ring_append(&loop->held, &ref->ring);
}

void
loop_release(LoopRef *ref)
{
    PyObject *owner = ref->owner;
    ref->owner = NULL;
    ring_remove(&ref->ring);
    Py_XDECREF(owner);
}

Loop *
loop_check(PyObject *module, PyObject *obj)
{
    PyTypeObject *type = loop_state(module)->loop_type;
    if (!PyObject_TypeCheck(obj, type)) {
        PyErr_Format(PyExc_TypeError, "expected a fluvial.Loop, not %.200s",
                     Py_TYPE(obj)->tp_name);
        return NULL;
    }
    return (Loop *)obj;
}

Loop *
loop_running(PyObject *module)
{
    LoopState *st = loop_state(module);
    PyObject *loop = PyObject_CallNoArgs(st->get_running_loop);
    if (loop == NULL) {
        PyErr_Clear(); /* asyncio's C function runs no Python code: out of memory at worst */
        return NULL;
    }
    Py_DECREF(loop); /* run_forever() holds another reference */
    return PyObject_TypeCheck(loop, st->loop_type) ? (Loop *)loop : NULL;
}

bool
loop_runs_here(const Loop *loop)
{
    return loop->thread_id != NULL && PyLong_Check(loop->thread_id)
           && PyLong_AsUnsignedLong(loop->thread_id) == PyThread_get_thread_ident();
}
