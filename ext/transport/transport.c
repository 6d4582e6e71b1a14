/* The state machine of asyncio transports over a Stream (see transport.h). Events of the stream become
 * calls of the protocol; closing leads to exactly one connection_lost.
 *
 * Python code is called here from within the poll. An exception that it raises goes to the loop's
 * exception handler, and the connection is closed by force, as in asyncio.
 */
#include "base/py.h"

#include "transport/transport.h"
#include "base/err.h"
#include "base/view.h"
#include "transport/protocol.h"

#include <sys/socket.h>

bool
transport_is_closing(const Transport *self)
{
    return self->state != TRANSPORT_OPEN;
}

bool
transport_is_writable(const Transport *self)
{
    return self->state == TRANSPORT_OPEN || self->state == TRANSPORT_FLUSHING;
}

/* ---- Calling the protocol ----------------------------------------------------------------- */

PyObject *
transport_call(Transport *self, PyObject *name, PyObject *arg)
{
    PyObject *argv[] = {self->protocol, arg};
    return protocol_call(self->loop, self->context, name, argv, arg == NULL ? 1 : 2);
}

void
transport_fail(Transport *self, const char *message)
{
    PyObject *exc = protocol_failed(self->loop, "_transport_failed", (PyObject *)self,
                                    self->protocol, message);
    if (exc != NULL) {
        transport_force_close(self, exc);
        Py_DECREF(exc);
    }
}

/* ---- Reading ------------------------------------------------------------------------------ */

void
transport_update_reading(Transport *self)
{
    if (!self->started || self->paused || transport_is_closing(self)) {
        stream_read_stop(&self->stream);
        return;
    }
    int err = stream_read_start(&self->stream);
    if (err != 0) {
        (void)err_set(err);
        transport_fail(self, "Fatal read error on socket transport");
    }
}

/* ---- Writing ------------------------------------------------------------------------------ */

void
transport_check_high(Transport *self)
{
    if (!self->stream.over_high || self->protocol_paused
        || !transport_is_writable(self)) {
        return;
    }
    self->protocol_paused = true;
    protocol_pause(self->st, self->loop, (PyObject *)self, self->protocol);
}

/* Wakes a sendfile() that waits for the queue to be empty. `lost`: makes it fail, because the connection
 * is lost. */
static void
transport_wake_sendfile(Transport *self, bool lost)
{
    if (self->drained == NULL) {
        return;
    }
    const char *method = lost ? "_wake_lost" : "_wake";
    PyObject *res =
        PyObject_CallMethod((PyObject *)self->loop, method, "O", self->drained);
    if (res == NULL) {
        loop_report(self->loop, "Waking a waiting sendfile() failed");
    }
    Py_XDECREF(res);
}

/* After close(): the connection is lost once everything is written. */
static void
transport_flush_on(Transport *self)
{
    if (self->stream.queued == 0) {
        transport_force_close(self, NULL);
    } else {
        stream_drain(&self->stream);
    }
}

static void
transport_on_drain(Stream *s)
{
    Transport *self = transport_of(s);
    Py_INCREF(self);
    if (self->protocol_paused && !s->over_high) {
        self->protocol_paused = false;
        protocol_resume(self->st, self->loop, self->context, (PyObject *)self,
                        self->protocol);
    }
    if (self->state == TRANSPORT_FLUSHING) {
        transport_flush_on(self);
    }
    if (s->queued == 0) {
        transport_wake_sendfile(self, false);
    }
    Py_DECREF(self);
}

static void
transport_on_error(Stream *s, int err)
{
    Transport *self = transport_of(s);
    if (!transport_is_writable(self)) {
        return;
    }
    Py_INCREF(self);
    (void)err_set(err);
    transport_fail(self, "Fatal error on socket transport");
    Py_DECREF(self);
}

/* ---- Closing ------------------------------------------------------------------------------ */

void
transport_close(Transport *self)
{
    if (self->state != TRANSPORT_OPEN) {
        return;
    }
    stream_read_stop(&self->stream);
    self->state = TRANSPORT_FLUSHING;
    transport_flush_on(self);
}

void
transport_force_close(Transport *self, PyObject *exc)
{
    if (!transport_is_writable(self)) {
        return;
    }
    self->state = TRANSPORT_LOSING;
    stream_read_stop(&self->stream);
    PyObject *arg = exc == NULL ? Py_None : exc;
    PyObject *lose =
        PyObject_GetAttr((PyObject *)self, self->st->str_call_connection_lost);
    if (lose == NULL || loop_call_soon(self->loop, lose, arg, self->context) < 0) {
        loop_report(self->loop, "Closing a transport failed");
    }
    Py_XDECREF(lose);
}

/* Closes the socket object, which has its own descriptor. */
static void
transport_close_socket(Transport *self)
{
    if (self->sock == NULL) {
        return;
    }
    PyObject *res = PyObject_CallMethod((PyObject *)self->loop, "_close_socket", "OO",
                                        self, self->sock);
    if (res == NULL) {
        loop_report(self->loop, "Closing a transport's socket failed");
    }
    Py_XDECREF(res);
}

void
transport_warn_unclosed(Transport *self)
{
    if (PyErr_ResourceWarning((PyObject *)self, 1, "unclosed transport %R", self) < 0) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
}

void
transport_shut(Transport *self)
{
    if (self->fd < 0) {
        return;
    }
    if (self->drained != NULL) {
        (void)shutdown(self->fd, SHUT_RDWR); /* stops a sendfile() on a duplicate */
    }
    self->fd = -1;
    stream_close(&self->stream, false);
    transport_close_socket(self);
}

static void
transport_detach_server(Transport *self)
{
    PyObject *server = self->server;
    self->server = NULL;
    if (server == NULL) {
        return;
    }
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *res = PyObject_CallMethod(server, "_detach", "O", self);
#else
    PyObject *res = PyObject_CallMethod(server, "_detach", NULL);
#endif
    if (res == NULL) {
        loop_report(self->loop, "Detaching a transport from its server failed");
    }
    Py_XDECREF(res);
    Py_DECREF(server);
}

int
transport_lose(Transport *self, PyObject *exc)
{
    if (self->state == TRANSPORT_LOST) {
        return 0;
    }
    self->state = TRANSPORT_LOST;
    PyObject *res = Py_None;
    Py_INCREF(res);
    if (self->connected) {
        PyObject *argv[] = {self->protocol, exc};
        Py_SETREF(res, PyObject_VectorcallMethod(self->st->str_connection_lost, argv, 2,
                                                 NULL));
    }
    PyObject *raised = res == NULL ? err_take() : NULL;
    transport_shut(self);
    transport_wake_sendfile(self, true);
    Py_SETREF(self->protocol, Py_NewRef(Py_None));
    transport_detach_server(self);
    if (raised != NULL) {
        err_restore(raised);
        return -1;
    }
    Py_DECREF(res);
    return 0;
}

/* libuv no longer needs the memory. If the loop was closed while the transport was open, the transport
 * learns of it only here. The protocol isn't called then, as in asyncio. */
static void
transport_on_closed(Stream *s)
{
    Transport *self = transport_of(s);
    if (self->fd >= 0) {
        transport_warn_unclosed(self);
        self->fd = -1;
        transport_close_socket(self);
        self->state = TRANSPORT_LOST;
    }
    view_release(&self->view);
    loop_release(&self->held);
}

/* ---- Opening ------------------------------------------------------------------------------ */

static const StreamOps transport_ops = {
    .on_data = transport_on_data,
    .on_eof = transport_on_eof,
    .on_error = transport_on_error,
    .on_drain = transport_on_drain,
    .on_closed = transport_on_closed,
    .on_alloc = transport_on_alloc,
};

int
transport_open(Transport *self, int fd)
{
    bool is_ip = self->local.family == AF_INET || self->local.family == AF_INET6;
    int err = stream_open_fd(&self->stream, self->loop, &transport_ops, fd, !is_ip);
    if (err != 0) {
        (void)err_set(err);
        return -1;
    }
    loop_hold(self->loop, &self->held, (PyObject *)self);
    self->fd = fd;
    self->state = TRANSPORT_OPEN;
    return 0;
}

void
transport_made(Transport *self)
{
    PyObject *res = PyObject_CallMethodOneArg(
        self->protocol, self->st->str_connection_made, (PyObject *)self);
    if (res == NULL) {
        protocol_report(self->loop, (PyObject *)self, self->protocol,
                        "Exception in callback protocol.connection_made()");
    }
    Py_XDECREF(res);
}
