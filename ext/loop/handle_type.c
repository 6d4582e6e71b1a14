/* The Python types Handle and TimerHandle (ThreadSafeHandle: handle_threadsafe.c). Rarely used parts (repr) are asyncio's own functions,
 * which find the attributes that they read under the same names here.
 */
#include "base/py.h"

#include "loop/handle.h"
#include "loop/loop_impl.h"

#include <structmember.h>

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
    return handle_context((Handle *)op);
}

static PyObject *
handle_attr_context(PyObject *op, void *Py_UNUSED(closure))
{
    return handle_context((Handle *)op);
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

/* Makes isinstance(handle, asyncio.Handle) true: isinstance() also checks __class__ if the type itself
 * isn't a subclass. asyncio's classes can't be bases, because their __slots__ would duplicate our
 * fields. */
static PyObject *
handle_get_class(PyObject *op, void *Py_UNUSED(closure))
{
    LoopState *st = ((Handle *)op)->loop->st;
    if (((Handle *)op)->threadsafe) {
        return Py_NewRef(st->asyncio_threadsafe_handle);
    }
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
    {"_repr", T_OBJECT, offsetof(Handle, repr), READONLY, NULL},
    {"_loop", T_OBJECT, offsetof(Handle, loop), READONLY, NULL},
    {"_source_traceback", T_OBJECT, offsetof(Handle, traceback), READONLY, NULL},
    {"_cancelled", T_BOOL, offsetof(Handle, cancelled), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Handle, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef handle_getset[] = {
    {"_args", handle_get_args, NULL, NULL, NULL},
    {"_context", handle_attr_context, NULL, NULL, NULL},
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

/* Orders by deadline, as asyncio does; equality is identity. */
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

/* Adds asyncio's function `name` to our type. */
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
    st->handle_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &handle_spec, NULL);
    if (st->handle_type == NULL || PyModule_AddType(module, st->handle_type) < 0
        || type_borrow(st->handle_type, st->asyncio_handle, "_repr_info") < 0) {
        return -1;
    }
    st->timer_handle_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &timer_handle_spec, (PyObject *)st->handle_type);
    if (st->timer_handle_type == NULL
        || PyModule_AddType(module, st->timer_handle_type) < 0) {
        return -1;
    }
    if (type_borrow(st->timer_handle_type, st->asyncio_timer_handle, "_repr_info")
        < 0) {
        return -1;
    }
    return threadsafe_setup(module, st);
}
