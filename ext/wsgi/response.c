/* The response of a WSGI app (PEP 3333, "The start_response() Callable" and after): start_response,
 * the write() that it returns, and the comparison of the body's pieces with the Content-Length.
 * Thread: a worker's; the loop does the writing.
 */
#include "base/py.h"

#include "wsgi/call.h"

#include "app/header_pairs.h"
#include "base/err.h"

#include <uv.h>

/* ---- start_response ----------------------------------------------------------------------- */

/* The bytes of a latin-1 str, valid as long as that. ptr is NULL for any other object. */
static Slice
latin1_slice(PyObject *text)
{
    if (!PyUnicode_Check(text) || PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) {
        return slice_of(NULL, 0);
    }
    return slice_of((const char *)PyUnicode_1BYTE_DATA(text),
                    (size_t)PyUnicode_GET_LENGTH(text));
}

/* "200 OK" → 200; -1 with an exception set. */
static int
status_parse(PyObject *status)
{
    if (!PyUnicode_Check(status)) {
        PyErr_Format(PyExc_TypeError,
                     "start_response(): the status is a str, not %.100s",
                     Py_TYPE(status)->tp_name);
        return -1;
    }
    Slice text = latin1_slice(status);
    bool formed = text.ptr != NULL && text.len >= 4 && ascii_is_digit(text.ptr[0])
                  && ascii_is_digit(text.ptr[1]) && ascii_is_digit(text.ptr[2])
                  && text.ptr[3] == ' ' && http_value_is_clean(text);
    int code = formed ? (text.ptr[0] - '0') * 100 + (text.ptr[1] - '0') * 10
                            + (text.ptr[2] - '0')
                      : 0;
    if (code < 200 || code > 599) {
        PyErr_Format(
            PyExc_ValueError,
            "start_response(): the status must be like '200 OK', with a number "
            "from 200 to 599, not %R",
            status);
        return -1;
    }
    return code;
}

/* 0, or -1 with an exception set. */
static int
header_add(HttpFields *fields, PyObject *pair)
{
    bool fits = PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2;
    PyObject *name = fits ? PyTuple_GET_ITEM(pair, 0) : NULL;  /* borrowed */
    PyObject *value = fits ? PyTuple_GET_ITEM(pair, 1) : NULL; /* borrowed */
    if (!fits || !PyUnicode_Check(name) || !PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError,
                     "start_response(): a header is a tuple of two str, not %R", pair);
        return -1;
    }
    Slice n = latin1_slice(name), v = latin1_slice(value);
    if (n.ptr != NULL && http_is_hop_by_hop(n)) {
        PyErr_Format(PyExc_ValueError,
                     "start_response(): the header %R belongs to the connection, which "
                     "is the server's",
                     name);
        return -1;
    }
    int err =
        n.ptr == NULL || v.ptr == NULL ? UV_EINVAL : http_fields_add(fields, n, v);
    if (err == UV_ENOMEM) {
        PyErr_NoMemory();
    } else if (err != 0) {
        PyErr_Format(PyExc_ValueError, "start_response(): malformed header %R: %R",
                     name, value);
    }
    return err == 0 ? 0 : -1;
}

static int
headers_add(WsgiCall *call, PyObject *headers)
{
    HttpFields *fields = &call->fields;
    if (!PyList_Check(headers)) {
        PyErr_Format(PyExc_TypeError,
                     "start_response(): headers are a list, not %.100s",
                     Py_TYPE(headers)->tp_name);
        return -1;
    }
    if (fields->raw.ptr == NULL) {
        fields->raw = call->app->fields.raw;
        call->app->fields.raw = (Buf){NULL, 0, 0};
    }
    http_fields_clear(fields);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *pair = Py_NewRef(PyList_GET_ITEM(headers, i));
        int err = header_add(fields, pair); /* its repr() may change the list */
        Py_DECREF(pair);
        if (err < 0) {
            return -1;
        }
    }
    return 0;
}

/* Raises the exception in exc_info. Returns -1. */
static int
exc_info_raise(PyObject *exc_info)
{
    PyObject *exc = PyTuple_GET_ITEM(exc_info, 1);
    PyObject *traceback = PyTuple_GET_ITEM(exc_info, 2);
    if (PyExceptionInstance_Check(exc)) {
        if (PyTraceBack_Check(traceback)) {
            (void)PyException_SetTraceback(exc, traceback);
        }
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    } else {
        PyErr_SetString(PyExc_TypeError, "start_response(): exc_info has no exception");
    }
    return -1;
}

/* Whether start_response() is allowed now, the first time or again with exc_info. 0, or -1 with an
 * exception set. */
static int
start_check(const WsgiCall *call, PyObject *exc_info)
{
    if (exc_info != NULL
        && (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3)) {
        PyErr_Format(
            PyExc_TypeError,
            "start_response(): exc_info is what sys.exc_info() returns, not %R",
            exc_info);
        return -1;
    }
    if (call->req == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "start_response(): the request is over");
        return -1;
    }
    if (exc_info != NULL) {
        return call->stage > WSGI_HEAD ? exc_info_raise(exc_info) : 0;
    }
    if (call->stage != WSGI_START) {
        PyErr_SetString(
            PyExc_AssertionError,
            "start_response() was called before; a second call needs exc_info");
        return -1;
    }
    return 0;
}

static PyObject *response_write_new(WsgiCall *call);

static PyObject *
start_response(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    WsgiCall *call = (WsgiCall *)op;
    /* PEP 3333 has apps pass exc_info by position, but other servers take it by name, too. */
    bool named =
        kwnames != NULL && PyTuple_GET_SIZE(kwnames) == 1 && nargs == 2
        && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "exc_info")
               == 0;
    nargs += named;
    if (nargs < 2 || nargs > 3 || (kwnames != NULL && !named)) {
        return PyErr_Format(PyExc_TypeError,
                            "start_response() takes status, headers and, at most, "
                            "exc_info, not %zd arguments",
                            nargs);
    }
    PyObject *exc_info = nargs == 3 && args[2] != Py_None ? args[2] : NULL;
    if (start_check(call, exc_info) < 0) {
        return NULL;
    }
    call->stage = WSGI_START; /* stays so if the next lines fail */
    call->status = status_parse(args[0]);
    if (call->status < 0 || headers_add(call, args[1]) < 0) {
        return NULL;
    }
    Py_XSETREF(call->status_line, Py_NewRef(args[0]));
    call->left = call->fields.has_content_length ? call->fields.content_length : -1;
    call->stage = WSGI_HEAD;
    return response_write_new(call);
}

static PyMethodDef start_response_def = {
    "start_response", (PyCFunction)(void (*)(void))start_response,
    METH_FASTCALL | METH_KEYWORDS, "Begins the response: status, headers, exc_info."};

PyObject *
wsgi_start_response_new(WsgiCall *call)
{
    return PyCFunction_New(&start_response_def, (PyObject *)call);
}

/* ---- Pieces of the body ------------------------------------------------------------------- */

bool
wsgi_is_bodyless(const WsgiCall *call)
{
    return call->req->is_head || call->status == 204 || call->status == 304;
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

static PyObject *
response_write_new(WsgiCall *call)
{
    return PyCFunction_New(&write_def, (PyObject *)call);
}
