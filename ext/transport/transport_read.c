/* The reading half of a transport (see transport.h): bytes go to data_received(), directly into a
 * BufferedProtocol's buffer, or to TLS or a StreamReader in C. Called from within the poll, with the GIL.
 *
 * A transport whose last read was large reads directly into a bytes object of about that size. Others
 * read into the loop's one buffer and copy, so that an idle connection has no memory of its own.
 */
#include "base/py.h"

#include "transport/transport.h"
#include "base/spare.h"
#include "base/view.h"
#include "transport/reader.h"
#include "transport/asyncio_tls.h"

enum {
    BULK_MIN = 32 * 1024,  /* bytes: from this size of a read on, copying is avoided */
    BULK_MAX = 256 * 1024, /* most bytes of one read */
    PAGE = 4096,
};

/* ---- Buffers ------------------------------------------------------------------------------ */

/* A BufferedProtocol's buffer for the next read. */
static int
protocol_get_buffer(Transport *self)
{
    PyObject *hint = PyLong_FromLong(-1);
    if (hint == NULL) {
        return -1;
    }
    PyObject *buffer = transport_call(self, self->st->str_get_buffer, hint);
    Py_DECREF(hint);
    if (buffer == NULL) {
        return -1;
    }
    int err = PyObject_GetBuffer(buffer, &self->view, PyBUF_WRITABLE);
    Py_DECREF(buffer);
    if (err == 0 && self->view.len == 0) {
        view_release(&self->view);
        PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
        return -1;
    }
    return err;
}

/* The buffer for the next read: a bytes object if it is expected to be large, otherwise the loop's. */
static uv_buf_t
bulk_buffer(Transport *self)
{
    if (self->bulk != 0) {
        char *room = spare_reserve(&loop_spares(self->loop)->bulk, self->bulk);
        if (room != NULL) {
            return uv_buf_init(room, self->bulk);
        }
        PyErr_Clear(); /* MemoryError: the loop's buffer serves as well */
    }
    return loop_read_buffer(self->loop);
}

/* Adapts the size of the next large read to the last one, which gave `len` bytes. */
static void
bulk_adapt(Transport *self, size_t len)
{
    if (len < BULK_MIN) {
        self->bulk = 0;
    } else {
        size_t want = (len + len / 4 + PAGE) & ~(size_t)(PAGE - 1);
        self->bulk = (unsigned)Py_MIN(want, BULK_MAX);
    }
}

void
transport_on_alloc(Stream *s, uv_buf_t *buf)
{
    Transport *self = transport_of(s);
    if (!self->buffered) {
        *buf = bulk_buffer(self);
        return;
    }
    view_release(&self->view);
    if (protocol_get_buffer(self) < 0) {
        transport_fail(self, "Fatal error: protocol.get_buffer() call failed.");
        return;
    }
    if (s->reading) {
        *buf = uv_buf_init(self->view.buf, (unsigned)Py_MIN(self->view.len, INT32_MAX));
    }
}

/* ---- Delivery ----------------------------------------------------------------------------- */

/* `data` as a bytes object: the one that it was read into, if that is at least half full; otherwise a
 * copy. */
static SpareBytes
bulk_bytes_of(LoopSpares *spares, Slice data)
{
    SpareBytes *bulk = &spares->bulk;
    bool direct = bulk->bytes != NULL && data.ptr == PyBytes_AS_STRING(bulk->bytes);
    if (direct && data.len >= bulk->room / 2) {
        return spare_take(bulk, data.len);
    }
    return spare_copy(&spares->small, data);
}

static void
protocol_data_received(Transport *self, Slice data)
{
    LoopSpares *spares = loop_spares(self->loop);
    SpareBytes *spare = data.len < BULK_MIN ? &spares->small : &spares->bulk;
    SpareBytes bytes = bulk_bytes_of(spares, data);
    bulk_adapt(self, data.len);
    PyObject *res = NULL;
    if (bytes.bytes != NULL) {
        res = transport_call(self, self->st->str_data_received, bytes.bytes);
    }
    if (res == NULL) {
        transport_fail(self, "Fatal error: protocol.data_received() call failed.");
    }
    Py_XDECREF(res);
    spare_give(spare, bytes);
}

static void
protocol_buffer_updated(Transport *self, size_t size)
{
    PyObject *n = PyLong_FromSize_t(size);
    PyObject *res = NULL;
    if (n != NULL) {
        res = transport_call(self, self->st->str_buffer_updated, n);
        Py_DECREF(n);
    }
    if (res == NULL) {
        transport_fail(self, "Fatal error: protocol.buffer_updated() call failed.");
    }
    Py_XDECREF(res);
}

/* Passes the bytes to TLS without copying. */
static void
protocol_feed(Transport *self, Slice data)
{
    int err = PyContext_Enter(self->context);
    if (err == 0) {
        PyObject *protocol = Py_NewRef(self->protocol);
        err = tls_feed((Tls *)protocol, data);
        Py_DECREF(protocol);
        err = PyContext_Exit(self->context) < 0 ? -1 : err;
    }
    if (err < 0) {
        transport_fail(self, "Fatal error: protocol.buffer_updated() call failed.");
    }
}

/* Passes the bytes to a StreamReader, without a bytes object. False if they must go through
 * data_received(). */
static bool
protocol_fed_reader(Transport *self, Slice data)
{
    ReaderFed fed = READER_FAILED;
    if (PyContext_Enter(self->context) == 0) {
        PyObject *protocol = Py_NewRef(self->protocol);
        fed = reader_feed(self->st, protocol, data);
        Py_DECREF(protocol);
        if (PyContext_Exit(self->context) < 0) {
            fed = READER_FAILED;
        }
    }
    if (unlikely(fed == READER_FAILED)) {
        transport_fail(self, "Fatal error: protocol.data_received() call failed.");
    }
    return fed != READER_REFUSED;
}

void
transport_on_data(Stream *s, Slice data)
{
    Transport *self = transport_of(s);
    Py_INCREF(self);
    if (self->tls) {
        protocol_feed(self, data);
    } else if (self->view.obj == NULL || !self->buffered) {
        if (!self->reader || !protocol_fed_reader(self, data)) {
            protocol_data_received(self, data);
        }
    } else {
        view_release(&self->view);
        protocol_buffer_updated(self, data.len);
    }
    Py_DECREF(self);
}

void
transport_on_eof(Stream *s)
{
    Transport *self = transport_of(s);
    Py_INCREF(self);
    view_release(&self->view);
    PyObject *res = transport_call(self, self->st->str_eof_received, NULL);
    int keep_open = res == NULL ? -1 : PyObject_IsTrue(res);
    Py_XDECREF(res);
    if (keep_open < 0) {
        transport_fail(self, "Fatal error: protocol.eof_received() call failed.");
    } else if (keep_open == 0) {
        transport_close(self);
    }
    Py_DECREF(self);
}
