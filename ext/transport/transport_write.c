/* The writing half of a StreamTransport's methods: data, end of file, and the limits of the
 * write buffer. See transport.h.
 */
#include "base/py.h"

#include "base/err.h"
#include "transport/write_limits.h"
#include "transport/transport.h"

enum {
    GATHER_JOIN = 16 * 1024, /* bytes: writelines joins up to this much */
};

/* ---- Data --------------------------------------------------------------------------------- */

/* Whether a write may proceed: 1; 0 when it must be dropped; -1 with an exception set. */
static int
transport_may_write(Transport *self)
{
    if (self->eof) {
        PyErr_SetString(PyExc_RuntimeError, "Cannot call write() after write_eof()");
        return -1;
    }
    if (self->drained != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "unable to write; sendfile is in progress");
        return -1;
    }
    return transport_is_writable(self);
}

/* Called after a write that returned `err`. */
static void
transport_wrote(Transport *self, int err)
{
    if (err != 0) {
        (void)err_set(err);
        transport_fail(self, "Fatal write error on socket transport");
    } else {
        transport_check_high(self);
    }
}

static int
transport_write_bytes(Transport *self, PyObject *data)
{
    Slice slice = {PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data)};
    return slice.len == 0 ? 0 : stream_write_owned(&self->stream, &slice, 1, data);
}

static PyObject *
transport_write_plain(Transport *self, PyObject *data)
{
    int may = transport_may_write(self);
    if (may > 0) {
        transport_wrote(self, transport_write_bytes(self, data));
    }
    return may < 0 ? NULL : Py_NewRef(Py_None);
}

/* Gets the buffer before it checks the state, because exporting a buffer may run Python code that closes
 * the transport. */
static PyObject *
transport_write_view(Transport *self, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    int may = transport_may_write(self);
    int err = may <= 0
                  ? 0
                  : stream_write(&self->stream, slice_of(view.buf, (size_t)view.len));
    PyBuffer_Release(&view);
    if (may > 0) {
        transport_wrote(self, err);
    }
    return may < 0 ? NULL : Py_NewRef(Py_None);
}

PyObject *
transport_py_write(PyObject *op, PyObject *data)
{
    Transport *self = (Transport *)op;
    bool plain = PyBytes_Check(data);
    if (!plain && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        return PyErr_Format(PyExc_TypeError,
                            "data argument must be a bytes-like object, not '%.200s'",
                            Py_TYPE(data)->tp_name);
    }
    return plain ? transport_write_plain(self, data) : transport_write_view(self, data);
}

/* ---- Many buffers ------------------------------------------------------------------------- */

/* The argument of writelines(). */
typedef struct Parts {
    PyObject *tuple;  /* owned: the bytes-like objects */
    Py_buffer *views; /* owned memory */
    uv_buf_t *bufs;   /* owned memory: the views that aren't empty */
    Py_ssize_t held;  /* number of views */
    unsigned used;    /* number of bufs */
    size_t total;     /* bytes */
    bool plain;       /* all objects are of type bytes and can't change */
} Parts;

static void
parts_clear(Parts *parts)
{
    for (Py_ssize_t i = 0; i < parts->held; i++) {
        PyBuffer_Release(&parts->views[i]);
    }
    PyMem_Free(parts->views);
    PyMem_Free(parts->bufs);
    Py_CLEAR(parts->tuple);
}

static int
parts_add(Parts *parts, PyObject *part)
{
    Py_buffer *view = &parts->views[parts->held];
    if (PyObject_GetBuffer(part, view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    parts->held++;
    parts->plain = parts->plain && PyBytes_CheckExact(part);
    parts->total += (size_t)view->len;
    if (view->len != 0) {
        parts->bufs[parts->used++] =
            (uv_buf_t){.base = view->buf, .len = (size_t)view->len};
    }
    return 0;
}

/* Gets the buffers of all objects in `list`. 0, or -1 with an exception set. The caller must call
 * parts_clear in either case. */
static int
parts_open(Parts *parts, PyObject *list)
{
    *parts = (Parts){.plain = true};
    parts->tuple = PySequence_Tuple(list);
    if (parts->tuple == NULL) {
        return -1;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(parts->tuple);
    parts->views = PyMem_New(Py_buffer, n);
    parts->bufs = PyMem_New(uv_buf_t, n);
    if (parts->views == NULL || parts->bufs == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (parts_add(parts, PyTuple_GET_ITEM(parts->tuple, i)) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Writes all parts. Small ones are joined, which costs less than passing a list of them to the kernel.
 * Large ones are written without copying. 0 or a negative UV_E*. */
static int
transport_write_parts(Transport *self, Parts *parts)
{
    if (parts->total > GATHER_JOIN || parts->used == 1) {
        PyObject *owner = parts->plain ? parts->tuple : NULL;
        return stream_gather(&self->stream, parts->bufs, parts->used, owner);
    }
    char joined[GATHER_JOIN];
    size_t len = 0;
    for (unsigned i = 0; i < parts->used; i++) {
        memcpy(joined + len, parts->bufs[i].base, parts->bufs[i].len);
        len += parts->bufs[i].len;
    }
    return stream_write(&self->stream, slice_of(joined, len));
}

PyObject *
transport_py_writelines(PyObject *op, PyObject *list)
{
    Transport *self = (Transport *)op;
    Parts parts;
    int may = parts_open(&parts, list) < 0 ? -1 : transport_may_write(self);
    bool writes = may == 1 && parts.used != 0;
    int err = writes ? transport_write_parts(self, &parts) : 0;
    parts_clear(&parts); /* before Python code runs, which may resize a bytearray */
    if (writes) {
        transport_wrote(self, err);
    }
    return may < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- End of file -------------------------------------------------------------------------- */

PyObject *
transport_py_write_eof(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Transport *self = (Transport *)op;
    if (!self->eof && !transport_is_closing(self)) {
        self->eof = true;
        stream_shutdown(&self->stream);
    }
    Py_RETURN_NONE;
}

PyObject *
transport_py_can_write_eof(PyObject *Py_UNUSED(op), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

/* ---- Limits ------------------------------------------------------------------------------- */

PyObject *
transport_py_get_write_buffer_size(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Transport *self = (Transport *)op;
    bool gone = self->fd < 0;
    return PyLong_FromSize_t(
        gone ? 0 : uv_stream_get_write_queue_size(&self->stream.uv.stream));
}

PyObject *
transport_py_get_write_buffer_limits(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Transport *self = (Transport *)op;
    return Py_BuildValue("nn", (Py_ssize_t)self->stream.low,
                         (Py_ssize_t)self->stream.high);
}

PyObject *
transport_py_set_write_buffer_limits(PyObject *op, PyObject *args, PyObject *kwargs)
{
    Transport *self = (Transport *)op;
    if (limits_parse(args, kwargs, &self->stream.low, &self->stream.high) < 0) {
        return NULL;
    }
    self->stream.over_high =
        self->stream.over_high || self->stream.queued > self->stream.high;
    transport_check_high(self);
    Py_RETURN_NONE;
}
