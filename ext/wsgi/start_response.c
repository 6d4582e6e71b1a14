/* start_response for a WSGI app (PEP 3333, "The start_response() Callable"): reads the status and the
 * headers, and refuses what HTTP doesn't allow and what is the server's. Thread: a worker's.
 */
#include "base/py.h"

#include "wsgi/call.h"

#include "app/header_pairs.h"
#include "base/err.h"

#include <uv.h>

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
    if (call->given != NULL) { /* Flask forgets the request before it returns */
        wsgi_find_route(call, call->given, Py_None);
    }
    return wsgi_write_new(call);
}

static PyMethodDef start_response_def = {
    "start_response", (PyCFunction)(void (*)(void))start_response,
    METH_FASTCALL | METH_KEYWORDS, "Begins the response: status, headers, exc_info."};

PyObject *
wsgi_start_response_new(WsgiCall *call)
{
    return PyCFunction_New(&start_response_def, (PyObject *)call);
}
