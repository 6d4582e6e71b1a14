/* The Python type StreamTransport: the methods of asyncio.Transport, and the private ones that asyncio's
 * sslproto and sendfile use. See transport.h.
 */
#include "base/py.h"

#include "base/context.h"
#include "base/err.h"
#include "base/module.h"
#include "base/names.h"
#include "base/view.h"
#include "transport/protocol.h"
#include "transport/reader.h"
#include "transport/asyncio_tls.h"
#include "transport/transport.h"

#include <structmember.h>
#include <unistd.h>

/* ---- Life --------------------------------------------------------------------------------- */

static PyObject *
transport_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
              PyObject *Py_UNUSED(kwargs))
{
    PyObject *module = module_of_type(type);
    if (module == NULL) {
        return NULL;
    }
    Transport *self = (Transport *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->st = transport_state(module);
        self->fd = -1;
        self->state = TRANSPORT_LOST;
    }
    return (PyObject *)self;
}

static int
transport_type_traverse(PyObject *op, visitproc visit, void *arg)
{
    Transport *self = (Transport *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->extra);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(self->mixin); i++) {
        Py_VISIT(self->mixin[i]);
    }
    Py_VISIT(self->loop);
    Py_VISIT(self->protocol);
    Py_VISIT(self->context);
    Py_VISIT(self->sock);
    Py_VISIT(self->server);
    Py_VISIT(self->drained);
    Py_VISIT(self->view.obj);
    return 0;
}

/* Breaks cycles. The loop is kept, because a stream that is still open needs it. */
static int
transport_type_clear(PyObject *op)
{
    Transport *self = (Transport *)op;
    Py_CLEAR(self->extra);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(self->mixin); i++) {
        Py_CLEAR(self->mixin[i]);
    }
    if (self->protocol != NULL) {
        Py_SETREF(self->protocol, Py_NewRef(Py_None));
    }
    Py_CLEAR(self->server);
    Py_CLEAR(self->drained);
    return 0;
}

/* The loop holds a transport whose stream is open, so this runs only when the loop is released, too. The
 * transport stays alive until libuv has closed the stream. */
static void
transport_finalize(PyObject *op)
{
    Transport *self = (Transport *)op;
    if (self->fd < 0) {
        return;
    }
    PyObject *exc = PyErr_Occurred() ? err_take() : NULL;
    transport_warn_unclosed(self);
    transport_shut(self);
    if (exc != NULL) {
        err_restore(exc);
    }
}

static void
transport_dealloc(PyObject *op)
{
    Transport *self = (Transport *)op;
    PyTypeObject *type = Py_TYPE(op);
    if (PyObject_CallFinalizerFromDealloc(op) < 0) {
        return;
    }
    assert(self->stream.state == STREAM_UNUSED);
    PyObject_GC_UnTrack(op);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    view_release(&self->view);
    (void)transport_type_clear(op);
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->context);
    Py_CLEAR(self->sock);
    Py_CLEAR(self->loop);
    type->tp_free(op);
    Py_DECREF(type);
}

static int
transport_set_protocol(Transport *self, PyObject *protocol)
{
    int buffered = PyObject_IsInstance(protocol, self->st->buffered_protocol);
    if (buffered < 0) {
        return -1;
    }
    self->tls = tls_check(self->st, protocol);
    self->buffered = buffered != 0 && !self->tls;
    self->reader = !self->tls && !self->buffered && reader_check(self->st, protocol);
    self->connected = true;
    Py_XSETREF(self->protocol, Py_NewRef(protocol));
    return 0;
}

static int
transport_attach_server(Transport *self, PyObject *server)
{
    if (server == Py_None) {
        return 0;
    }
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *res = PyObject_CallMethod(server, "_attach", "O", self);
#else
    PyObject *res = PyObject_CallMethod(server, "_attach", NULL);
#endif
    if (res == NULL) {
        return -1;
    }
    Py_DECREF(res);
    self->server = Py_NewRef(server);
    return 0;
}

/* Takes over what asyncio's accepting code already knows about the connection. */
static int
transport_take_extra(Transport *self, PyObject *extra)
{
    if (extra == Py_None) {
        return 0;
    }
    if (self->extra == NULL) {
        self->extra = PyDict_Copy(extra);
        return self->extra == NULL ? -1 : 0;
    }
    return PyDict_Update(self->extra, extra);
}

static int
transport_prepare(Transport *self, Loop *loop, PyObject *protocol, PyObject *context)
{
    self->loop = (Loop *)Py_NewRef(loop);
    self->context = Py_NewRef(context);
    return transport_set_protocol(self, protocol);
}

PyObject *
transport_accepted(TransportState *st, Loop *loop, int fd, const NetAddr *peer,
                   PyObject *protocol, PyObject *context, PyObject *server)
{
    PyObject *op = transport_new(st->transport_type, NULL, NULL);
    Transport *self = (Transport *)op;
    if (self != NULL) {
        self->remote = *peer;
    }
    if (self == NULL || transport_prepare(self, loop, protocol, context) < 0
        || transport_learn_names(self, fd) < 0 || transport_open(self, fd) < 0) {
        (void)close(fd);
        Py_XDECREF(op);
        return NULL;
    }
    if (transport_attach_server(self, server) < 0) {
        self->connected = false;
        PyObject *exc = err_take();
        transport_force_close(self, NULL);
        err_restore(exc);
        Py_DECREF(op);
        return NULL;
    }
    transport_made(self);
    self->started = true;
    transport_update_reading(self);
    return op;
}

/* StreamTransport(loop, fd, sock, protocol, waiter, extra, server, context) */
static int
transport_init(PyObject *op, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    Transport *self = (Transport *)op;
    PyObject *loop_arg, *sock, *protocol, *waiter, *extra, *server, *given;
    int fd;
    if (!PyArg_ParseTuple(args, "OiOOOOOO:StreamTransport", &loop_arg, &fd, &sock,
                          &protocol, &waiter, &extra, &server, &given)) {
        return -1;
    }
    if (self->loop != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a transport is initialised once");
        return -1;
    }
    Loop *loop = loop_check(self->st->module, loop_arg);
    PyObject *context = loop == NULL ? NULL : context_or_copy(given);
    if (context == NULL) {
        return -1;
    }
    int err = transport_prepare(self, loop, protocol, context);
    Py_DECREF(context);
    if (err < 0 || transport_learn_names(self, fd) < 0
        || transport_take_extra(self, extra) < 0 || transport_open(self, fd) < 0) {
        return -1;
    }
    if (sock != Py_None) {
        transport_keep_socket(self, Py_NewRef(sock));
    }
    if (transport_attach_server(self, server) < 0
        || protocol_begin(self->st, self->loop, (PyObject *)self, self->protocol,
                          self->context, waiter)
               < 0) {
        self->connected = false;
        PyObject *exc = err_take();
        transport_force_close(self, NULL);
        err_restore(exc);
        return -1;
    }
    return 0;
}

/* The error for a transport that was created by __new__ without __init__. */
static PyObject *
transport_unready(void)
{
    PyErr_SetString(PyExc_RuntimeError, "the transport was not initialised");
    return NULL;
}

/* ---- Reading ------------------------------------------------------------------------------ */

/* Called by the loop after connection_made: starts reading, and lets create_connection() return. */
static PyObject *
transport_py_begin(PyObject *op, PyObject *waiter)
{
    Transport *self = (Transport *)op;
    if (self->loop == NULL) {
        return transport_unready();
    }
    self->started = true;
    transport_update_reading(self);
    if (waiter == Py_None) {
        Py_RETURN_NONE;
    }
    return PyObject_CallMethod((PyObject *)self->loop, "_wake", "O", waiter);
}

static PyObject *
transport_py_pause_reading(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Transport *self = (Transport *)op;
    if (!transport_is_closing(self)) {
        self->paused = true;
        transport_update_reading(self);
    }
    Py_RETURN_NONE;
}

static PyObject *
transport_py_resume_reading(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Transport *self = (Transport *)op;
    if (!transport_is_closing(self) && self->paused) {
        self->paused = false;
        transport_update_reading(self);
    }
    Py_RETURN_NONE;
}

static PyObject *
transport_py_is_reading(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Transport *self = (Transport *)op;
    return PyBool_FromLong(!self->paused && !transport_is_closing(self));
}

/* ---- Closing ------------------------------------------------------------------------------ */

static PyObject *
transport_py_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    transport_close((Transport *)op);
    Py_RETURN_NONE;
}

static PyObject *
transport_py_abort(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    transport_force_close((Transport *)op, NULL);
    Py_RETURN_NONE;
}

static PyObject *
transport_py_force_close(PyObject *op, PyObject *exc)
{
    transport_force_close((Transport *)op, exc);
    Py_RETURN_NONE;
}

static PyObject *
transport_py_is_closing(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(transport_is_closing((Transport *)op));
}

static PyObject *
transport_py_call_connection_lost(PyObject *op, PyObject *exc)
{
    if (transport_lose((Transport *)op, exc) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- Protocol, sendfile, repr ------------------------------------------------------------- */

static PyObject *
transport_py_set_protocol(PyObject *op, PyObject *protocol)
{
    if (transport_set_protocol((Transport *)op, protocol) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
transport_py_get_protocol(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyObject *protocol = ((Transport *)op)->protocol;
    return Py_NewRef(protocol == NULL ? Py_None : protocol);
}

/* The future that loop.sendfile() awaits before it writes to the socket itself: done when the
 * queue is empty. No write may come between until _reset_empty_waiter(). */
static PyObject *
transport_py_make_empty_waiter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Transport *self = (Transport *)op;
    if (self->loop == NULL) {
        return transport_unready();
    }
    if (self->drained != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Empty waiter is already set");
        return NULL;
    }
    PyObject *future =
        PyObject_CallMethod((PyObject *)self->loop, "create_future", NULL);
    if (future == NULL) {
        return NULL;
    }
    self->drained = Py_NewRef(future);
    if (self->stream.queued == 0) {
        PyObject *res = PyObject_CallMethod(future, "set_result", "O", Py_None);
        Py_XDECREF(res);
    } else {
        stream_drain(&self->stream);
    }
    return future;
}

static PyObject *
transport_py_reset_empty_waiter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Py_CLEAR(((Transport *)op)->drained);
    Py_RETURN_NONE;
}

static PyObject *
transport_repr(PyObject *op)
{
    Transport *self = (Transport *)op;
    const char *state = "closed";
    if (self->state == TRANSPORT_OPEN) {
        state = self->paused ? "open, reading paused" : "open";
    } else if (self->fd >= 0) {
        state = "closing";
    }
    return PyUnicode_FromFormat("<%s %s, %zu bytes to write>", "StreamTransport", state,
                                self->stream.queued);
}

static PyMethodDef transport_methods[] = {
    {"get_extra_info", (PyCFunction)(void (*)(void))transport_py_get_extra_info,
     METH_VARARGS | METH_KEYWORDS, NULL},
    {"_begin", transport_py_begin, METH_O, NULL},
    {"_dup", transport_py_dup, METH_NOARGS, NULL},
    {"_owns", transport_py_owns, METH_O, NULL},
    {"pause_reading", transport_py_pause_reading, METH_NOARGS, NULL},
    {"resume_reading", transport_py_resume_reading, METH_NOARGS, NULL},
    {"is_reading", transport_py_is_reading, METH_NOARGS, NULL},
    {"write", transport_py_write, METH_O, NULL},
    {"writelines", transport_py_writelines, METH_O, NULL},
    {"write_eof", transport_py_write_eof, METH_NOARGS, NULL},
    {"can_write_eof", transport_py_can_write_eof, METH_NOARGS, NULL},
    {"get_write_buffer_size", transport_py_get_write_buffer_size, METH_NOARGS, NULL},
    {"get_write_buffer_limits", transport_py_get_write_buffer_limits, METH_NOARGS,
     NULL},
    {"set_write_buffer_limits",
     (PyCFunction)(void (*)(void))transport_py_set_write_buffer_limits,
     METH_VARARGS | METH_KEYWORDS, NULL},
    {"close", transport_py_close, METH_NOARGS, NULL},
    {"abort", transport_py_abort, METH_NOARGS, NULL},
    {"is_closing", transport_py_is_closing, METH_NOARGS, NULL},
    {"set_protocol", transport_py_set_protocol, METH_O, NULL},
    {"get_protocol", transport_py_get_protocol, METH_NOARGS, NULL},
    {"_force_close", transport_py_force_close, METH_O, NULL},
    {"_call_connection_lost", transport_py_call_connection_lost, METH_O, NULL},
    {"_make_empty_waiter", transport_py_make_empty_waiter, METH_NOARGS, NULL},
    {"_reset_empty_waiter", transport_py_reset_empty_waiter, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef transport_members[] = {
    {"_loop", T_OBJECT, offsetof(Transport, loop), READONLY, NULL},
    {"_protocol_paused", T_BOOL, offsetof(Transport, protocol_paused), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Transport, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot transport_slots[] = {
    {Py_tp_doc, "A connected stream socket as an asyncio.Transport."},
    {Py_tp_new, transport_new},
    {Py_tp_init, transport_init},
    {Py_tp_finalize, transport_finalize},
    {Py_tp_dealloc, transport_dealloc},
    {Py_tp_traverse, transport_type_traverse},
    {Py_tp_clear, transport_type_clear},
    {Py_tp_repr, transport_repr},
    {Py_tp_methods, transport_methods},
    {Py_tp_members, transport_members},
    {0, NULL},
};

static PyType_Spec transport_spec = {
    .name = "fluvial._core.StreamTransport",
    .basicsize = sizeof(Transport),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = transport_slots,
};

/* Sets the attributes of the type that loop.start_tls() and loop.sendfile() check. */
static int
transport_declare(TransportState *st)
{
    PyObject *type = (PyObject *)st->transport_type;
    PyObject *modes = NULL, *native = NULL;
    int err = -1;
    if (name_import(&modes, "asyncio.constants", "_SendfileMode") == 0) {
        native = PyObject_GetAttrString(modes, "TRY_NATIVE");
    }
    if (native != NULL) {
        err = PyObject_SetAttrString(type, "_sendfile_compatible", native);
    }
    if (err == 0) {
        err = PyObject_SetAttrString(type, "_start_tls_compatible", Py_True);
    }
    Py_XDECREF(native);
    Py_XDECREF(modes);
    return err;
}

int
transport_type_setup(PyObject *module, TransportState *st)
{
    PyTypeObject *base = (PyTypeObject *)st->asyncio_transport;
    if (base->tp_basicsize != (Py_ssize_t)offsetof(Transport, stream)) {
        PyErr_SetString(PyExc_ImportError, "asyncio's transports of this Python have a "
                                           "layout that fluvial doesn't know");
        return -1;
    }
    st->transport_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &transport_spec, st->asyncio_transport);
    if (st->transport_type == NULL || transport_declare(st) < 0) {
        return -1;
    }
    return PyModule_AddType(module, st->transport_type);
}
