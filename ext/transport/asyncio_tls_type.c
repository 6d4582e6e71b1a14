/* The Python type TlsProtocol: the methods that replace asyncio's, and the fields that they share with
 * asyncio's methods. See asyncio_tls.h.
 */
#include "base/py.h"

#include "base/flag.h"
#include "base/module.h"
#include "base/names.h"
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

static PyMethodDef tls_methods[] = {
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
    {"_write_buffer_size", T_PYSSIZET, offsetof(Tls, backlog), 0, NULL},
    {"_incoming_high_water", T_PYSSIZET, offsetof(Tls, read_high), 0, NULL},
    {"_incoming_low_water", T_PYSSIZET, offsetof(Tls, read_low), 0, NULL},
    {"_outgoing_high_water", T_PYSSIZET, offsetof(Tls, write_high), 0, NULL},
    {"_outgoing_low_water", T_PYSSIZET, offsetof(Tls, write_low), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef tls_getset[] = {
    FLAG("_app_protocol_is_buffer", Tls, app_buffered),
    FLAG("_app_reading_paused", Tls, app_paused),
    FLAG("_app_writing_paused", Tls, app_choked),
    FLAG("_ssl_reading_paused", Tls, below_paused),
    FLAG("_ssl_writing_paused", Tls, below_choked),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot tls_slots[] = {
    {Py_tp_doc,
     "What TLS for asyncio does per record; classes in Python have the rest."},
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

/* The exceptions of ssl that ask for more data. On a Python without ssl none are: TLS is never used. */
static int
tls_setup_again(TransportState *st)
{
    if (name_import(&st->tls_again, "asyncio.sslproto", "SSLAgainErrors") < 0) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear(); /* this Python has no ssl module */
        st->tls_again = PyTuple_New(0);
    }
    return st->tls_again == NULL ? -1 : 0;
}

static int
tls_setup_states(TransportState *st)
{
    PyObject *states = NULL;
    if (name_import(&states, "asyncio.sslproto", "SSLProtocolState") < 0) {
        return -1;
    }
    st->tls_wrapped = PyObject_GetAttrString(states, "WRAPPED");
    st->tls_flushing =
        st->tls_wrapped == NULL ? NULL : PyObject_GetAttrString(states, "FLUSHING");
    Py_DECREF(states);
    return st->tls_flushing == NULL ? -1 : 0;
}

int
tls_setup(PyObject *module, TransportState *st)
{
    st->record_max = PyLong_FromLong(RECORD_MAX);
    if (st->record_max == NULL || tls_setup_again(st) < 0 || tls_setup_states(st) < 0) {
        return -1;
    }
    st->tls_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &tls_spec, NULL);
    return st->tls_type == NULL ? -1 : PyModule_AddType(module, st->tls_type);
}
