/* Receiving and sending on the user's sockets (see sockop.h). An operation is tried; if it would
 * block, it waits in the loop's set of user descriptors. Data is received when the waiting task runs
 * again, so that no data is lost if the task is cancelled before. Sending continues within the poll.
 *
 * The socket may be closed at any time, so its fileno() is called before each system call.
 */
#include "base/py.h"

#include "loop/sockop.h"
#include "base/err.h"
#include "base/view.h"
#include "loop/loop_impl.h"

#include <errno.h>
#include <sys/socket.h>

typedef enum TryResult { TRY_DONE, TRY_BLOCKED, TRY_FAILED } TryResult;

static FdSide
op_side(const SocketOp *self)
{
    return self->kind == SOCK_SENDALL ? FD_WRITER : FD_READER;
}

/* ---- System calls ------------------------------------------------------------------------- */

/* The result of a failed system call, by errno. */
static TryResult
op_try_failed(void)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return TRY_BLOCKED;
    }
    (void)PyErr_SetFromErrno(PyExc_OSError);
    return TRY_FAILED;
}

/* Calls the socket's fileno() and sets `fd`, to -1 if the socket is closed. Returns the number as an
 * int object, or NULL with an exception set. */
static PyObject *
op_number(SocketOp *self)
{
    PyObject *number =
        PyObject_CallMethodNoArgs(self->sock, self->loop->st->sockops.str_fileno);
    self->fd = -1;
    if (number != NULL && PyLong_Check(number)) {
        self->fd = (int)PyLong_AsLong(number);
    }
    return number;
}

/* Updates `fd` after the buffer was requested, because that may have run Python code that closed the
 * socket. bytes, bytearray and memoryview run no such code. False with an exception set. */
static bool
op_number_again(SocketOp *self)
{
    PyObject *data = self->data;
    if (likely(PyBytes_CheckExact(data) || PyByteArray_CheckExact(data)
               || PyMemoryView_Check(data))) {
        return true;
    }
    PyObject *number = op_number(self);
    Py_XDECREF(number);
    return number != NULL;
}

static TryResult
op_recv(SocketOp *self, PyObject **result)
{
    uv_buf_t buffer = loop_read_buffer(self->loop);
    if (buffer.base == NULL) {
        (void)PyErr_NoMemory();
        return TRY_FAILED;
    }
    size_t size = Py_MIN(buffer.len, (size_t)self->size);
    ssize_t n = recv(self->fd, buffer.base, size, MSG_DONTWAIT);
    if (n < 0) {
        return op_try_failed();
    }
    *result = PyBytes_FromStringAndSize(buffer.base, n);
    return *result == NULL ? TRY_FAILED : TRY_DONE;
}

static TryResult
op_recv_into(SocketOp *self, PyObject **result)
{
    Py_buffer view;
    if (PyObject_GetBuffer(self->data, &view, PyBUF_WRITABLE) < 0) {
        PyErr_Format(PyExc_TypeError,
                     "recv_into() argument 1 must be read-write bytes-like object, "
                     "not %.200s",
                     Py_TYPE(self->data)->tp_name);
        return TRY_FAILED;
    }
    if (!op_number_again(self)) {
        PyBuffer_Release(&view);
        return TRY_FAILED;
    }
    ssize_t n = recv(self->fd, view.buf, (size_t)view.len, MSG_DONTWAIT);
    TryResult tried = n < 0 ? op_try_failed() : TRY_DONE;
    PyBuffer_Release(&view);
    if (tried == TRY_DONE) {
        *result = PyLong_FromSsize_t(n);
        tried = *result == NULL ? TRY_FAILED : TRY_DONE;
    }
    return tried;
}

static TryResult
op_sendall(SocketOp *self, PyObject **result)
{
    if (self->view.obj == NULL
        && (PyObject_GetBuffer(self->data, &self->view, PyBUF_SIMPLE) < 0
            || !op_number_again(self))) {
        return TRY_FAILED;
    }
    const char *rest = (const char *)self->view.buf + self->done;
    size_t len = (size_t)(self->view.len - self->done);
    ssize_t n = send(self->fd, rest, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        return op_try_failed();
    }
    self->done += n;
    if (self->done < self->view.len) {
        return TRY_BLOCKED;
    }
    *result = Py_NewRef(Py_None);
    return TRY_DONE;
}

/* *result is a new reference when it is done; an exception is set when it has failed. */
static TryResult
op_try(SocketOp *self, PyObject **result)
{
    *result = NULL;
    switch (self->kind) {
    case SOCK_RECV:
        return op_recv(self, result);
    case SOCK_RECV_INTO:
        return op_recv_into(self, result);
    case SOCK_SENDALL:
        return op_sendall(self, result);
    }
    Py_UNREACHABLE();
}

/* ---- Waiting ------------------------------------------------------------------------------ */

void
sockop_release(SocketOp *self)
{
    self->state = SOCKET_OP_OVER;
    if (self->future != NULL) {
        fds_rest(&self->loop->fds, self->watched, op_side(self), (PyObject *)self);
        Py_CLEAR(self->future);
    }
    view_release(&self->view); /* does nothing if there is none */
    Py_CLEAR(self->data);
    Py_CLEAR(self->sock);
}

static void
op_wake(SocketOp *self)
{
    SocketOps *st = &self->loop->st->sockops;
    PyObject *future = Py_NewRef(self->future);
    fds_rest(&self->loop->fds, self->watched, op_side(self), (PyObject *)self);
    PyObject *done = PyObject_CallMethodNoArgs(future, st->str_done);
    PyObject *res = NULL;
    if (done != NULL) { /* cancelling a task cancels its future first */
        res = done == Py_False
                  ? PyObject_CallMethodOneArg(future, st->str_set_result, Py_None)
                  : Py_NewRef(Py_None);
    }
    if (res == NULL) {
        loop_report(self->loop, "Could not wake a task whose socket is ready");
    }
    Py_XDECREF(res);
    Py_XDECREF(done);
    Py_DECREF(future);
}

/* The FdReady of receiving. */
static void
op_on_readable(PyObject *op)
{
    op_wake((SocketOp *)op);
}

/* The FdReady of sending. */
static void
op_on_writable(PyObject *op)
{
    SocketOp *self = (SocketOp *)op;
    PyObject *result = NULL;
    self->running = true;
    PyObject *number = op_number(self);
    TryResult tried = number == NULL ? TRY_FAILED : op_try(self, &result);
    self->running = false;
    Py_XDECREF(number);
    Py_XDECREF(result);
    if (tried == TRY_BLOCKED) {
        return;
    }
    if (tried == TRY_FAILED) {
        Py_XSETREF(self->error, err_take());
    }
    op_wake(self);
}

/* RuntimeError and -1 if a transport uses the socket. */
static int
op_check_free(SocketOp *self, PyObject *number)
{
    Loop *loop = self->loop;
    SocketOps *st = &loop->st->sockops;
    if (loop->taken == NULL) {
        PyObject *transports = PyObject_GetAttr((PyObject *)loop, st->str_transports);
        if (transports == NULL) {
            return -1;
        }
        loop->taken = PyObject_GetAttr(transports, st->str_data);
        Py_DECREF(transports);
        if (loop->taken == NULL) {
            return -1;
        }
    }
    int found = PySequence_Contains(loop->taken, number);
    if (likely(found == 0)) {
        return 0;
    }
    PyObject *res =
        found < 0 ? NULL
                  : PyObject_CallMethodOneArg((PyObject *)loop,
                                              st->str_ensure_no_transport, number);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* Makes the loop watch the socket. Returns the future for the task to await; NULL with an exception
 * set. */
static PyObject *
op_wait(SocketOp *self, PyObject *number)
{
    SocketOps *st = &self->loop->st->sockops;
    if (loop_check_open(self->loop) < 0 || op_check_free(self, number) < 0) {
        return NULL;
    }
    FdSide side = op_side(self);
    FdReady ready = side == FD_READER ? op_on_readable : op_on_writable;
    PyObject *future = loop_py_create_future((PyObject *)self->loop, NULL);
    if (future == NULL || PyObject_SetAttr(future, st->str_future_blocking, Py_True) < 0
        || fds_wait(&self->loop->fds, self->loop, self->fd, side, ready,
                    (PyObject *)self, self->sock)
               < 0) {
        Py_XDECREF(future);
        return NULL;
    }
    self->watched = self->fd;
    self->future = Py_NewRef(future);
    self->state = SOCKET_OP_WAITING;
    return future;
}

/* ---- The coroutine protocol --------------------------------------------------------------- */

static PySendResult
op_end(SocketOp *self, PySendResult outcome)
{
    sockop_release(self);
    return outcome;
}

/* Tries the operation, unless that will probably fail, and waits if it would block. */
static PySendResult
op_go_on(SocketOp *self, bool first, PyObject **result)
{
    FdSet *fds = &self->loop->fds;
    PyObject *number = op_number(self);
    if (number == NULL) {
        return op_end(self, PYGEN_ERROR);
    }
    bool receives = op_side(self) == FD_READER;
    TryResult tried = TRY_BLOCKED;
    if (!first || !receives || fds_worth_a_try(fds, self->fd, self->sock)) {
        tried = op_try(self, result);
        if (first && receives) {
            fds_tried(fds, self->fd, tried == TRY_BLOCKED);
        }
    }
    if (tried == TRY_BLOCKED) {
        *result = op_wait(self, number);
    }
    Py_DECREF(number);
    if (tried == TRY_DONE) {
        return op_end(self, PYGEN_RETURN);
    }
    return *result == NULL ? op_end(self, PYGEN_ERROR) : PYGEN_NEXT;
}

bool
sockop_is_idle(const SocketOp *self)
{
    if (unlikely(self->running)) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return false;
    }
    return true;
}

bool
sockop_is_open(const SocketOp *self)
{
    if (unlikely(self->state == SOCKET_OP_OVER)) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return false;
    }
    return true;
}

/* Continues after a wait. */
static PySendResult
op_wait_over(SocketOp *self, PyObject **result)
{
    fds_rest(&self->loop->fds, self->watched, op_side(self), (PyObject *)self);
    Py_CLEAR(self->future);
    if (self->error != NULL) {
        err_restore(self->error);
        self->error = NULL;
        return op_end(self, PYGEN_ERROR);
    }
    if (self->view.obj != NULL && self->done == self->view.len) {
        *result = Py_NewRef(Py_None); /* everything was sent within the poll */
        return op_end(self, PYGEN_RETURN);
    }
    return op_go_on(self, false, result);
}

PySendResult
sockop_send(PyObject *op, PyObject *Py_UNUSED(value), PyObject **result)
{
    SocketOp *self = (SocketOp *)op;
    *result = NULL;
    if (!sockop_is_idle(self) || !sockop_is_open(self)) {
        return PYGEN_ERROR;
    }
    self->running = true;
    PySendResult sent = self->state == SOCKET_OP_NEW ? op_go_on(self, true, result)
                                                     : op_wait_over(self, result);
    self->running = false;
    return sent;
}
