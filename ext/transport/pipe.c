/* The transports of pipes (see pipe.h). A write pipe is watched for reading, too: when it becomes
 * readable, the other end is closed.
 */
#include "base/py.h"

#include "transport/pipe.h"
#include "base/err.h"
#include "transport/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <structmember.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    GATHER = 64,           /* pieces per system call */
    READ_MAX = 256 * 1024, /* most bytes per system call */
    READ_DIRECT = 16
        * 1024, /* bytes: from this size of a read on, copying is avoided */
    READ_EXPECT = 64 * 1024, /* bytes: the usual capacity of a pipe */
};

typedef struct ReadPipe {
    Endpoint base;
    size_t expect; /* bytes expected from the next read if they are many, otherwise 0 */
    size_t most;   /* most bytes that one read can return; 0: not yet looked up */
} ReadPipe;

/* ---- Opening ------------------------------------------------------------------------------ */

/* Opens the endpoint on args = (loop, pipe, protocol, waiter, extra), makes the descriptor
 * non-blocking, and starts. 0, or -1 with an exception set: then the pipe stays the caller's. */
static int
pipe_init(Endpoint *self, const EndpointOps *ops, PyObject *args, const char *refusal)
{
    PyObject *loop, *pipe, *protocol, *waiter, *extra;
    if (!PyArg_ParseTuple(args, "OOOOO!", &loop, &pipe, &protocol, &waiter,
                          &PyDict_Type, &extra)
        || endpoint_open(self, ops, loop, pipe, protocol, extra) < 0) {
        return -1;
    }
    struct stat st;
    int flags = fstat(self->fd, &st) < 0 ? -1 : fcntl(self->fd, F_GETFL);
    if (flags < 0) {
        (void)PyErr_SetFromErrno(PyExc_OSError);
        goto fail;
    }
    if (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode) && !S_ISCHR(st.st_mode)) {
        PyErr_SetString(PyExc_ValueError, refusal);
        goto fail;
    }
    if (fcntl(self->fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        (void)PyErr_SetFromErrno(PyExc_OSError);
        goto fail;
    }
    if (PyDict_SetItemString(self->extra, "pipe", pipe) < 0) {
        goto fail;
    }
    self->unwatched = ops->on_writable != NULL && S_ISCHR(st.st_mode);
    return endpoint_start(self, waiter);
fail:
    self->state = ENDPOINT_LOST;
    return -1;
}

static bool
errno_is_transient(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* ---- Reading ------------------------------------------------------------------------------ */

/* Calls data_received(). `data` is stolen; it may be NULL with an exception set. */
static void
read_pipe_received(Endpoint *self, PyObject *data)
{
    PyObject *res = NULL;
    if (data != NULL) {
        res = endpoint_call(self, self->st->str_data_received, data, NULL);
        Py_DECREF(data);
    }
    if (res == NULL) {
        endpoint_report(self, "protocol.data_received() failed");
    }
    Py_XDECREF(res);
}

static void
read_pipe_ended(Endpoint *self)
{
    PyObject *method = PyObject_GetAttr(self->protocol, self->st->str_eof_received);
    if (method == NULL || loop_call_soon(self->loop, method, NULL, self->context) < 0) {
        loop_report(self->loop, "Calling eof_received() of a pipe's protocol failed");
    }
    Py_XDECREF(method);
    endpoint_force_close(self, NULL);
}

/* EIO is the usual end of a pseudo-terminal, so it isn't reported as an error of the protocol. */
static void
read_pipe_failed(Endpoint *self)
{
    int err = errno;
    (void)PyErr_SetFromErrno(PyExc_OSError);
    if (err != EIO) {
        PyObject *exc = err_take();
        err_restore(Py_NewRef(exc));
        endpoint_report(self, "Fatal read error on pipe transport");
        endpoint_force_close(self, exc);
        Py_DECREF(exc);
    } else {
        endpoint_fail(self, "Fatal read error on pipe transport");
    }
}

/* Reads into the loop's buffer, or directly into a bytes object if much is expected. Returns the result
 * of read(2). If it is positive, *data is a new reference, or NULL with an exception set. */
static ssize_t
read_pipe_read(ReadPipe *self, PyObject **data)
{
    ssize_t n;
    *data = NULL;
    if (self->expect == 0) {
        uv_buf_t buffer = loop_read_buffer(self->base.loop);
        n = read(self->base.fd, buffer.base, Py_MIN(buffer.len, READ_MAX));
        if (n > 0) {
            *data = PyBytes_FromStringAndSize(buffer.base, n);
        }
    } else {
        *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)self->expect);
        if (*data == NULL) {
            return 1; /* an exception is set */
        }
        n = read(self->base.fd, PyBytes_AS_STRING(*data), self->expect);
        int err = errno;
        if (n <= 0) {
            Py_CLEAR(*data);
        } else if ((size_t)n < self->expect) {
            (void)_PyBytes_Resize(data, n);
        }
        errno = err;
    }
    return n;
}

/* The capacity of a pipe in bytes, at most READ_MAX; READ_MAX for other files. */
static size_t
pipe_capacity(int fd)
{
#ifdef F_GETPIPE_SZ
    int size = fcntl(fd, F_GETPIPE_SZ);
    if (size > 0) {
        return Py_MIN((size_t)size, READ_MAX);
    }
#else
    (void)fd;
#endif
    return READ_MAX;
}

/* Adapts `expect` after a read of `n` bytes. */
static void
read_pipe_adapt(ReadPipe *self, size_t n)
{
    if (n < READ_DIRECT) {
        self->expect = 0;
        return;
    }
    if (self->most == 0) {
        self->most = pipe_capacity(self->base.fd);
    }
    if (self->expect == 0) {
        self->expect = Py_MIN(Py_MAX(n, READ_EXPECT), self->most);
    } else if (n == self->expect) {
        self->expect = Py_MIN(2 * n, self->most);
    } else if (n < self->expect / 2) {
        self->expect /= 2;
    }
}

static void
read_pipe_on_readable(PyObject *op)
{
    ReadPipe *self = (ReadPipe *)op;
    if (endpoint_check_fd(&self->base) < 0) {
        endpoint_fail(&self->base, "Fatal read error on pipe transport");
        return;
    }
    PyObject *data;
    ssize_t n = read_pipe_read(self, &data);
    if (n > 0) {
        read_pipe_adapt(self, (size_t)n);
        read_pipe_received(&self->base, data);
    } else if (n == 0) {
        read_pipe_ended(&self->base);
    } else if (!errno_is_transient()) {
        read_pipe_failed(&self->base);
    }
}

static const EndpointOps read_pipe_ops = {.on_readable = read_pipe_on_readable};

static int
read_pipe_init(PyObject *op, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    return pipe_init((Endpoint *)op, &read_pipe_ops, args,
                     "Pipe transport is for pipes/sockets only.");
}

/* ---- Writing ------------------------------------------------------------------------------ */

static const char write_failed[] = "Fatal write error on pipe transport";

/* The reader has gone. Queued bytes are lost: connection_lost gets a BrokenPipeError then. */
static void
write_pipe_on_readable(PyObject *op)
{
    Endpoint *self = (Endpoint *)op;
    PyObject *exc = NULL;
    if (!pieces_empty(&self->queue)) {
        errno = EPIPE;
        (void)PyErr_SetFromErrno(PyExc_OSError);
        exc = err_take();
    }
    endpoint_force_close(self, exc);
    Py_XDECREF(exc);
}

static ssize_t
write_pipe_gather(Endpoint *self)
{
    struct iovec parts[GATHER];
    int count = 0;
    for (const Piece *piece = self->queue.first; piece != NULL && count < GATHER;
         piece = piece->next) {
        parts[count++] = (struct iovec){(void *)piece_ptr(piece), piece_len(piece)};
    }
    return writev(self->fd, parts, count);
}

static void
write_pipe_on_writable(PyObject *op)
{
    Endpoint *self = (Endpoint *)op;
    if (endpoint_check_fd(self) < 0) {
        endpoint_fail(self, write_failed);
        return;
    }
    ssize_t n = write_pipe_gather(self);
    if (n >= 0) {
        pieces_consume(&self->queue, (size_t)n);
        endpoint_wrote(self);
    } else if (!errno_is_transient()) {
        (void)PyErr_SetFromErrno(PyExc_OSError);
        endpoint_fail(self, write_failed);
    }
}

static const EndpointOps write_pipe_ops = {
    .on_readable = write_pipe_on_readable,
    .on_writable = write_pipe_on_writable,
    .watched_while_flushing = true,
};

static int
write_pipe_init(PyObject *op, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    return pipe_init((Endpoint *)op, &write_pipe_ops, args,
                     "Pipe transport is only for pipes, sockets and character devices");
}

/* Writes as much of `view` as the pipe takes now. Returns the number of bytes; -1 with an exception
 * set. */
static ssize_t
write_pipe_now(Endpoint *self, const Py_buffer *view)
{
    if (!pieces_empty(&self->queue)) {
        return 0;
    }
    if (endpoint_check_fd(self) < 0) {
        return -1;
    }
    ssize_t n = write(self->fd, view->buf, (size_t)view->len);
    if (n < 0 && errno_is_transient()) {
        return 0;
    }
    if (n < 0) {
        (void)PyErr_SetFromErrno(PyExc_OSError);
    }
    return n;
}

static PyObject *
write_pipe_py_write(PyObject *op, PyObject *data)
{
    Endpoint *self = (Endpoint *)op;
    if (!PyBytes_Check(data) && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        return PyErr_Format(PyExc_TypeError,
                            "data argument must be a bytes-like object, not '%.200s'",
                            Py_TYPE(data)->tp_name);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    Py_ssize_t len = view.len;
    if (len == 0 || self->state != ENDPOINT_OPEN || loop_is_forked(self->loop)) {
        PyBuffer_Release(&view);
        Py_RETURN_NONE;
    }
    ssize_t n = write_pipe_now(self, &view);
    PyBuffer_Release(&view);
    if (n < 0) {
        endpoint_fail(self, write_failed);
    } else if (n < len && endpoint_queue(self, data, (size_t)n, NULL) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
write_pipe_py_write_eof(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    endpoint_close((Endpoint *)op);
    Py_RETURN_NONE;
}

static PyObject *
write_pipe_py_can_write_eof(PyObject *Py_UNUSED(op), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

/* ---- The types ---------------------------------------------------------------------------- */

static PyMemberDef pipe_members[] = {
    {"_pipe", T_OBJECT, offsetof(Endpoint, file), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef read_pipe_methods[] = {
    {"pause_reading", endpoint_py_pause_reading, METH_NOARGS, NULL},
    {"resume_reading", endpoint_py_resume_reading, METH_NOARGS, NULL},
    {"is_reading", endpoint_py_is_reading, METH_NOARGS, NULL},
    {"_read_ready", endpoint_py_read_ready, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot read_pipe_slots[] = {
    {Py_tp_doc, "The readable end of a pipe as an asyncio.ReadTransport."},
    {Py_tp_init, read_pipe_init},
    {Py_tp_dealloc, endpoint_dealloc},
    {Py_tp_traverse, endpoint_traverse},
    {Py_tp_clear, endpoint_clear},
    {Py_tp_methods, read_pipe_methods},
    {Py_tp_members, pipe_members},
    {0, NULL},
};

static PyType_Spec read_pipe_spec = {
    .name = "fluvial._core.ReadPipeTransport",
    .basicsize = sizeof(ReadPipe),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = read_pipe_slots,
};

static PyMethodDef write_pipe_methods[] = {
    {"write", write_pipe_py_write, METH_O, NULL},
    {"write_eof", write_pipe_py_write_eof, METH_NOARGS, NULL},
    {"can_write_eof", write_pipe_py_can_write_eof, METH_NOARGS, NULL},
    {"abort", endpoint_py_abort, METH_NOARGS, NULL},
    {"get_write_buffer_size", endpoint_py_get_write_buffer_size, METH_NOARGS, NULL},
    {"get_write_buffer_limits", endpoint_py_get_write_buffer_limits, METH_NOARGS, NULL},
    {"set_write_buffer_limits",
     (PyCFunction)(void (*)(void))endpoint_py_set_write_buffer_limits,
     METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot write_pipe_slots[] = {
    {Py_tp_doc,
     "The writable end of a pipe as an asyncio.Transport, as asyncio's own is."},
    {Py_tp_init, write_pipe_init},
    {Py_tp_dealloc, endpoint_dealloc},
    {Py_tp_traverse, endpoint_traverse},
    {Py_tp_clear, endpoint_clear},
    {Py_tp_methods, write_pipe_methods},
    {Py_tp_members, pipe_members},
    {0, NULL},
};

static PyType_Spec write_pipe_spec = {
    .name = "fluvial._core.WritePipeTransport",
    .basicsize = sizeof(Endpoint),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = write_pipe_slots,
};

int
pipe_setup(PyObject *module)
{
    if (endpoint_add_type(module, &read_pipe_spec, "ReadTransport", NULL) < 0) {
        return -1;
    }
    return endpoint_add_type(module, &write_pipe_spec, "Transport", NULL);
}
