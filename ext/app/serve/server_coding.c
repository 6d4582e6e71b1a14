/* Server.compress(((coding, level), ...), least, types) and Server.decompress((coding, ...)): the settings of
 * compressed responses and of compressed requests. Each is called once per server. The loop's thread. */
#include "base/py.h"

#include "app/serve/server_type.h"

#include "base/err.h"

/* Reads (coding, level). 0, or -1 with an exception set. */
static int
choice_read(PyObject *item, HttpCompression *rules)
{
    const char *name;
    Py_ssize_t len;
    int level;
    if (!PyArg_Parse(item, "(s#i);a choice is (coding, level)", &name, &len, &level)) {
        return -1;
    }
    Coding coding = coding_find(slice_of(name, (size_t)len));
    CodingLevels levels = coding_levels(coding);
    if (coding == CODING_NONE || rules->n == CODINGS - 1 || level < levels.lowest
        || level > levels.highest) {
        PyErr_Format(PyExc_ValueError, "no content coding %s of level %d", name, level);
        return -1;
    }
    rules->codings[rules->n] = coding;
    rules->levels[rules->n++] = level;
    return 0;
}

PyObject *
server_compress(PyObject *op, PyObject *args)
{
    AppServer *self = (AppServer *)op;
    PyObject *choices;
    const char *types;
    Py_ssize_t len;
    Py_ssize_t least;
    HttpCompression rules = {.n = 0};
    if (!PyArg_ParseTuple(args, "O!ns#:compress", &PyTuple_Type, &choices, &least,
                          &types, &len)
        || server_check_open(self) < 0) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(choices); i++) {
        if (choice_read(PyTuple_GET_ITEM(choices, i), &rules) < 0) {
            return NULL;
        }
    }
    rules.least = least < 0 ? 0 : (uint64_t)least;
    rules.types = slice_of(types, (size_t)len);
    int err = http_server_compress(self->http, &rules);
    if (err != 0) {
        return err_set(err);
    }
    Py_RETURN_NONE;
}

PyObject *
server_decompress(PyObject *op, PyObject *names)
{
    AppServer *self = (AppServer *)op;
    bool codings[CODINGS] = {false};
    if (!PyTuple_Check(names)) {
        PyErr_SetString(PyExc_TypeError, "decompress() takes a tuple of str");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        Py_ssize_t len;
        const char *name = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(names, i), &len);
        if (name == NULL) {
            return NULL;
        }
        Coding coding = coding_find(slice_of(name, (size_t)len));
        if (coding == CODING_NONE) {
            return PyErr_Format(PyExc_ValueError, "no content coding %s", name);
        }
        codings[coding] = true;
    }
    if (server_check_open(self) < 0) {
        return NULL;
    }
    http_server_decode(self->http, codings);
    Py_RETURN_NONE;
}
