/* Passes records between the transport below and the application above (see asyncio_tls.h). What
 * asyncio's SSLProtocol does per record is done here. For rarer things its own methods are called: the
 * backlog, pausing and resuming at the limits, errors.
 */
#include "base/py.h"

#include "transport/asyncio_tls.h"
#include "base/err.h"
#include "transport/transport.h"

int
tls_check_ready(Tls *self)
{
    if (self->incoming != NULL && self->outgoing != NULL && self->records != NULL) {
        return 0;
    }
    PyErr_SetString(PyExc_RuntimeError, "the TLS protocol was not initialised");
    return -1;
}

/* ---- Calls -------------------------------------------------------------------------------- */

/* self.<name>() of asyncio's class. 0 or -1. */
static int
tls_call(Tls *self, PyObject *name)
{
    PyObject *res = PyObject_CallMethodNoArgs((PyObject *)self, name);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* Whether the call that has failed only needs more bytes from the peer. If so, the exception is
 * cleared. */
static bool
tls_wants_more(Tls *self)
{
    if (!PyErr_ExceptionMatches(self->st->tls_again)) {
        return false;
    }
    PyErr_Clear(); /* SSLWantReadError and the like: no error, the call is repeated later */
    return true;
}

/* Closes the connection because of the exception that is set: 0. An exception that isn't an Exception,
 * such as KeyboardInterrupt, stays set: -1. */
static int
tls_fail(Tls *self)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyObject *exc = err_take();
    PyObject *res = PyObject_CallMethod((PyObject *)self, "_fatal_error", "Os", exc,
                                        "Fatal error on SSL protocol");
    Py_DECREF(exc);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* A MemoryBIO's `pending` in bytes; -1 with an exception set. */
static Py_ssize_t
bio_pending(Tls *self, PyObject *bio)
{
    PyObject *size = PyObject_GetAttr(bio, self->st->str_pending);
    if (size == NULL) {
        return -1;
    }
    Py_ssize_t n = PyLong_AsSsize_t(size);
    Py_DECREF(size);
    return n;
}

/* The bytes that can be read without waiting: whole and incomplete records, and the rest of a record that
 * was read in part. -1 with an exception set. */
static Py_ssize_t
tls_unread(Tls *self)
{
    Py_ssize_t n = bio_pending(self, self->incoming);
    if (n != 0) {
        return n;
    }
    PyObject *rest = PyObject_CallMethodNoArgs(self->records, self->st->str_pending);
    if (rest == NULL) {
        return -1;
    }
    n = PyLong_AsSsize_t(rest);
    Py_DECREF(rest);
    return n;
}

/* ---- Down --------------------------------------------------------------------------------- */

static int
tls_send(Tls *self, PyObject *data)
{
    PyObject *below = self->transport;
    if (below == NULL || below == Py_None) {
        return 0; /* lost */
    }
    PyObject *res;
    Py_INCREF(below);
    if (Py_IS_TYPE(below, self->st->transport_type)) {
        res = transport_py_write(below, data);
    } else {
        res = PyObject_CallMethodOneArg(below, self->st->str_write, data);
    }
    Py_DECREF(below);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* Lets asyncio call pause_writing() or resume_writing() when a limit is crossed. */
static int
tls_control_writing(Tls *self)
{
    Py_ssize_t size = self->backlog;
    if (self->below_choked) {
        Py_ssize_t pending = bio_pending(self, self->outgoing);
        if (pending < 0) {
            return -1;
        }
        size += pending;
    }
    bool due = self->app_choked ? size <= self->write_low : size >= self->write_high;
    return due ? tls_call(self, self->st->str_control_app_writing) : 0;
}

int
tls_flush(Tls *self)
{
    if (!self->below_choked) {
        PyObject *data = PyObject_CallMethodNoArgs(self->outgoing, self->st->str_read);
        if (data == NULL) {
            return -1;
        }
        int err = PyBytes_GET_SIZE(data) == 0 ? 0 : tls_send(self, data);
        Py_DECREF(data);
        if (err < 0) {
            return -1;
        }
    }
    return tls_control_writing(self);
}

/* Leaves `data` (stolen, may be NULL with an exception set) to asyncio, which keeps what can't be
 * encrypted yet, and drops what is written after close(). */
static int
tls_write_slowly(Tls *self, PyObject *data)
{
    PyObject *list = data == NULL ? NULL : PyTuple_Pack(1, data);
    Py_XDECREF(data);
    if (list == NULL) {
        return -1;
    }
    PyObject *res =
        PyObject_CallMethodOneArg((PyObject *)self, self->st->str_write_appdata, list);
    Py_DECREF(list);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* Encrypts `data`. Returns the number of bytes that were encrypted; -1 with an exception set. */
static Py_ssize_t
records_write(Tls *self, PyObject *data)
{
    PyObject *count =
        PyObject_CallMethodOneArg(self->records, self->st->str_write, data);
    if (count == NULL) {
        return tls_wants_more(self) ? 0 : -1;
    }
    Py_ssize_t n = PyLong_AsSsize_t(count);
    Py_DECREF(count);
    return n;
}

/* Writes `data`, whose buffer is `view`. 0 or -1. */
static int
tls_write_some(Tls *self, PyObject *data, const Py_buffer *view)
{
    Py_ssize_t done = 0;
    if (self->state == self->st->tls_wrapped && self->backlog == 0) {
        done = records_write(self, data);
    }
    if (done < 0) {
        return -1;
    }
    if (done == view->len) {
        return tls_flush(self);
    }
    const char *rest = (const char *)view->buf + done;
    return tls_write_slowly(self, PyBytes_FromStringAndSize(rest, view->len - done));
}

int
tls_write(Tls *self, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    int err = view.len == 0 ? 0 : tls_write_some(self, data, &view);
    PyBuffer_Release(&view);
    return err < 0 ? tls_fail(self) : 0;
}

/* ---- Up ----------------------------------------------------------------------------------- */

/* Calls app_protocol.<name>(arg). `arg` (stolen) may be NULL with an exception set. A new reference. */
static PyObject *
app_call(Tls *self, PyObject *name, PyObject *arg)
{
    if (arg == NULL) {
        return NULL;
    }
    PyObject *app =
        Py_NewRef(self->app_protocol == NULL ? Py_None : self->app_protocol);
    PyObject *res = PyObject_CallMethodOneArg(app, name, arg);
    Py_DECREF(app);
    Py_DECREF(arg);
    return res;
}

/* The peer's close_notify has arrived. */
static int
tls_ended(Tls *self)
{
    int err = tls_call(self, self->st->str_call_eof_received);
    return err < 0 ? -1 : tls_call(self, self->st->str_start_shutdown);
}

/* The next record as bytes; empty for close_notify. NULL without an exception when there is none yet; NULL
 * with an exception on an error. */
static PyObject *
records_next(Tls *self)
{
    PyObject *argv[] = {self->records, self->st->record_max};
    PyObject *data = PyObject_VectorcallMethod(self->st->str_read, argv, 2, NULL);
    if (data == NULL) {
        (void)tls_wants_more(self);
    } else if (!PyBytes_Check(data)) {
        PyErr_Format(PyExc_TypeError, "%.200s.read() returned %.200s, not bytes",
                     Py_TYPE(self->records)->tp_name, Py_TYPE(data)->tp_name);
        Py_CLEAR(data);
    }
    return data;
}

/* Collects records. The first `data` (stolen) becomes *first. From the second on, all of them are in the
 * list *more, including the first. 0 or -1. */
static int
records_gather(PyObject **first, PyObject **more, PyObject *data)
{
    if (*first == NULL) {
        *first = data;
        return 0;
    }
    if (*more == NULL) {
        *more = PyList_New(1);
        if (*more == NULL) {
            Py_DECREF(data);
            return -1;
        }
        PyList_SET_ITEM(*more, 0, Py_NewRef(*first));
    }
    int err = PyList_Append(*more, data);
    Py_DECREF(data);
    return err;
}

/* Reads all available records into *first and *more, as records_gather does. Sets *ended after
 * close_notify. May return -1 with an exception set after it has read some records. */
static int
records_read(Tls *self, PyObject **first, PyObject **more, bool *ended)
{
    Py_ssize_t unread;
    do {
        PyObject *data = records_next(self);
        if (data == NULL) {
            return PyErr_Occurred() ? -1 : 0;
        }
        if (PyBytes_GET_SIZE(data) == 0) {
            Py_DECREF(data);
            *ended = true;
            return 0;
        }
        if (records_gather(first, more, data) < 0) {
            return -1;
        }
        unread = bio_pending(self, self->incoming);
    } while (unread > 0);
    return (int)unread;
}

/* For a Protocol: one data_received() with all records that have arrived. Those before a broken record are
 * delivered, too. */
static int
tls_read_bytes(Tls *self)
{
    PyObject *first = NULL, *more = NULL;
    bool ended = false;
    int err = records_read(self, &first, &more, &ended);
    PyObject *failure = err < 0 ? err_take() : NULL;
    if (more != NULL) {
        Py_XSETREF(first, PyObject_CallMethodOneArg(self->st->empty_bytes,
                                                    self->st->str_join, more));
        Py_DECREF(more);
        err = first == NULL ? -1 : 0;
    }
    if (first != NULL) {
        PyObject *res = app_call(self, self->st->str_data_received, first);
        Py_XDECREF(res);
        err = res == NULL ? -1 : 0;
    }
    if (failure != NULL && !PyErr_Occurred()) {
        err_restore(failure);
        return -1;
    }
    Py_XDECREF(failure);
    return err == 0 && ended ? tls_ended(self) : err;
}

/* Reads into `buffer` (borrowed, a writable memoryview of `size` bytes). Returns the number of bytes read,
 * even if an exception is set afterwards. Sets *ended after close_notify. */
static Py_ssize_t
records_read_into(Tls *self, PyObject *buffer, Py_ssize_t size, bool *ended)
{
    Py_ssize_t done = 0;
    do {
        PyObject *rest = PySequence_GetSlice(buffer, done, size);
        PyObject *count = NULL;
        if (rest != NULL) {
            count = PyObject_CallMethod(self->records, "read", "nO", size - done, rest);
            Py_DECREF(rest);
        }
        if (count == NULL) {
            (void)tls_wants_more(self);
            return done;
        }
        Py_ssize_t n = PyLong_AsSsize_t(count);
        Py_DECREF(count);
        if (n <= 0) {
            *ended = n == 0;
            return done;
        }
        done += n;
    } while (done < size && tls_unread(self) > 0);
    return done;
}

/* For a BufferedProtocol: one get_buffer() and one buffer_updated(). 1 when the buffer was filled, 0
 * when it was not or the peer has closed, -1 with an exception set. */
static int
tls_fill_buffer(Tls *self)
{
    Py_ssize_t hint = bio_pending(self, self->incoming);
    PyObject *given =
        app_call(self, self->st->str_get_buffer, PyLong_FromSsize_t(hint));
    PyObject *buffer = given == NULL ? NULL : PyMemoryView_FromObject(given);
    Py_XDECREF(given);
    if (buffer == NULL) {
        return -1;
    }
    Py_ssize_t size = PyMemoryView_GET_BUFFER(buffer)->len;
    if (size == 0) {
        Py_DECREF(buffer);
        PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
        return -1;
    }
    bool ended = false;
    Py_ssize_t done = records_read_into(self, buffer, size, &ended);
    Py_DECREF(buffer);
    PyObject *failure = PyErr_Occurred() ? err_take() : NULL;
    int err = 0;
    if (done > 0) {
        PyObject *res =
            app_call(self, self->st->str_buffer_updated, PyLong_FromSsize_t(done));
        Py_XDECREF(res);
        err = res == NULL ? -1 : 0;
    }
    if (failure != NULL && err == 0) {
        err_restore(failure);
        return -1;
    }
    Py_XDECREF(failure);
    if (err == 0 && ended) {
        return tls_ended(self);
    }
    return err < 0 ? -1 : done == size;
}

static bool
tls_may_read(const Tls *self)
{
    TransportState *st = self->st;
    return self->state == st->tls_wrapped || self->state == st->tls_flushing;
}

/* Whether the transport below can no longer be used, as in a forked child. */
static bool
tls_is_cut_off(const Tls *self)
{
    const PyObject *below = self->transport;
    return below != NULL && Py_IS_TYPE(below, self->st->transport_type)
           && ((const Transport *)below)->stream.failed;
}

static int
tls_read_buffers(Tls *self)
{
    Py_ssize_t unread;
    int filled;
    do {
        filled = tls_fill_buffer(self);
        if (filled <= 0) {
            return filled;
        }
        unread = tls_unread(self);
    } while (unread > 0 && !self->app_paused && self->app_buffered && tls_may_read(self)
             && !tls_is_cut_off(self));
    return unread < 0 ? -1 : 0;
}

/* Lets asyncio pause or resume reading from the transport below when a limit is crossed. */
static int
tls_control_reading(Tls *self)
{
    Py_ssize_t size = bio_pending(self, self->incoming);
    if (size < 0) {
        return -1;
    }
    bool due = self->below_paused ? size <= self->read_low : size >= self->read_high;
    return due ? tls_call(self, self->st->str_control_ssl_reading) : 0;
}

static int
tls_try_read(Tls *self)
{
    if (!self->app_paused) {
        Py_ssize_t unread = tls_unread(self);
        int err = unread < 0 ? -1 : 0;
        if (unread > 0) {
            err = self->app_buffered ? tls_read_buffers(self) : tls_read_bytes(self);
        }
        if (err == 0) {
            err = self->backlog == 0 ? tls_flush(self)
                                     : tls_call(self, self->st->str_do_write);
        }
        if (err < 0) {
            return -1;
        }
    }
    return tls_control_reading(self);
}

int
tls_read(Tls *self)
{
    if (!tls_may_read(self)) {
        return 0;
    }
    return tls_try_read(self) < 0 ? tls_fail(self) : 0;
}

static int
incoming_write(Tls *self, Slice data)
{
    PyObject *view =
        PyMemoryView_FromMemory((char *)data.ptr, (Py_ssize_t)data.len, PyBUF_READ);
    if (view == NULL) {
        return -1;
    }
    PyObject *res =
        PyObject_CallMethodOneArg(self->incoming, self->st->str_write, view);
    Py_DECREF(view);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* asyncio's buffer_updated(0) takes the next step of the handshake or the shutdown. 0 or -1. */
static int
tls_step(Tls *self)
{
    PyObject *res = PyObject_CallMethod((PyObject *)self, "buffer_updated", "i", 0);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

int
tls_feed(Tls *self, Slice data)
{
    if (tls_check_ready(self) < 0 || incoming_write(self, data) < 0) {
        return -1;
    }
    if (self->state == self->st->tls_wrapped) {
        return tls_read(self);
    }
    return tls_step(self);
}
