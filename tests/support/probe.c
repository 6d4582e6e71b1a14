/* Lets the tests call the pure functions of ext/app that Python otherwise reaches only through
 * requests. Compiled by probe.py together with the files it tests; never installed.
 *
 * Every text is copied to memory of just its size, so that a sanitizer sees a read past it.
 */
#include "base/py.h"

#include "app/bind/number.h"
#include "base/text.h"
#include "pool/busy_limit.h"
#include "app/bind/query_string.h"

/* A copy of the bytes of `obj` (borrowed); end with PyMem_RawFree. */
static Slice
copy_of(PyObject *obj)
{
    size_t len = (size_t)PyBytes_GET_SIZE(obj);
    char *copy = PyMem_RawMalloc(len);
    if (copy == NULL) {
        Py_FatalError("no memory");
    }
    memcpy(copy, PyBytes_AS_STRING(obj), len);
    return slice_of(copy, len);
}

static PyObject *
bytes_from(Slice s)
{
    return PyBytes_FromStringAndSize(s.ptr, (Py_ssize_t)s.len);
}

static PyObject *
probe_convert(PyObject *Py_UNUSED(module), PyObject *args)
{
    static const struct {
        const char *name;
        PyObject *(*convert)(Slice text);
    } kinds[] = {
        {"int", number_int},     {"float", number_float}, {"bool", number_bool},
        {"utf8", text_utf8},     {"latin1", text_latin1}, {"query", text_query},
        {"cookie", text_cookie},
    };
    const char *name;
    PyObject *bytes;
    if (!PyArg_ParseTuple(args, "sS", &name, &bytes)) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(name, kinds[i].name) == 0) {
            Slice text = copy_of(bytes);
            PyObject *value = kinds[i].convert(text);
            PyMem_RawFree((void *)text.ptr);
            return value != NULL || PyErr_Occurred() ? value : Py_NewRef(Py_None);
        }
    }
    return PyErr_Format(PyExc_ValueError, "no conversion %s", name);
}

static PyObject *
probe_unquote(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *bytes;
    int plus;
    if (!PyArg_ParseTuple(args, "Sp", &bytes, &plus)) {
        return NULL;
    }
    Slice text = copy_of(bytes);
    Buf out = {0};
    int err = plus ? text_unquote_plus(text, &out) : text_unquote(text, &out);
    PyObject *result = err == 0 ? bytes_from(buf_slice(&out)) : PyErr_NoMemory();
    buf_free(&out);
    PyMem_RawFree((void *)text.ptr);
    return result;
}

static PyObject *
pairs_of(PyObject *bytes, bool (*next)(QueryIter *it, Slice *name, Slice *value))
{
    Slice text = copy_of(bytes);
    QueryIter it = {text};
    Slice name, value;
    PyObject *list = PyList_New(0);
    while (list != NULL && next(&it, &name, &value)) {
        PyObject *pair = Py_BuildValue("y#y#", name.ptr, (Py_ssize_t)name.len,
                                       value.ptr, (Py_ssize_t)value.len);
        if (pair == NULL || PyList_Append(list, pair) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
    }
    PyMem_RawFree((void *)text.ptr);
    return list;
}

static PyObject *
probe_query(PyObject *Py_UNUSED(module), PyObject *bytes)
{
    return pairs_of(bytes, query_next);
}

static PyObject *
probe_cookies(PyObject *Py_UNUSED(module), PyObject *bytes)
{
    return pairs_of(bytes, cookie_next);
}

static PyObject *
probe_name_is(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *name, *key;
    if (!PyArg_ParseTuple(args, "SS", &name, &key)) {
        return NULL;
    }
    Slice name_text = copy_of(name), key_text = copy_of(key);
    bool is = query_name_is(name_text, key_text);
    PyMem_RawFree((void *)name_text.ptr);
    PyMem_RawFree((void *)key_text.ptr);
    return PyBool_FromLong(is);
}

/* The state of a Limit as bytes, and its value. */
static PyObject *
limit_state(const Limit *limit)
{
    return Py_BuildValue("y#I", (const char *)limit, (Py_ssize_t)sizeof *limit,
                         limit->value);
}

static PyObject *
probe_limit_init(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned max, cores;
    if (!PyArg_ParseTuple(args, "II", &max, &cores)) {
        return NULL;
    }
    Limit limit;
    limit_init(&limit, max, cores);
    return limit_state(&limit);
}

/* (state, (elapsed, worker_cpu, top_cpu, loop_cpu, loop_waits, busy, blocked, hot, queued,
 * left_queued)) -> (state, value); times in nanoseconds. */
static PyObject *
probe_limit_look(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *state;
    Py_ssize_t size;
    unsigned long long times[5];
    Look look;
    if (!PyArg_ParseTuple(args, "y#(KKKKKIIIII)", &state, &size, &times[0], &times[1],
                          &times[2], &times[3], &times[4], &look.busy, &look.blocked,
                          &look.hot, &look.queued, &look.left_queued)) {
        return NULL;
    }
    look.elapsed = times[0];
    look.worker_cpu = times[1];
    look.top_cpu = times[2];
    look.loop_cpu = times[3];
    look.loop_waits = times[4];
    Limit limit;
    assert(size == (Py_ssize_t)sizeof limit);
    memcpy(&limit, state, (size_t)size);
    limit_look(&limit, &look);
    return limit_state(&limit);
}

static PyMethodDef probe_methods[] = {
    {"convert", probe_convert, METH_VARARGS, NULL},
    {"unquote", probe_unquote, METH_VARARGS, NULL},
    {"query", probe_query, METH_O, NULL},
    {"cookies", probe_cookies, METH_O, NULL},
    {"name_is", probe_name_is, METH_VARARGS, NULL},
    {"limit_init", probe_limit_init, METH_VARARGS, NULL},
    {"limit_look", probe_limit_look, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef probe_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "probe",
    .m_methods = probe_methods,
};

PyMODINIT_FUNC __attribute__((visibility("default")))
PyInit_probe(void)
{
    return PyModuleDef_Init(&probe_def);
}
