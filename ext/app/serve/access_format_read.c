/* See access_format_read.h. Runs once per server, with the GIL.
 */
#include "base/py.h"

#include "app/serve/access_format_read.h"

#include "base/err.h"
#include "http/access_format.h"

#include <uv.h>

/* The UTF-8 of a str, valid as long as that; false with an exception set. */
static bool
str_read(PyObject *str, Slice *out)
{
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(str, &len);
    if (text != NULL) {
        *out = slice_of(text, (size_t)len);
    }
    return text != NULL;
}

/* 0, or -1 with an exception set. */
static int
piece_read(AccessFormat *format, PyObject *piece)
{
    Slice text, argument;
    PyObject *name, *field;
    int style, err;
    if (PyUnicode_Check(piece)) {
        if (!str_read(piece, &text)) {
            return -1;
        }
        err = access_format_literal(format, text);
    } else {
        if (!PyTuple_Check(piece)) {
            PyErr_Format(PyExc_TypeError,
                         "access_format: a piece is a str or a tuple, not %R", piece);
            return -1;
        }
        if (!PyArg_ParseTuple(piece, "UUi:access_format", &name, &field, &style)
            || !str_read(name, &text) || !str_read(field, &argument)) {
            return -1;
        }
        if (style < ACCESS_TEXT || style > ACCESS_JSON_VALUE) {
            PyErr_Format(PyExc_ValueError,
                         "access_format: style must be 0 to 2, not %d", style);
            return -1;
        }
        err = access_format_atom(format, text, argument, (AccessStyle)style);
        if (err == UV_EINVAL) {
            PyErr_Format(PyExc_ValueError, "access_format: there is no atom %R", name);
            return -1;
        }
    }
    if (err != 0) {
        (void)err_set(err);
        return -1;
    }
    return 0;
}

int
server_access_format(HttpServer *server, PyObject *described)
{
    int json, worker;
    PyObject *pieces;
    if (!PyArg_ParseTuple(described, "piO!:access_format", &json, &worker,
                          &PyTuple_Type, &pieces)) {
        return -1;
    }
    AccessFormat *format = access_format_new(json != 0, worker);
    if (format == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pieces); i++) {
        if (piece_read(format, PyTuple_GET_ITEM(pieces, i)) < 0) {
            access_format_free(format);
            return -1;
        }
    }
    http_server_access_format(server, format);
    return 0;
}
