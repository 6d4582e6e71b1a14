/* The state machine of transports over user descriptors (see endpoint.h): when the descriptor is
 * watched, when the protocol's writing is paused and resumed, and closing, which leads to exactly one
 * connection_lost.
 *
 * Python code is called here from within the poll. An exception that it raises goes to the loop's
 * exception handler.
 */
#include "base/py.h"

#include "transport/endpoint.h"
#include "base/err.h"
#include "transport/write_limits.h"
#include "transport/protocol.h"

#include <errno.h>

/* ---- Opening ------------------------------------------------------------------------------ */

int
endpoint_open(Endpoint *self, const EndpointOps *ops, PyObject *loop, PyObject *file,
              PyObject *protocol, PyObject *extra)
{
    if (self->loop != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a transport is initialised once");
        return -1;
    }
    Loop *checked = loop_check(self->st->module, loop);
    int fd = checked == NULL ? -1 : PyObject_AsFileDescriptor(file);
    if (fd < 0) {
        return -1;
    }
    Py_XSETREF(self->fileno, PyObject_GetAttr(file, self->st->str_fileno));
    Py_XSETREF(self->context, PyContext_CopyCurrent());
    Py_XSETREF(self->extra, PyDict_Copy(extra));
    if (self->fileno == NULL || self->context == NULL || self->extra == NULL) {
        return -1;
    }
    self->ops = ops;
    self->loop = (Loop *)Py_NewRef(checked);
    self->file = Py_NewRef(file);
    self->protocol = Py_NewRef(protocol);
    self->fd = fd;
    self->high = LIMITS_HIGH;
    self->low = LIMITS_LOW;
    self->state = ENDPOINT_OPEN;
    return 0;
}

int
endpoint_start(Endpoint *self, PyObject *waiter)
{
    int err = protocol_begin(self->st, self->loop, (PyObject *)self, self->protocol,
                             self->context, waiter);
    if (err < 0) {
        self->state = ENDPOINT_LOST; /* the file stays the caller's */
    }
    return err;
}

int
endpoint_check_fd(Endpoint *self)
{
    PyObject *number = PyObject_CallNoArgs(self->fileno);
    int fd = -1;
    if (number != NULL) {
        fd = PyLong_Check(number) ? (int)PyLong_AsLong(number) : -1;
        Py_DECREF(number);
    }
    if (fd == self->fd) {
        return 0;
    }
    if (number == NULL && err_is_fatal()) {
        return -1;
    }
    PyErr_Clear(); /* fileno() of a closed file raises ValueError: the OSError replaces it */
    errno = EBADF;
    (void)PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

/* ---- Calling the protocol ----------------------------------------------------------------- */

PyObject *
endpoint_call(Endpoint *self, PyObject *name, PyObject *arg, PyObject *arg2)
{
    size_t nargs = arg == NULL ? 1 : arg2 == NULL ? 2 : 3;
    PyObject *argv[] = {self->protocol, arg, arg2};
    return protocol_call(self->loop, self->context, name, argv, nargs);
}

void
endpoint_report(Endpoint *self, const char *message)
{
    protocol_report(self->loop, (PyObject *)self, self->protocol, message);
}

void
endpoint_fail(Endpoint *self, const char *message)
{
    PyObject *exc = protocol_failed(self->loop, "_transport_failed", (PyObject *)self,
                                    self->protocol, message);
    if (exc != NULL) {
        endpoint_force_close(self, exc);
        Py_DECREF(exc);
    }
}

/* ---- Watching ----------------------------------------------------------------------------- */

/* Schedules a read in the next iteration, for a file that can't be watched. */
static int
endpoint_schedule_read(Endpoint *self)
{
    if (self->read_scheduled) {
        return 0;
    }
    PyObject *read = PyObject_GetAttr((PyObject *)self, self->st->str_read_ready);
    int err = read == NULL ? -1 : loop_call_soon(self->loop, read, NULL, NULL);
    Py_XDECREF(read);
    self->read_scheduled = err == 0;
    return err;
}

static int
endpoint_watch_reading(Endpoint *self)
{
    if (self->always_ready) {
        return endpoint_schedule_read(self);
    }
    if (loop_fd_watch(self->loop, self->fd, FD_READER, self->ops->on_readable,
                      (PyObject *)self)
        == 0) {
        self->reading = true;
        return 0;
    }
    if (PyErr_ExceptionMatches(PyExc_PermissionError)) {
        PyErr_Clear(); /* epoll refuses regular files: they are read without being watched */
        self->always_ready = true;
        return endpoint_schedule_read(self);
    }
    return -1;
}

static void
endpoint_update_reading(Endpoint *self)
{
    bool alive =
        self->state == ENDPOINT_OPEN
        || (self->state == ENDPOINT_FLUSHING && self->ops->watched_while_flushing);
    bool wanted = alive && self->started && !self->paused && !self->unwatched;
    if (wanted == self->reading) {
        return;
    }
    if (!wanted) {
        self->reading = false;
        loop_fd_unwatch(self->loop, self->fd, FD_READER, (PyObject *)self);
    } else if (endpoint_watch_reading(self) < 0) {
        endpoint_fail(self, "Fatal error: a transport's descriptor can't be watched");
    }
}

static void
endpoint_update_writing(Endpoint *self)
{
    bool wanted = !pieces_empty(&self->queue);
    if (wanted == self->writing) {
        return;
    }
    self->writing = wanted;
    if (!wanted) {
        loop_fd_unwatch(self->loop, self->fd, FD_WRITER, (PyObject *)self);
    } else if (loop_fd_watch(self->loop, self->fd, FD_WRITER, self->ops->on_writable,
                             (PyObject *)self)
               < 0) {
        self->writing = false;
        endpoint_fail(self, "Fatal error: a transport's descriptor can't be watched");
    }
}

void
endpoint_update(Endpoint *self)
{
    endpoint_update_reading(self);
    endpoint_update_writing(self);
}

/* ---- The queue ---------------------------------------------------------------------------- */

void
endpoint_check_high(Endpoint *self)
{
    if (self->queue.bytes <= self->high || self->protocol_paused) {
        return;
    }
    self->protocol_paused = true;
    protocol_pause(self->st, self->loop, (PyObject *)self, self->protocol);
}

int
endpoint_queue(Endpoint *self, PyObject *data, size_t sent, PyObject *addr)
{
    if (pieces_append(&self->queue, data, sent, addr) < 0) {
        return -1;
    }
    endpoint_update_writing(self);
    endpoint_check_high(self);
    return 0;
}

void
endpoint_wrote(Endpoint *self)
{
    if (self->state != ENDPOINT_OPEN && self->state != ENDPOINT_FLUSHING) {
        return; /* closed by force meanwhile */
    }
    if (self->protocol_paused && self->queue.bytes <= self->low) {
        self->protocol_paused = false;
        protocol_resume(self->st, self->loop, self->context, (PyObject *)self,
                        self->protocol);
    }
    endpoint_update_writing(self);
    if (pieces_empty(&self->queue) && self->state == ENDPOINT_FLUSHING) {
        endpoint_force_close(self, NULL);
    }
}

/* ---- Closing ------------------------------------------------------------------------------ */

void
endpoint_close(Endpoint *self)
{
    if (self->state != ENDPOINT_OPEN) {
        return;
    }
    if (pieces_empty(&self->queue)) {
        endpoint_force_close(self, NULL);
        return;
    }
    self->state = ENDPOINT_FLUSHING;
    endpoint_update(self);
}

void
endpoint_force_close(Endpoint *self, PyObject *exc)
{
    if (self->state != ENDPOINT_OPEN && self->state != ENDPOINT_FLUSHING) {
        return;
    }
    if (loop_is_closed(self->loop)) {
        endpoint_shut(self); /* connection_lost can't be scheduled any more */
        return;
    }
    self->state = ENDPOINT_LOSING;
    pieces_clear(&self->queue);
    endpoint_update(self);
    PyObject *arg = exc == NULL ? Py_None : exc;
    PyObject *lose =
        PyObject_GetAttr((PyObject *)self, self->st->str_call_connection_lost);
    if (lose == NULL || loop_call_soon(self->loop, lose, arg, self->context) < 0) {
        loop_report(self->loop, "Closing a transport failed");
    }
    Py_XDECREF(lose);
}

void
endpoint_shut(Endpoint *self)
{
    if (self->state == ENDPOINT_LOST) {
        return;
    }
    self->state = ENDPOINT_LOST;
    pieces_clear(&self->queue);
    endpoint_update(self);
    PyObject *file = self->file;
    self->file = Py_NewRef(Py_None);
    Py_SETREF(self->protocol, Py_NewRef(Py_None));
    Py_CLEAR(self->fileno);
    if (file != NULL && file != Py_None) {
        PyObject *res = PyObject_CallMethodNoArgs(file, self->st->str_close);
        if (res == NULL) {
            loop_report(self->loop, "Closing a transport's file failed");
        }
        Py_XDECREF(res);
    }
    Py_XDECREF(file);
}

int
endpoint_lose(Endpoint *self, PyObject *exc)
{
    if (self->state == ENDPOINT_LOST) {
        return 0;
    }
    self->state = ENDPOINT_LOSING; /* closing it again does nothing */
    Py_INCREF(self);
    PyObject *protocol = Py_NewRef(self->protocol);
    PyObject *argv[] = {protocol, exc};
    PyObject *res =
        PyObject_VectorcallMethod(self->st->str_connection_lost, argv, 2, NULL);
    PyObject *raised = res == NULL ? err_take() : NULL;
    Py_XDECREF(res);
    Py_DECREF(protocol);
    endpoint_shut(self);
    Py_DECREF(self);
    if (raised != NULL) {
        err_restore(raised);
        return -1;
    }
    return 0;
}
