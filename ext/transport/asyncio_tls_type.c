/* The Python type TlsProtocol: the methods that replace asyncio's, and the fields that they share with
 * asyncio's methods. See asyncio_tls.h.
 */
#include "base/py.h"

#include "base/flag.h"
#include "base/module.h"
#include "transport/asyncio_tls.h"

#include <structmember.h>

enum {
    RECORD_MAX = 16 * 1024
}; /* bytes of plaintext in one record, RFC 8446 section 5.1 */

/* ---- Life --------------------------------------------------------------------------------- */

static PyObject *
tls_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    PyObject *module = module_of_type(type);
    if (module == NULL) {
        return NULL;
    }
    Tls *self = (Tls *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->st = transport_state(module);
    }
    return (PyObject *)self;
}

static int
tls_traverse(PyObject *op, visitproc visit, void *arg)
{
    Tls *self = (Tls *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->state);
    Py_VISIT(self->incoming);
    Py_VISIT(self->outgoing);
    Py_VISIT(self->records);
    Py_VISIT(self->transport);
    Py_VISIT(self->app_protocol);
    Py_VISIT(self->loop);
    Py_VISIT(self->app_state);
    Py_VISIT(self->app_transport);
    Py_VISIT(self->waiter);
    Py_VISIT(self->handshake_limit);
    Py_VISIT(self->shutdown_limit);
    Py_VISIT(self->handshake_timer);
    Py_VISIT(self->shutdown_timer);
    return 0;
}

static int
tls_clear(PyObject *op)
{
    Tls *self = (Tls *)op;
    Py_CLEAR(self->state);
    Py_CLEAR(self->incoming);
    Py_CLEAR(self->outgoing);
    Py_CLEAR(self->records);
    Py_CLEAR(self->transport);
    Py_CLEAR(self->app_protocol);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->app_state);
    Py_CLEAR(self->app_transport);
    Py_CLEAR(self->waiter);
    Py_CLEAR(self->handshake_limit);
    Py_CLEAR(self->shutdown_limit);
    Py_CLEAR(self->handshake_timer);
    Py_CLEAR(self->shutdown_timer);
    return 0;
}

static void
tls_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)tls_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* ---- Methods ------------------------------------------------------------------------------ */

static PyObject *
none_or_error(int err)
{
    return err < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
tls_py_data_received(PyObject *op, PyObject *data)
{
    Tls *self = (Tls *)op;
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    int err = tls_feed(self, slice_of(view.buf, (size_t)view.len));
    PyBuffer_Release(&view);
    return none_or_error(err);
}

static PyObject *
tls_py_write(PyObject *op, PyObject *data)
{
    Tls *self = (Tls *)op;
    if (!PyBytes_Check(data) && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        return PyErr_Format(PyExc_TypeError,
                            "data: expecting a bytes-like instance, got %.200s",
                            Py_TYPE(data)->tp_name);
    }
    return tls_check_ready(self) < 0 ? NULL : none_or_error(tls_write(self, data));
}

/* For asyncio's methods that have no arguments and return None. */
static PyObject *
tls_py_do(PyObject *op, int (*step)(Tls *self))
{
    Tls *self = (Tls *)op;
    return tls_check_ready(self) < 0 ? NULL : none_or_error(step(self));
}

static PyObject *
tls_py_do_read(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return tls_py_do(op, tls_read);
}

static PyObject *
tls_py_process_outgoing(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return tls_py_do(op, tls_flush);
}

static PyObject *
tls_py_do_handshake(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return tls_py_do(op, tls_handshake);
}

static PyObject *
tls_py_do_flush(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return tls_py_do(op, tls_flush_and_shut);
}

static PyObject *
tls_py_do_shutdown(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return tls_py_do(op, tls_shut_down);
}

static PyObject *
tls_py_start_shutdown(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return tls_py_do(op, tls_start_shutdown);
}

static PyObject *
tls_py_call_eof_received(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return tls_py_do(op, tls_call_eof_received);
}

static PyObject *
tls_py_set_state(PyObject *op, PyObject *state)
{
    return none_or_error(tls_set_state((Tls *)op, state));
}

static PyObject *
tls_py_connection_made(PyObject *op, PyObject *transport)
{
    Tls *self = (Tls *)op;
    return tls_check_ready(self) < 0 ? NULL : none_or_error(tls_begin(self, transport));
}

static PyMethodDef tls_methods[] = {
    {"connection_made", tls_py_connection_made, METH_O, NULL},
    {"eof_received", tls_py_eof_received, METH_NOARGS, NULL},
    {"_call_eof_received", tls_py_call_eof_received, METH_NOARGS, NULL},
    {"_do_flush", tls_py_do_flush, METH_NOARGS, NULL},
    {"_do_handshake", tls_py_do_handshake, METH_NOARGS, NULL},
    {"_do_shutdown", tls_py_do_shutdown, METH_NOARGS, NULL},
    {"_set_state", tls_py_set_state, METH_O, NULL},
    {"_start_shutdown", tls_py_start_shutdown, METH_NOARGS, NULL},
    {"data_received", tls_py_data_received, METH_O, NULL},
    {"_do_read", tls_py_do_read, METH_NOARGS, NULL},
    {"_process_outgoing", tls_py_process_outgoing, METH_NOARGS, NULL},
    {"_write", tls_py_write, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef tls_members[] = {
    {"_state", T_OBJECT, offsetof(Tls, state), 0, NULL},
    {"_incoming", T_OBJECT, offsetof(Tls, incoming), 0, NULL},
    {"_outgoing", T_OBJECT, offsetof(Tls, outgoing), 0, NULL},
    {"_records", T_OBJECT, offsetof(Tls, records), 0, NULL},
    {"_transport", T_OBJECT, offsetof(Tls, transport), 0, NULL},
    {"_app_protocol", T_OBJECT, offsetof(Tls, app_protocol), 0, NULL},
    {"_loop", T_OBJECT, offsetof(Tls, loop), 0, NULL},
    {"_app_state", T_OBJECT, offsetof(Tls, app_state), 0, NULL},
    {"_app_transport", T_OBJECT, offsetof(Tls, app_transport), 0, NULL},
    {"_waiter", T_OBJECT, offsetof(Tls, waiter), 0, NULL},
    {"_ssl_handshake_timeout", T_OBJECT, offsetof(Tls, handshake_limit), 0, NULL},
    {"_ssl_shutdown_timeout", T_OBJECT, offsetof(Tls, shutdown_limit), 0, NULL},
    {"_handshake_timeout_handle", T_OBJECT, offsetof(Tls, handshake_timer), 0, NULL},
    {"_shutdown_timeout_handle", T_OBJECT, offsetof(Tls, shutdown_timer), 0, NULL},
    {"_write_buffer_size", T_PYSSIZET, offsetof(Tls, backlog), 0, NULL},
    {"_incoming_high_water", T_PYSSIZET, offsetof(Tls, read_high), 0, NULL},
    {"_incoming_low_water", T_PYSSIZET, offsetof(Tls, read_low), 0, NULL},
    {"_outgoing_high_water", T_PYSSIZET, offsetof(Tls, write_high), 0, NULL},
    {"_outgoing_low_water", T_PYSSIZET, offsetof(Tls, write_low), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef tls_getset[] = {
    FLAG("_server_side", Tls, server_side),
    FLAG("_eof_received", Tls, eof_received),
    FLAG("_app_protocol_is_buffer", Tls, app_buffered),
    FLAG("_app_reading_paused", Tls, app_paused),
    FLAG("_app_writing_paused", Tls, app_choked),
    FLAG("_ssl_reading_paused", Tls, below_paused),
    FLAG("_ssl_writing_paused", Tls, below_choked),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot tls_slots[] = {
    {Py_tp_doc,
     "The usual course of TLS for asyncio; asyncio's own code handles the rest."},
    {Py_tp_new, tls_new},
    {Py_tp_dealloc, tls_dealloc},
    {Py_tp_traverse, tls_traverse},
    {Py_tp_clear, tls_clear},
    {Py_tp_methods, tls_methods},
    {Py_tp_members, tls_members},
    {Py_tp_getset, tls_getset},
    {0, NULL},
};

static PyType_Spec tls_spec = {
    .name = "fluvial._core.TlsProtocol",
    .basicsize = sizeof(Tls),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = tls_slots,
};

/* ---- Set-up ------------------------------------------------------------------------------- */

int
tls_setup(PyObject *module, TransportState *st)
{
    st->record_max = PyLong_FromLong(RECORD_MAX);
    if (st->record_max == NULL || tls_state_setup(st) < 0) {
        return -1;
    }
    st->tls_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &tls_spec, NULL);
    return st->tls_type == NULL ? -1 : PyModule_AddType(module, st->tls_type);
}
