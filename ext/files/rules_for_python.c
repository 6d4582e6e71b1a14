/* See rules_for_python.h. So FileResponse and StaticFiles say the same, whichever of them a file is sent by, and
 * wherever.
 */
#include "base/py.h"

#include "files/rules_for_python.h"

#include "files/byte_ranges.h"
#include "files/conditions.h"
#include "files/http_dates.h"

#include <time.h>

static PyObject *
ranges_list_make(const ByteRanges *ranges)
{
    PyObject *list = PyList_New((Py_ssize_t)ranges->n);
    for (unsigned i = 0; i < ranges->n && list != NULL; i++) {
        PyObject *pair = Py_BuildValue("(LL)", (long long)ranges->at[i].start,
                                       (long long)ranges->at[i].end);
        if (pair == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
        }
    }
    return list;
}

static PyObject *
rules_select_ranges(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *value;
    Py_ssize_t len;
    long long size;
    ByteRanges ranges;
    if (!PyArg_ParseTuple(args, "s#L:select_ranges", &value, &len, &size)) {
        return NULL;
    }
    if (ranges_select(slice_of(value, (size_t)len), size, &ranges) == RANGES_IGNORED) {
        Py_RETURN_NONE;
    }
    return ranges_list_make(&ranges);
}

static PyObject *
rules_has_etag(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *list, *etag;
    Py_ssize_t list_len, etag_len;
    int weak;
    if (!PyArg_ParseTuple(args, "s#s#p:has_etag", &list, &list_len, &etag, &etag_len,
                          &weak)) {
        return NULL;
    }
    return PyBool_FromLong(etags_have(slice_of(list, (size_t)list_len),
                                      slice_of(etag, (size_t)etag_len), weak != 0));
}

static PyObject *
rules_parse_date(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *text;
    Py_ssize_t len;
    long long now = (long long)time(NULL);
    int64_t seconds;
    if (!PyArg_ParseTuple(args, "s#|L:parse_http_date", &text, &len, &now)) {
        return NULL;
    }
    if (!http_date_read(slice_of(text, (size_t)len), now, &seconds)) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLongLong(seconds);
}

static PyMethodDef rules_def[] = {
    {"select_ranges", rules_select_ranges, METH_VARARGS,
     "What a Range field requests of so many bytes."},
    {"has_etag", rules_has_etag, METH_VARARGS,
     "Whether a list of entity tags has this one."},
    {"parse_http_date", rules_parse_date, METH_VARARGS,
     "A date of HTTP's in seconds since 1970."},
    {NULL, NULL, 0, NULL},
};

int
rules_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, rules_def);
}
