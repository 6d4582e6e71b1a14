/* wsgi.file_wrapper. The kernel sends a regular file by sendfile(2) on the worker's thread, to
 * which the loop lends the connection's socket (http_stream_lend). A small file is read and written
 * together with the head. Anything else that the app wraps is read and sent like any iterable.
 */
#include "base/py.h"

#include "wsgi/call.h"

#include "http/file_copy.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>
#include <uv.h>

/* Asks Python code about the file. 1 with *part set; 0 when it isn't a regular file; -1 with an
 * exception set. */
static int
part_find(WsgiCall *call, PyObject *wrapper, FilePart *part)
{
    PyObject *facts = PyObject_CallOneArg(call->app->file_facts, wrapper);
    long long offset = 0, end = 0;
    int found = facts == NULL ? -1 : facts != Py_None;
    if (found == 1 && !PyArg_ParseTuple(facts, "iLL", &part->fd, &offset, &end)) {
        found = -1;
    }
    Py_XDECREF(facts);
    part->offset = (off_t)offset;
    part->left = end > offset ? end - offset : 0;
    return found;
}

/* ---- Small files -------------------------------------------------------------------------- */

static int
file_send_small(WsgiCall *call, const FilePart *part)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)part->left);
    if (bytes == NULL) {
        return -1;
    }
    ssize_t n;
    Py_BEGIN_ALLOW_THREADS
    n = pread(part->fd, PyBytes_AS_STRING(bytes), (size_t)part->left, part->offset);
    Py_END_ALLOW_THREADS
    if (n < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
    } else if (n == (ssize_t)part->left || _PyBytes_Resize(&bytes, n) == 0) {
        n = wsgi_send(call, bytes) == WSGI_SENT_FAILED || wsgi_finish(call) < 0 ? -1
                                                                                : n;
    } else {
        n = -1;
    }
    Py_XDECREF(bytes);
    return n < 0 ? -1 : 1;
}

/* ---- Large files -------------------------------------------------------------------------- */

/* Waits until the socket takes more. False when that takes too long, or the client has gone. */
static bool
file_wait_writable(const HttpLoan *loan)
{
    struct pollfd entry = {.fd = loan->fd, .events = POLLOUT};
    int timeout =
        loan->timeout == 0 || loan->timeout > INT32_MAX ? -1 : (int)loan->timeout;
    int n;
    do {
        n = poll(&entry, 1, timeout);
    } while (n < 0 && errno == EINTR);
    return n > 0 && (entry.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0;
}

/* Copies the file; called without the GIL. Returns the number of bytes sent. */
static int64_t
file_copy_part(const HttpLoan *loan, FilePart part)
{
    int64_t size = part.left;
    FileCopied copied;
    do {
        copied = file_copy(loan->fd, &part);
    } while (copied == FILE_TURN || (copied == FILE_FULL && file_wait_writable(loan)));
    return size - part.left;
}

/* Waits until the loop has lent the socket. 0; a negative UV_E*; 1 with an exception set. */
static int
file_borrow_socket(WsgiCall *call)
{
    call->loan_error = UV_EAGAIN;
    wsgi_order(call, WSGI_LEND);
    while (!call->gone && call->loan_error == UV_EAGAIN) {
        if (wsgi_wait(call) < 0) {
            return 1;
        }
    }
    return call->loan_error;
}

/* Returns the socket to the loop. If the file was shorter than expected, so is the response. */
static void
file_return_socket(WsgiCall *call, int64_t sent)
{
    int fd = call->loan.fd;
    call->loan.fd =
        -1; /* before close(): wsgi_on_gone must not shut down another file with this number */
    (void)close(fd);
    call->lent_bytes = (uint64_t)sent;
    call->left -= sent;
    call->orders |= WSGI_LENT;
}

/* 1; -1 with an exception set; 0 when the kernel can't send the file. In that case its position is
 * unchanged, so that it can be read. */
static int
file_send_large(WsgiCall *call, const FilePart *part)
{
    wsgi_begin(call, call->left);
    int err = file_borrow_socket(call);
    if (err == 0 && call->loan.fd >= 0) {
        int64_t sent;
        Py_BEGIN_ALLOW_THREADS
        sent = file_copy_part(&call->loan, *part);
        Py_END_ALLOW_THREADS
        file_return_socket(call, sent);
        bool refused = sent == 0 && !call->gone;
        return refused ? 0 : wsgi_finish(call) < 0 ? -1 : 1;
    }
    return err == 1 ? -1 : call->gone ? 1 : 0;
}

int
wsgi_send_file(WsgiCall *call, PyObject *wrapper)
{
    FilePart part;
    if (call->stage != WSGI_HEAD) {
        return 0;
    }
    int found = part_find(call, wrapper, &part);
    if (found <= 0) {
        return found;
    }
    wsgi_state_length(call, part.left);
    if (part.left > call->left) {
        part.left = call->left;
    }
    if (wsgi_is_bodyless(call) || part.left == 0) {
        return wsgi_finish(call) < 0 ? -1 : 1;
    }
    return part.left <= FILE_SMALL ? file_send_small(call, &part)
                                   : file_send_large(call, &part);
}
