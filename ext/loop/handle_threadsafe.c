/* ThreadSafeHandle: what call_soon_threadsafe gives from 3.14 on (see handle.h). asyncio holds a lock
 * while the callback runs, so that other threads wait in cancel() and cancelled(). The GIL makes all
 * else safe; only a thread that waits needs a lock, and makes one. When cancel()
 * returns, the callback therefore either never runs or has ended.
 */
#include "base/py.h"

#include "loop/handle.h"
#include "loop/loop_impl.h"

#include <pythread.h>

/* Shut while the callback runs. Freed by the last that leaves it: a waiter, or the runner. */
struct Gate {
    PyThread_type_lock lock;
    size_t waiters;
    bool open;
};

static Gate *
gate_new(void)
{
    Gate *gate = PyMem_RawCalloc(1, sizeof(*gate));
    if (gate != NULL) {
        gate->lock = PyThread_allocate_lock();
    }
    if (gate == NULL || gate->lock == NULL) {
        PyMem_RawFree(gate);
        PyErr_NoMemory();
        return NULL;
    }
    PyThread_acquire_lock(gate->lock, NOWAIT_LOCK);
    return gate;
}

static void
gate_free(Gate *gate)
{
    PyThread_free_lock(gate->lock);
    PyMem_RawFree(gate);
}

/* Waits until it opens, letting signal handlers run. 0, or -1 with the exception of one set. */
static int
gate_wait(Gate *gate)
{
    PyLockStatus status;
    gate->waiters++;
    do {
        Py_BEGIN_ALLOW_THREADS;
        status = PyThread_acquire_lock_timed(gate->lock, -1, true);
        Py_END_ALLOW_THREADS;
    } while (status == PY_LOCK_INTR && PyErr_CheckSignals() == 0);
    if (status == PY_LOCK_ACQUIRED) {
        PyThread_release_lock(gate->lock); /* for the next one */
    }
    if (--gate->waiters == 0 && gate->open) {
        gate_free(gate);
    }
    return status == PY_LOCK_ACQUIRED ? 0 : -1;
}

static void
gate_open(Gate *gate)
{
    gate->open = true;
    PyThread_release_lock(gate->lock);
    if (gate->waiters == 0) {
        gate_free(gate);
    }
}

/* ---- The callback's call ------------------------------------------------------------------ */

bool
threadsafe_begin(Handle *op)
{
    ThreadSafeHandle *self = (ThreadSafeHandle *)op;
    if (self->runner != PYTHREAD_INVALID_THREAD_ID) {
        return false;
    }
    self->runner = PyThread_get_thread_ident();
    return true;
}

void
threadsafe_end(Handle *op)
{
    ThreadSafeHandle *self = (ThreadSafeHandle *)op;
    self->runner = PYTHREAD_INVALID_THREAD_ID;
    Gate *gate = self->gate;
    self->gate = NULL;
    if (gate != NULL) {
        gate_open(gate);
    }
}

/* Waits while another thread runs the callback. 0, or -1 with an exception set. */
static int
threadsafe_wait(ThreadSafeHandle *self)
{
    if (self->runner == PYTHREAD_INVALID_THREAD_ID
        || self->runner == PyThread_get_thread_ident()) {
        return 0;
    }
    if (self->gate == NULL) {
        self->gate = gate_new();
    }
    return self->gate == NULL ? -1 : gate_wait(self->gate);
}

/* ---- What Python sees --------------------------------------------------------------------- */

static PyObject *
threadsafe_py_cancel(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    ThreadSafeHandle *self = (ThreadSafeHandle *)op;
    if (threadsafe_wait(self) < 0) {
        return NULL;
    }
    handle_cancel(&self->base);
    /* In debug mode that calls repr() of the user's objects first, and meanwhile it may begin. */
    if (threadsafe_wait(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
threadsafe_py_cancelled(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (threadsafe_wait((ThreadSafeHandle *)op) < 0) {
        return NULL;
    }
    return PyBool_FromLong(((Handle *)op)->cancelled);
}

static PyMethodDef threadsafe_methods[] = {
    {"cancel", threadsafe_py_cancel, METH_NOARGS, NULL},
    {"cancelled", threadsafe_py_cancelled, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot threadsafe_slots[] = {
    {Py_tp_doc, "A callback that other threads may cancel."},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_traverse, handle_traverse},
    {Py_tp_clear, handle_clear},
    {Py_tp_methods, threadsafe_methods},
    {0, NULL},
};

static PyType_Spec threadsafe_spec = {
    .name = "fluvial._core.ThreadSafeHandle",
    .basicsize = sizeof(ThreadSafeHandle),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = threadsafe_slots,
};

int
threadsafe_setup(PyObject *module, LoopState *st)
{
    st->threadsafe_handle_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &threadsafe_spec, (PyObject *)st->handle_type);
    if (st->threadsafe_handle_type == NULL) {
        return -1;
    }
    return PyModule_AddType(module, st->threadsafe_handle_type);
}
