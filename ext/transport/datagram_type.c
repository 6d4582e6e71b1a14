/* The Python type DatagramTransport: the methods of asyncio.DatagramTransport (see datagram.h).
 */
#include "base/py.h"

#include "base/err.h"
#include "transport/datagram.h"

#include <structmember.h>

/* Since Python 3.13 asyncio also sends empty datagrams, and counts headers in the write buffer. */
#if PY_VERSION_HEX >= 0x030D0000
enum { EMPTY_IS_SENT = 1, HEADER_BYTES = 8 };
#else
enum { EMPTY_IS_SENT = 0, HEADER_BYTES = 0 };
#endif

/* ---- Life --------------------------------------------------------------------------------- */

/* As in asyncio: if the peer has a name, the transport sends only to it. If it has none (a socket pair),
 * the transport sends to it when no address is given. */
static int
datagram_find_peer(Datagram *self, PyObject *extra)
{
    PyObject *peer = PyDict_GetItemString(extra, "peername"); /* borrowed */
    if (peer == NULL || peer == Py_None) {
        return 0;
    }
    Py_INCREF(peer);
    int named = PyObject_IsTrue(peer);
    Py_DECREF(peer);
    self->connected = true;
    self->addr_ignored = named > 0;
    return named < 0 ? -1 : 0;
}

/* DatagramTransport(loop, sock, family, protocol, address, waiter, extra) */
static int
datagram_init(PyObject *op, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    Datagram *self = (Datagram *)op;
    PyObject *loop, *sock, *protocol, *address, *waiter, *extra;
    int family;
    if (!PyArg_ParseTuple(args, "OOiOOOO!:DatagramTransport", &loop, &sock, &family,
                          &protocol, &address, &waiter, &PyDict_Type, &extra)) {
        return -1;
    }
    if (!pyaddr_family_known(family)) {
        PyErr_Format(PyExc_ValueError, "datagrams of socket family %d are not known",
                     family);
        return -1;
    }
    if (endpoint_open(&self->base, &datagram_ops, loop, sock, protocol, extra) < 0) {
        return -1;
    }
    self->family = family;
    self->base.queue.overhead = HEADER_BYTES;
    if (address != Py_None) {
        self->remote = Py_NewRef(address);
    }
    if (datagram_find_peer(self, extra) < 0) {
        self->base.state = ENDPOINT_LOST;
        return -1;
    }
    return endpoint_start(&self->base, waiter);
}

static int
datagram_traverse(PyObject *op, visitproc visit, void *arg)
{
    Datagram *self = (Datagram *)op;
    Py_VISIT(self->remote);
    Py_VISIT(self->from);
    return endpoint_traverse(op, visit, arg);
}

static int
datagram_clear(PyObject *op)
{
    Datagram *self = (Datagram *)op;
    Py_CLEAR(self->remote);
    Py_CLEAR(self->from);
    return endpoint_clear(op);
}

static void
datagram_dealloc(PyObject *op)
{
    if (endpoint_dealloc_begin(op)) {
        (void)datagram_clear(op);
        endpoint_dealloc_end(op);
    }
}

/* ---- Sending ------------------------------------------------------------------------------ */

/* The arguments of sendto(data, addr=None), borrowed. 0, or -1 with an exception set. */
static int
sendto_args(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **data,
            PyObject **addr)
{
    PyObject **to[] = {data, addr};
    static const char *const names[] = {"data", "addr"};
    for (Py_ssize_t i = 0; i < nargs && i < 2; i++) {
        *to[i] = args[i];
    }
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        int which = PyUnicode_CompareWithASCIIString(name, names[0]) == 0 ? 0 : 1;
        if (*to[which] != NULL
            || PyUnicode_CompareWithASCIIString(name, names[which]) != 0) {
            PyErr_Format(PyExc_TypeError,
                         "sendto() got an unexpected keyword argument '%U'", name);
            return -1;
        }
        *to[which] = args[nargs + i];
    }
    if (*data == NULL || nargs > 2) {
        PyErr_SetString(PyExc_TypeError, "sendto() takes data and an address");
        return -1;
    }
    return 0;
}

/* Checks that `data` is bytes-like. 1 when there is something to send, 0 when not, -1 with an exception
 * set. */
static int
data_check(PyObject *data)
{
    if (PyBytes_Check(data)) {
        return EMPTY_IS_SENT || PyBytes_GET_SIZE(data) != 0;
    }
    if (!PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        PyErr_Format(PyExc_TypeError,
                     "data argument must be a bytes-like object, not '%.200s'",
                     Py_TYPE(data)->tp_name);
        return -1;
    }
    Py_ssize_t size = PyObject_Length(data);
    return size < 0 ? -1 : EMPTY_IS_SENT || size != 0;
}

/* Replaces `*addr` with the remote address of the transport. Another address is an error: -1. */
static int
datagram_use_remote(Datagram *self, PyObject **addr)
{
    if (*addr != NULL && *addr != Py_None) {
        int same = PyObject_RichCompareBool(*addr, self->remote, Py_EQ);
        if (same < 0) {
            return -1;
        }
        if (same == 0) {
            PyErr_Format(PyExc_ValueError, "Invalid address: must be None or %R",
                         self->remote);
            return -1;
        }
    }
    *addr = self->remote;
    return 0;
}

/* Handles a send that failed at once. An exception of error_received() is raised to the caller. */
static PyObject *
datagram_send_failed(Datagram *self)
{
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        if (err_is_fatal()) {
            return NULL;
        }
        endpoint_fail(&self->base, "Fatal write error on datagram transport");
        Py_RETURN_NONE;
    }
    PyObject *exc = err_take();
    PyObject *res = PyObject_CallMethodOneArg(self->base.protocol,
                                              self->base.st->str_error_received, exc);
    Py_DECREF(exc);
    if (res == NULL) {
        return NULL;
    }
    Py_DECREF(res);
    Py_RETURN_NONE;
}

static PyObject *
datagram_py_sendto(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    Datagram *self = (Datagram *)op;
    PyObject *data = NULL, *addr = NULL;
    if (sendto_args(args, nargs, kwnames, &data, &addr) < 0) {
        return NULL;
    }
    int some = data_check(data);
    if (some <= 0) {
        return some < 0 ? NULL : Py_NewRef(Py_None);
    }
    if (self->remote != NULL && datagram_use_remote(self, &addr) < 0) {
        return NULL;
    }
    bool open =
        self->base.state == ENDPOINT_OPEN || self->base.state == ENDPOINT_FLUSHING;
    if (!open || loop_is_forked(self->base.loop)) {
        Py_RETURN_NONE;
    }
    if (pieces_empty(&self->base.queue)) {
        switch (datagram_send(self, data, addr)) {
        case SEND_DONE:
            Py_RETURN_NONE;
        case SEND_FAILED:
            return datagram_send_failed(self);
        case SEND_BLOCKED:
            break;
        }
    }
    if (endpoint_queue(&self->base, data, 0, addr) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- The type ----------------------------------------------------------------------------- */

static PyMethodDef datagram_methods[] = {
    {"sendto", (PyCFunction)(void (*)(void))datagram_py_sendto,
     METH_FASTCALL | METH_KEYWORDS, NULL},
    {"pause_reading", endpoint_py_pause_reading, METH_NOARGS, NULL},
    {"resume_reading", endpoint_py_resume_reading, METH_NOARGS, NULL},
    {"is_reading", endpoint_py_is_reading, METH_NOARGS, NULL},
    {"abort", endpoint_py_abort, METH_NOARGS, NULL},
    {"get_write_buffer_size", endpoint_py_get_write_buffer_size, METH_NOARGS, NULL},
    {"get_write_buffer_limits", endpoint_py_get_write_buffer_limits, METH_NOARGS, NULL},
    {"set_write_buffer_limits",
     (PyCFunction)(void (*)(void))endpoint_py_set_write_buffer_limits,
     METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef datagram_members[] = {
    {"_sock", T_OBJECT, offsetof(Datagram, base.file), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot datagram_slots[] = {
    {Py_tp_doc, "A datagram socket as an asyncio.DatagramTransport."},
    {Py_tp_init, datagram_init},
    {Py_tp_dealloc, datagram_dealloc},
    {Py_tp_traverse, datagram_traverse},
    {Py_tp_clear, datagram_clear},
    {Py_tp_methods, datagram_methods},
    {Py_tp_members, datagram_members},
    {0, NULL},
};

static PyType_Spec datagram_spec = {
    .name = "fluvial._core.DatagramTransport",
    .basicsize = sizeof(Datagram),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = datagram_slots,
};

int
datagram_setup(PyObject *module)
{
    /* asyncio's own datagram transport also derives from asyncio.Transport. */
    return endpoint_add_type(module, &datagram_spec, "DatagramTransport", "Transport");
}
