/* The Python types of transports over user descriptors (see endpoint.h): creation and release, the
 * methods common to all, and those that only some have. The base type `_core.Endpoint` is asyncio's
 * BaseTransport with our struct. The others derive from it and from asyncio's abstract classes.
 */
#include "base/py.h"

#include "base/err.h"
#include "base/module.h"
#include "base/names.h"
#include "transport/endpoint.h"
#include "transport/write_limits.h"

#include <structmember.h>

/* ---- Life --------------------------------------------------------------------------------- */

static PyObject *
endpoint_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    PyObject *module = module_of_type(type);
    if (module == NULL) {
        return NULL;
    }
    Endpoint *self = (Endpoint *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->st = transport_state(module);
        self->fd = -1;
        self->state = ENDPOINT_LOST;
    }
    return (PyObject *)self;
}

/* The base type itself can't be instantiated. */
static int
endpoint_init(PyObject *op, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    PyErr_Format(PyExc_TypeError, "cannot create '%.100s' instances",
                 Py_TYPE(op)->tp_name);
    return -1;
}

int
endpoint_traverse(PyObject *op, visitproc visit, void *arg)
{
    Endpoint *self = (Endpoint *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->extra);
    Py_VISIT(self->loop);
    Py_VISIT(self->file);
    Py_VISIT(self->fileno);
    Py_VISIT(self->protocol);
    Py_VISIT(self->context);
    Py_VISIT(self->dict);
    return pieces_traverse(&self->queue, visit, arg);
}

/* The finalizer has closed the file before, and the loop no longer refers to the endpoint. */
int
endpoint_clear(PyObject *op)
{
    Endpoint *self = (Endpoint *)op;
    self->state = ENDPOINT_LOST;
    pieces_clear(&self->queue);
    Py_CLEAR(self->extra);
    Py_CLEAR(self->fileno);
    Py_CLEAR(self->file);
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->dict);
    return 0;
}

/* While the loop watches the descriptor, the endpoint lives at least as long as the loop. */
static void
endpoint_finalize(PyObject *op)
{
    Endpoint *self = (Endpoint *)op;
    if (self->state == ENDPOINT_LOST || self->file == NULL || self->file == Py_None) {
        return; /* closed, or its file was taken away */
    }
    PyObject *exc = PyErr_Occurred() ? err_take() : NULL;
    if (PyErr_ResourceWarning(op, 1, "unclosed transport %R", op) < 0) {
        PyErr_WriteUnraisable(op);
    }
    endpoint_shut(self);
    if (exc != NULL) {
        err_restore(exc);
    }
}

bool
endpoint_dealloc_begin(PyObject *op)
{
    if (PyObject_CallFinalizerFromDealloc(op) < 0) {
        return false;
    }
    PyObject_GC_UnTrack(op);
    return true;
}

void
endpoint_dealloc_end(PyObject *op)
{
    Endpoint *self = (Endpoint *)op;
    PyTypeObject *type = Py_TYPE(op);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    (void)endpoint_clear(op);
    Py_CLEAR(self->context);
    Py_CLEAR(self->loop);
    type->tp_free(op);
    Py_DECREF(type);
}

void
endpoint_dealloc(PyObject *op)
{
    if (endpoint_dealloc_begin(op)) {
        endpoint_dealloc_end(op);
    }
}

static const char *
endpoint_reading_name(const Endpoint *self)
{
    if (self->loop == NULL || loop_is_closed(self->loop)) {
        return "open";
    }
    return self->reading ? "polling" : "idle";
}

static const char *
endpoint_state_name(const Endpoint *self)
{
    switch (self->state) {
    case ENDPOINT_OPEN:
        return "";
    case ENDPOINT_FLUSHING:
    case ENDPOINT_LOSING:
        return " closing";
    case ENDPOINT_LOST:
        return " closed";
    }
    Py_UNREACHABLE();
}

static PyObject *
endpoint_repr(PyObject *op)
{
    Endpoint *self = (Endpoint *)op;
    PyObject *name = PyType_GetName(Py_TYPE(op));
    if (name == NULL) {
        return NULL;
    }
    PyObject *repr;
    if (self->ops != NULL && self->ops->on_writable != NULL) {
        repr = PyUnicode_FromFormat(
            "<%U%s fd=%d read=%s write=<%s, bufsize=%zu>>", name,
            endpoint_state_name(self), self->fd, endpoint_reading_name(self),
            self->writing ? "polling" : "idle", self->queue.bytes);
    } else {
        repr = PyUnicode_FromFormat("<%U%s fd=%d %s>", name, endpoint_state_name(self),
                                    self->fd, endpoint_reading_name(self));
    }
    Py_DECREF(name);
    return repr;
}

/* ---- All endpoints ------------------------------------------------------------------------ */

/* Called by the loop after connection_made: starts reading, and wakes the coroutine that created the
 * endpoint. */
static PyObject *
endpoint_py_begin(PyObject *op, PyObject *waiter)
{
    Endpoint *self = (Endpoint *)op;
    if (self->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the transport was not initialised");
        return NULL;
    }
    self->started = true;
    endpoint_update(self);
    if (waiter == Py_None) {
        Py_RETURN_NONE;
    }
    return PyObject_CallMethod((PyObject *)self->loop, "_wake", "O", waiter);
}

static PyObject *
endpoint_py_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    endpoint_close((Endpoint *)op);
    Py_RETURN_NONE;
}

static PyObject *
endpoint_py_is_closing(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(((Endpoint *)op)->state != ENDPOINT_OPEN);
}

static PyObject *
endpoint_py_set_protocol(PyObject *op, PyObject *protocol)
{
    Py_XSETREF(((Endpoint *)op)->protocol, Py_NewRef(protocol));
    Py_RETURN_NONE;
}

static PyObject *
endpoint_py_get_protocol(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyObject *protocol = ((Endpoint *)op)->protocol;
    return Py_NewRef(protocol == NULL ? Py_None : protocol);
}

/* Called by the loop after close() or abort(). */
static PyObject *
endpoint_py_call_connection_lost(PyObject *op, PyObject *exc)
{
    return endpoint_lose((Endpoint *)op, exc) < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- Endpoints that read ------------------------------------------------------------------ */

/* Called once per iteration for a file that can't be watched. */
PyObject *
endpoint_py_read_ready(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Endpoint *self = (Endpoint *)op;
    self->read_scheduled = false;
    if (self->always_ready && endpoint_is_reading(self)) {
        self->ops->on_readable(op);
        endpoint_update(self);
    }
    Py_RETURN_NONE;
}

PyObject *
endpoint_py_pause_reading(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Endpoint *self = (Endpoint *)op;
    if (endpoint_is_reading(self)) {
        self->paused = true;
        endpoint_update(self);
    }
    Py_RETURN_NONE;
}

PyObject *
endpoint_py_resume_reading(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Endpoint *self = (Endpoint *)op;
    if (self->state == ENDPOINT_OPEN && self->paused) {
        self->paused = false;
        endpoint_update(self);
    }
    Py_RETURN_NONE;
}

PyObject *
endpoint_py_is_reading(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(endpoint_is_reading((Endpoint *)op));
}

/* ---- Endpoints that write ----------------------------------------------------------------- */

PyObject *
endpoint_py_abort(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    endpoint_force_close((Endpoint *)op, NULL);
    Py_RETURN_NONE;
}

PyObject *
endpoint_py_get_write_buffer_size(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t(((Endpoint *)op)->queue.bytes);
}

PyObject *
endpoint_py_get_write_buffer_limits(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Endpoint *self = (Endpoint *)op;
    return Py_BuildValue("nn", (Py_ssize_t)self->low, (Py_ssize_t)self->high);
}

PyObject *
endpoint_py_set_write_buffer_limits(PyObject *op, PyObject *args, PyObject *kwargs)
{
    Endpoint *self = (Endpoint *)op;
    if (limits_parse(args, kwargs, &self->low, &self->high) < 0) {
        return NULL;
    }
    if (self->state == ENDPOINT_OPEN || self->state == ENDPOINT_FLUSHING) {
        endpoint_check_high(self);
    }
    Py_RETURN_NONE;
}

/* ---- The types ---------------------------------------------------------------------------- */

static PyMethodDef endpoint_methods[] = {
    {"close", endpoint_py_close, METH_NOARGS, NULL},
    {"is_closing", endpoint_py_is_closing, METH_NOARGS, NULL},
    {"set_protocol", endpoint_py_set_protocol, METH_O, NULL},
    {"get_protocol", endpoint_py_get_protocol, METH_NOARGS, NULL},
    {"_begin", endpoint_py_begin, METH_O, NULL},
    {"_call_connection_lost", endpoint_py_call_connection_lost, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef endpoint_members[] = {
    {"_loop", T_OBJECT, offsetof(Endpoint, loop), READONLY, NULL},
    {"_fileno", T_INT, offsetof(Endpoint, fd), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(Endpoint, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Endpoint, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot endpoint_slots[] = {
    {Py_tp_doc, "A transport over a descriptor that stays a Python file's."},
    {Py_tp_new, endpoint_new},
    {Py_tp_init, endpoint_init},
    {Py_tp_finalize, endpoint_finalize},
    {Py_tp_dealloc, endpoint_dealloc},
    {Py_tp_traverse, endpoint_traverse},
    {Py_tp_clear, endpoint_clear},
    {Py_tp_repr, endpoint_repr},
    {Py_tp_methods, endpoint_methods},
    {Py_tp_members, endpoint_members},
    {0, NULL},
};

static PyType_Spec endpoint_spec = {
    .name = "fluvial._core.Endpoint",
    .basicsize = sizeof(Endpoint),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = endpoint_slots,
};

int
endpoint_setup(PyObject *module, TransportState *st)
{
    PyObject *base = NULL;
    if (name_import(&base, "asyncio", "BaseTransport") < 0) {
        return -1;
    }
    if (((PyTypeObject *)base)->tp_basicsize != (Py_ssize_t)offsetof(Endpoint, st)) {
        PyErr_SetString(PyExc_ImportError, "asyncio's transports of this Python have a "
                                           "layout that fluvial doesn't know");
    } else {
        st->endpoint_type =
            (PyTypeObject *)PyType_FromModuleAndSpec(module, &endpoint_spec, base);
    }
    Py_DECREF(base);
    return st->endpoint_type == NULL ? -1 : PyModule_AddType(module, st->endpoint_type);
}

int
endpoint_add_type(PyObject *module, PyType_Spec *spec, const char *base,
                  const char *other)
{
    PyObject *abstract = NULL, *more = NULL, *bases = NULL;
    if (name_import(&abstract, "asyncio", base) < 0
        || (other != NULL && name_import(&more, "asyncio", other) < 0)) {
        Py_XDECREF(abstract);
        return -1;
    }
    PyTypeObject *ours = transport_state(module)->endpoint_type;
    bases = PyTuple_Pack(more == NULL ? 2 : 3, ours, abstract, more);
    PyObject *type =
        bases == NULL ? NULL : PyType_FromModuleAndSpec(module, spec, bases);
    int err = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    Py_XDECREF(bases);
    Py_XDECREF(more);
    Py_DECREF(abstract);
    return err;
}
