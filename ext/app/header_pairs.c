/* See header_pairs.h. http_fields_add decides what a header field may contain. Thread: any, with
 * the GIL. */
#include "base/py.h"

#include "app/header_pairs.h"

#include <uv.h>

/* Adds the field `pair` (borrowed). 0, or -1 with an exception set. */
static int
fields_add_pair(HttpFields *fields, PyObject *pair)
{
    bool fits = PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2;
    PyObject *name = fits ? PyTuple_GET_ITEM(pair, 0) : NULL;  /* borrowed */
    PyObject *value = fits ? PyTuple_GET_ITEM(pair, 1) : NULL; /* borrowed */
    if (!fits || !PyBytes_Check(name) || !PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError, "a header field is a tuple of two bytes, not %R",
                     pair);
        return -1;
    }
    int err = http_fields_add(fields, bytes_slice(name), bytes_slice(value));
    if (err == UV_ENOMEM) {
        PyErr_NoMemory();
    } else if (err != 0) {
        PyErr_Format(PyExc_ValueError, "malformed header field %R: %R", name, value);
    }
    return err == 0 ? 0 : -1;
}

int
fields_from_pairs(HttpFields *fields, PyObject *headers)
{
    PyObject *pairs = PySequence_Fast(headers, "headers must be a sequence of pairs");
    if (pairs == NULL) {
        return -1;
    }
    http_fields_clear(
        fields); /* only now: the lines above may run the user's code, which may use `fields` */
    int err = 0;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(pairs) && err == 0; i++) {
        PyObject *pair = Py_NewRef(PySequence_Fast_GET_ITEM(pairs, i));
        err = fields_add_pair(fields,
                              pair); /* a repr() in its error may change the list */
        Py_DECREF(pair);
    }
    Py_DECREF(pairs);
    return err;
}
