/* http.response.pathsend and zerocopysend. Python code looks at the file first (_asgi/files.py).
 * Small files, and what isn't a regular file, it reads and sends as bodies. For others it calls the
 * function made here, through which the kernel copies them (file_send.h). http.response.debug also
 * goes to Python code, which logs it.
 * Thread: the loop's.
 */
#include "base/py.h"

#include "asgi/call.h"

#include "app/file_send.h"

#include <uv.h>

static WaitList *
file_writers(PyObject *holder)
{
    return &((AsgiCall *)holder)->writers;
}

static void
file_raise(PyObject *holder, int err)
{
    (void)asgi_raise((AsgiCall *)holder, err);
}

static const FileSendOps file_ops = {
    .writers = file_writers,
    .raise = file_raise,
    .abort = http_abort_told, /* another task of the app's may wait in receive() */
};

/* Writes the head, before the first `size` bytes of the body. Those are the whole body, unless `more`. */
static int
file_begin(AsgiCall *call, int64_t size, bool more)
{
    int64_t length = asgi_stated_length(call);
    if (!more && !call->has_trailers) {
        if (asgi_check_length(call, size) < 0) {
            return -1;
        }
        length = length < 0 ? size : length;
    }
    return asgi_stream_begin(call, length);
}

/* Whether `size` bytes of a body may be sent now. 0, or -1 with an exception set. */
static int
file_check(AsgiCall *call, int64_t size, bool more)
{
    if (call->gone) {
        return asgi_raise_gone(call);
    }
    if (call->req == NULL || !asgi_is_expected(call, MESSAGE_ZEROCOPYSEND)) {
        PyObject *type = PyUnicode_FromString("http.response.zerocopysend");
        int err = type == NULL ? -1 : asgi_raise_unexpected(call, type);
        Py_XDECREF(type);
        return err;
    }
    if (call->stage == ASGI_BODY && file_begin(call, size, more) < 0) {
        return -1;
    }
    call->head_only = false;
    const HttpRequest *req = call->req;
    return req->length_left >= 0 && size > req->length_left
               ? asgi_raise(call, UV_EMSGSIZE)
               : 0;
}

/* copy(descriptor, offset, size, more): an awaitable; its result is the number of bytes sent. */
static PyObject *
asgi_copy(PyObject *op, PyObject *args)
{
    AsgiCall *call = (AsgiCall *)op;
    int fd, more;
    long long offset, size;
    if (!PyArg_ParseTuple(args, "iLLp:copy", &fd, &offset, &size, &more)
        || asgi_call_check(call, "copy") < 0 || file_check(call, size, more != 0) < 0) {
        return NULL;
    }
    const FilePart part = {.fd = fd, .offset = (off_t)offset, .left = size};
    return file_send_new(call->req, part, &file_ops, op);
}

static PyMethodDef copy_def = {"copy", asgi_copy, METH_VARARGS,
                               "Sends a part of a file through the kernel."};

PyObject *
asgi_send_by_python(AsgiCall *call, PyObject *message)
{
    PyObject *copy = NULL, *sent = NULL;
    PyObject *send = asgi_send_new(call);
    if (send == NULL) {
        goto done;
    }
    copy = call->unneeded ? Py_NewRef(Py_None)
                          : PyCFunction_New(&copy_def, (PyObject *)call);
    if (copy == NULL) {
        goto done;
    }
    sent = PyObject_CallFunctionObjArgs(call->app->extend, send, copy, message, NULL);
done:
    Py_XDECREF(copy);
    Py_XDECREF(send);
    return sent;
}
