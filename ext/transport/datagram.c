/* Receiving and sending datagrams (see datagram.h). One system call receives several. A datagram is sent
 * at once, and queued only when the socket's buffer is full.
 */
#include "base/py.h"

#include "transport/datagram.h"
#include "base/err.h"
#include "transport/message.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    BATCH = 4,  /* datagrams per system call; UDP's largest is just below 64 KiB */
    ROUNDS = 8, /* system calls per wake-up, until other handles get their turn */
    SENDS_PER_WAKE = 128, /* queued datagrams sent per wake-up */
};

/* ---- Receiving ---------------------------------------------------------------------------- */

/* The sender's address as a Python object: a new reference. Usually it is the same as that of the last
 * datagram. */
static PyObject *
datagram_sender(Datagram *self, const SockAddr *addr, socklen_t size)
{
    if (self->from != NULL && self->from_size == size
        && memcmp(&self->from_addr, addr, size) == 0) {
        return Py_NewRef(self->from);
    }
    PyObject *from = pyaddr_new(addr, size);
    if (from != NULL) {
        Py_XSETREF(self->from, Py_NewRef(from));
        memcpy(&self->from_addr, addr, size);
        self->from_size = size;
    }
    return from;
}

/* Calls error_received() with the OSError that is set, in the transport's context. */
static void
datagram_error(Datagram *self)
{
    PyObject *exc = err_take();
    PyObject *res =
        endpoint_call(&self->base, self->base.st->str_error_received, exc, NULL);
    Py_DECREF(exc);
    if (res == NULL) {
        endpoint_report(&self->base, "protocol.error_received() failed");
    }
    Py_XDECREF(res);
}

/* Calls datagram_received(). Both objects are borrowed. */
static void
datagram_deliver(Datagram *self, PyObject *data, PyObject *from)
{
    PyObject *res =
        endpoint_call(&self->base, self->base.st->str_datagram_received, data, from);
    if (res == NULL) {
        endpoint_report(&self->base, "protocol.datagram_received() failed");
    }
    Py_XDECREF(res);
}

typedef struct Incoming {
    struct iovec space;
    SockAddr addr;
    PyObject *data; /* owned or NULL */
    PyObject *from; /* owned or NULL */
} Incoming;

/* Receives up to `max` datagrams into equal shares of `buffer`. Returns their number, or -1 with
 * errno. */
static int
datagram_socket_receive(int fd, uv_buf_t buffer, int max, Incoming *in, Message *heads)
{
    size_t share = buffer.len / (size_t)max;
    for (int i = 0; i < max; i++) {
        in[i].space = (struct iovec){buffer.base + (size_t)i * share, share};
        in[i].data = NULL;
        in[i].from = NULL;
        heads[i] = (Message){.msg_hdr = {.msg_name = &in[i].addr,
                                         .msg_namelen = sizeof(in[i].addr),
                                         .msg_iov = &in[i].space,
                                         .msg_iovlen = 1}};
    }
    return messages_receive(fd, heads, max);
}

/* Creates Python objects from a received datagram. False with an exception set. */
static bool
datagram_take(Datagram *self, Incoming *in, const Message *head)
{
    in->data = PyBytes_FromStringAndSize(in->space.iov_base, head->msg_len);
    if (in->data == NULL) {
        return false;
    }
    in->from = datagram_sender(self, &in->addr, head->msg_hdr.msg_namelen);
    return in->from != NULL;
}

/* Receives and delivers the datagrams of one system call. Whether there may be more. */
static bool
datagram_receive(Datagram *self)
{
    uv_buf_t buffer = loop_read_buffer(self->base.loop);
    int max = self->family == AF_UNIX ? 1 : BATCH;
    Incoming in[BATCH];
    Message heads[BATCH];
    if (endpoint_check_fd(&self->base) < 0) {
        datagram_error(self);
        return false;
    }
    int n = datagram_socket_receive(self->base.fd, buffer, max, in, heads);
    if (n < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            (void)PyErr_SetFromErrno(PyExc_OSError);
            datagram_error(self);
        }
        return false;
    }
    /* The buffer is the loop's, so everything is copied out of it before Python code runs. */
    bool all = true;
    for (int i = 0; i < n && all; i++) {
        all = datagram_take(self, &in[i], &heads[i]);
    }
    if (!all) {
        endpoint_fail(&self->base, "Fatal read error on datagram transport");
    }
    for (int i = 0; i < n; i++) {
        if (self->base.state == ENDPOINT_OPEN && !loop_is_forked(self->base.loop)) {
            datagram_deliver(self, in[i].data, in[i].from);
        }
        Py_XDECREF(in[i].data);
        Py_XDECREF(in[i].from);
    }
    return n == BATCH;
}

static void
datagram_on_readable(PyObject *op)
{
    Datagram *self = (Datagram *)op;
    for (int round = 0; round < ROUNDS && endpoint_is_reading(&self->base); round++) {
        if (!datagram_receive(self) || loop_is_forked(self->base.loop)) {
            return;
        }
    }
}

/* ---- Sending ------------------------------------------------------------------------------ */

/* The result for a system call that has failed. */
static SendResult
send_failed(void)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return SEND_BLOCKED;
    }
    (void)PyErr_SetFromErrno(PyExc_OSError);
    return SEND_FAILED;
}

/* sock.sendto(data, addr): for addresses other than literals, and for the exceptions that it raises. */
static SendResult
datagram_send_by_python(Datagram *self, PyObject *data, PyObject *addr)
{
    PyObject *sock = Py_XNewRef(self->base.file);
    if (sock == NULL) {
        PyErr_SetString(PyExc_OSError, "the transport's socket was taken away");
        return SEND_FAILED;
    }
    PyObject *argv[] = {sock, data, addr};
    PyObject *res = PyObject_VectorcallMethod(self->base.st->str_sendto, argv, 3, NULL);
    Py_DECREF(sock);
    if (res != NULL) {
        Py_DECREF(res);
        return SEND_DONE;
    }
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError)
        || PyErr_ExceptionMatches(PyExc_InterruptedError)) {
        PyErr_Clear(); /* the caller queues the datagram and sends it later */
        return SEND_BLOCKED;
    }
    return SEND_FAILED;
}

/* Sends with sendto(2). `addr` NULL: to the peer. */
static SendResult
datagram_send_to(Datagram *self, PyObject *data, const SockAddr *addr, socklen_t size)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return SEND_FAILED;
    }
    if (endpoint_check_fd(&self->base)
        < 0) { /* exporting the buffer may have closed it */
        PyBuffer_Release(&view);
        return SEND_FAILED;
    }
    const struct sockaddr *to = addr == NULL ? NULL : &addr->any;
    ssize_t n =
        sendto(self->base.fd, view.buf, (size_t)view.len, MSG_DONTWAIT, to, size);
    SendResult result = n >= 0 ? SEND_DONE : send_failed();
    PyBuffer_Release(&view);
    return result;
}

SendResult
datagram_send(Datagram *self, PyObject *data, PyObject *addr)
{
    if (endpoint_check_fd(&self->base) < 0) {
        return SEND_FAILED;
    }
    bool to_peer =
        self->connected && (self->addr_ignored || addr == NULL || addr == Py_None);
    if (to_peer) {
        return datagram_send_to(self, data, NULL, 0);
    }
    if (addr == NULL) {
        return datagram_send_by_python(self, data, Py_None); /* raises TypeError */
    }
    if (addr == self->from && self->from_size != 0) {
        return datagram_send_to(self, data, &self->from_addr, self->from_size);
    }
    SockAddr parsed;
    socklen_t size = pyaddr_parse(addr, self->family, &parsed);
    if (size == 0) {
        return datagram_send_by_python(self, data, addr);
    }
    return datagram_send_to(self, data, &parsed, size);
}

/* Sends the oldest datagram of the queue. False when the rest must wait. */
static bool
datagram_send_queued(Datagram *self)
{
    Piece *piece = self->base.queue.first;
    PyObject *data =
        Py_NewRef(piece->data); /* sending may run Python code that drops the queue */
    PyObject *addr = Py_XNewRef(piece->addr);
    SendResult result = datagram_send(self, data, addr);
    if (result != SEND_BLOCKED && self->base.queue.first == piece) {
        pieces_pop(&self->base.queue);
    }
    Py_DECREF(data);
    Py_XDECREF(addr);
    if (result != SEND_FAILED) {
        return result == SEND_DONE;
    }
    if (PyErr_ExceptionMatches(PyExc_OSError)) {
        datagram_error(self);
    } else {
        endpoint_fail(&self->base, "Fatal write error on datagram transport");
    }
    return false;
}

static void
datagram_on_writable(PyObject *op)
{
    Datagram *self = (Datagram *)op;
    int sent = 0;
    while (!pieces_empty(&self->base.queue) && sent < SENDS_PER_WAKE
           && !loop_is_forked(self->base.loop) && datagram_send_queued(self)) {
        sent++;
    }
    endpoint_wrote(&self->base);
}

const EndpointOps datagram_ops = {
    .on_readable = datagram_on_readable,
    .on_writable = datagram_on_writable,
};
