/* The body of a WSGI app's response (PEP 3333): the pieces that the app returns or gives to write(),
 * compared with the Content-Length, and the end. start_response.c has the status and the headers.
 * Thread: a worker's; the loop does the writing.
 */
#include "base/py.h"

#include "wsgi/call.h"

#include "base/err.h"

#include <uv.h>

/* ---- Pieces of the body ------------------------------------------------------------------- */

bool
wsgi_is_bodyless(const WsgiCall *call)
{
    return call->req->is_head || http_status_is_bodyless(call->status);
}

/* Orders the whole response, with `body` (borrowed, may be NULL). */
static void
response_send_whole(WsgiCall *call, PyObject *body)
{
    call->whole = Py_XNewRef(body);
    call->stage = WSGI_OVER;
    wsgi_order(call, WSGI_WHOLE);
}

/* Orders the whole response, which has no body. For HEAD an unstated length isn't 0, since the app
 * may have left out the body because of the method. */
static void
response_send_bodyless(WsgiCall *call)
{
    if (call->req->is_head && !call->fields.has_content_length) {
        call->length = -1;
        call->stage = WSGI_OVER;
        wsgi_order(call, WSGI_BEGIN | WSGI_END);
    } else {
        response_send_whole(call, NULL);
    }
}

void
wsgi_state_length(WsgiCall *call, int64_t length)
{
    if (call->stage == WSGI_HEAD && !call->fields.has_content_length) {
        call->left = length;
        call->fields.has_content_length = true;
        call->fields.content_length = length;
    }
}

void
wsgi_begin(WsgiCall *call, int64_t length)
{
    call->length = length;
    call->stage = WSGI_STREAM;
    call->orders |= WSGI_BEGIN; /* the order is posted with the first piece */
}

static void
pieces_report_too_much(WsgiCall *call)
{
    if (!call->too_much && !wsgi_is_bodyless(call)) {
        call->too_much = true;
        wsgi_report(call, "the response has more bytes than its Content-Length says",
                    NULL);
    }
}

/* Cuts `piece` (borrowed) at the Content-Length: a new reference, or NULL with an exception set. */
static PyObject *
piece_fit(WsgiCall *call, PyObject *piece)
{
    Py_ssize_t size = PyBytes_GET_SIZE(piece);
    if (call->left < 0 || (int64_t)size <= call->left) {
        return Py_NewRef(piece);
    }
    pieces_report_too_much(call);
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(piece), (Py_ssize_t)call->left);
}

/* Orders `piece` (borrowed) after a head that was ordered or written. 0, or -1 with an exception set. */
static int
piece_queue(WsgiCall *call, PyObject *piece)
{
    if (call->out == NULL && (call->out = PyList_New(0)) == NULL) {
        return -1;
    }
    if (PyList_Append(call->out, piece) < 0) {
        return -1;
    }
    call->out_bytes += (size_t)PyBytes_GET_SIZE(piece);
    unsigned orders = 0;
    if (call->left >= 0) {
        call->left -= (int64_t)PyBytes_GET_SIZE(piece);
        if (call->left == 0) {
            orders = WSGI_END;
            call->stage = WSGI_OVER;
        }
    }
    wsgi_order(call, orders);
    return 0;
}

static int
piece_send(WsgiCall *call, PyObject *piece)
{
    PyObject *fit = piece_fit(call, piece);
    if (fit == NULL) {
        return -1;
    }
    int err = 0;
    if (call->stage == WSGI_HEAD && (int64_t)PyBytes_GET_SIZE(fit) == call->left) {
        response_send_whole(call, fit);
    } else {
        if (call->stage == WSGI_HEAD) {
            wsgi_begin(call, call->left);
        }
        err = piece_queue(call, fit);
    }
    Py_DECREF(fit);
    return err;
}

static WsgiSent
piece_wait(WsgiCall *call)
{
    while (!call->gone && (call->out_bytes >= WSGI_HIGH || call->full)) {
        if (wsgi_wait(call) < 0) {
            return WSGI_SENT_FAILED;
        }
    }
    return call->gone ? WSGI_SENT_ENOUGH : WSGI_SENT_MORE;
}

static int
piece_check(const WsgiCall *call, PyObject *piece)
{
    if (!PyBytes_Check(piece)) {
        PyErr_Format(PyExc_TypeError,
                     "the body of a response is made of bytes, not %.100s",
                     Py_TYPE(piece)->tp_name);
        return -1;
    }
    if (call->stage == WSGI_START && PyBytes_GET_SIZE(piece) != 0) {
        PyErr_SetString(PyExc_AssertionError,
                        "the app sent a part of the body before it called "
                        "start_response()");
        return -1;
    }
    return 0;
}

WsgiSent
wsgi_send(WsgiCall *call, PyObject *piece)
{
    if (piece_check(call, piece) < 0) {
        return WSGI_SENT_FAILED;
    }
    if (PyBytes_GET_SIZE(piece) == 0) {
        return WSGI_SENT_MORE;
    }
    if (call->stage == WSGI_HEAD && wsgi_is_bodyless(call)) {
        response_send_bodyless(call);
    }
    if (call->stage == WSGI_OVER) {
        pieces_report_too_much(call);
        return WSGI_SENT_ENOUGH;
    }
    if (piece_send(call, piece) < 0) {
        return WSGI_SENT_FAILED;
    }
    return call->stage == WSGI_OVER ? WSGI_SENT_MORE : piece_wait(call);
}

/* Checks all pieces and returns the sum of their lengths; -1 with an exception set. */
static int64_t
pieces_length(const WsgiCall *call, PyObject *const *pieces, Py_ssize_t n)
{
    int64_t length = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (piece_check(call, pieces[i]) < 0) {
            return -1;
        }
        length += (int64_t)PyBytes_GET_SIZE(pieces[i]);
    }
    return length;
}

static WsgiSent
pieces_send(WsgiCall *call, PyObject *const *pieces, Py_ssize_t n)
{
    int64_t length = pieces_length(call, pieces, n);
    if (length < 0) {
        return WSGI_SENT_FAILED;
    }
    if (length != 0) {
        wsgi_state_length(call, length);
    }
    for (Py_ssize_t i = 0; i < n && !call->gone; i++) {
        if (PyBytes_GET_SIZE(pieces[i]) == 0) {
            continue;
        }
        if (call->stage == WSGI_HEAD && wsgi_is_bodyless(call)) {
            break; /* wsgi_finish sends the head */
        }
        if (call->stage == WSGI_OVER) {
            pieces_report_too_much(call);
            return WSGI_SENT_ENOUGH;
        }
        if (piece_send(call, pieces[i]) < 0) {
            return WSGI_SENT_FAILED;
        }
    }
    return WSGI_SENT_MORE;
}

/* Doesn't wait for slow clients: all pieces are in memory anyway. Copies the list first, because a
 * report may run the app's code, which may change it. */
WsgiSent
wsgi_send_all(WsgiCall *call, PyObject *list)
{
    PyObject *pieces = PySequence_Tuple(list);
    if (pieces == NULL) {
        return WSGI_SENT_FAILED;
    }
    WsgiSent sent = pieces_send(call, PySequence_Fast_ITEMS(pieces),
                                PySequence_Fast_GET_SIZE(pieces));
    Py_DECREF(pieces);
    return sent;
}

/* ---- The end ------------------------------------------------------------------------------ */

/* Completes a response for which no byte of a body has come. 0, or -1 with an exception set. */
static int
response_finish_empty(WsgiCall *call)
{
    if (wsgi_is_bodyless(call)) {
        response_send_bodyless(call);
    } else if (call->left > 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the response has fewer bytes than its Content-Length says");
        return -1;
    } else {
        response_send_whole(call, NULL);
    }
    return 0;
}

int
wsgi_finish(WsgiCall *call)
{
    switch (call->stage) {
    case WSGI_START:
        PyErr_SetString(PyExc_AssertionError,
                        "the app returned without having called start_response()");
        return -1;
    case WSGI_HEAD:
        return response_finish_empty(call);
    case WSGI_STREAM:
        if (call->left > 0 && !call->gone) {
            wsgi_report(call,
                        "the response has fewer bytes than its Content-Length says",
                        NULL);
        }
        call->stage = WSGI_OVER;
        wsgi_order(call, WSGI_END);
        return 0;
    case WSGI_OVER:
        return 0;
    }
    Py_UNREACHABLE();
}

void
wsgi_fail(WsgiCall *call)
{
    if (call->stage != WSGI_OVER) {
        call->stage = WSGI_OVER;
        wsgi_order(call, WSGI_FAIL);
    }
}

/* ---- write() ------------------------------------------------------------------------------ */

static PyObject *
response_write_body(PyObject *op, PyObject *piece)
{
    WsgiCall *call = (WsgiCall *)op;
    if (call->req == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "write(): the request is over");
        return NULL;
    }
    switch (wsgi_send(call, piece)) {
    case WSGI_SENT_FAILED:
        return NULL;
    case WSGI_SENT_ENOUGH:
        if (call->gone) {
            PyErr_SetString(PyExc_ConnectionResetError, "the client has gone away");
            return NULL;
        }
        break;
    case WSGI_SENT_MORE:
        break;
    }
    Py_RETURN_NONE;
}

static PyMethodDef write_def = {"write", response_write_body, METH_O,
                                "Sends a part of the response's body."};

PyObject *
wsgi_write_new(WsgiCall *call)
{
    return PyCFunction_New(&write_def, (PyObject *)call);
}
