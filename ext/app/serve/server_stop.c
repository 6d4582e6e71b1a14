/* The methods of `_core.Server` that end it (see server_type.h), and the one that lists what is still to be answered.
 */
#include "base/py.h"

#include "app/serve/server_type.h"

#include "app/future.h"

/* The future of the server's end, the same one for all calls (borrowed), or NULL with an exception set. */
static PyObject *
server_end(AppServer *self)
{
    if (self->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a server without a loop needs no stop");
        return NULL;
    }
    if (server_check_open(self) < 0) {
        return NULL;
    }
    if (self->drained == NULL) {
        self->drained = future_new(self->st, self->loop);
    }
    return self->drained;
}

PyObject *
server_drain(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"idle", "queued", NULL};
    AppServer *self = (AppServer *)op;
    int idle = 1, queued = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$pp:drain", (char **)names, &idle,
                                     &queued)
        || server_end(self) == NULL) {
        return NULL;
    }
    http_server_drain(self->http, idle != 0, queued != 0);
    return Py_NewRef(self->drained);
}

PyObject *
server_abort(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    AppServer *self = (AppServer *)op;
    if (server_end(self) == NULL) {
        return NULL;
    }
    http_server_abort(self->http);
    return Py_NewRef(self->drained);
}

PyObject *
server_end_streams(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    AppServer *self = (AppServer *)op;
    if (server_check_open(self) < 0) {
        return NULL;
    }
    http_server_end_streams(self->http);
    Py_RETURN_NONE;
}

/* Adds an item to the list `arg` (borrowed), unless an exception is set. */
static void
pending_add(void *arg, HttpPending pending)
{
    if (PyErr_Occurred()) {
        return;
    }
    Slice method =
        pending.websocket ? SLICE("WebSocket") : http_request_method(pending.request);
    Slice path = http_request_path(pending.request);
    PyObject *text = PyUnicode_DecodeLatin1(path.ptr, (Py_ssize_t)path.len, NULL);
    PyObject *item =
        Py_BuildValue("(s#NdO)", method.ptr, (Py_ssize_t)method.len, text,
                      (double)pending.age / 1000, pending.stream ? Py_True : Py_False);
    if (item != NULL) {
        (void)PyList_Append(arg, item);
    }
    Py_XDECREF(item);
}

PyObject *
server_pending(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    AppServer *self = (AppServer *)op;
    if (server_check_open(self) < 0 || server_check_loop(self) < 0) {
        return NULL;
    }
    PyObject *all = PyList_New(0);
    if (all != NULL) {
        http_server_pending(self->http, pending_add, all);
        if (PyErr_Occurred()) {
            Py_CLEAR(all);
        }
    }
    return all;
}
