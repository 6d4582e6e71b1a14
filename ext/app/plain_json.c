/* See plain_json.h. Such a result has only one form as JSON, so Python code need not look at each of its values.
 * Instances of subclasses are never plain, because they may be encoded differently. No Python code is called, so
 * borrowed references stay valid.
 */
#include "base/py.h"

#include "app/plain_json.h"

enum { PLAIN_DEPTH_MAX = 100 }; /* deeper ones are left to Python code */

static bool value_is_plain(PyObject *value, int depth);

/* Whether all of `items` (borrowed) are. */
static bool
items_are_plain(PyObject **items, Py_ssize_t count, int depth)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!value_is_plain(items[i], depth)) {
            return false;
        }
    }
    return true;
}

static bool
dict_is_plain(PyObject *dict, int depth)
{
    PyObject *key, *value; /* borrowed */
    Py_ssize_t at = 0;
    while (PyDict_Next(dict, &at, &key, &value)) {
        if (!PyUnicode_CheckExact(key) || !value_is_plain(value, depth)) {
            return false;
        }
    }
    return true;
}

static bool
value_is_plain(PyObject *value, int depth)
{
    if (PyUnicode_CheckExact(value) || PyLong_CheckExact(value)
        || PyFloat_CheckExact(value) || PyBool_Check(value) || value == Py_None) {
        return true;
    }
    if (depth == PLAIN_DEPTH_MAX) {
        return false;
    }
    if (PyDict_CheckExact(value)) {
        return dict_is_plain(value, depth + 1);
    }
    bool listed = PyList_CheckExact(value) || PyTuple_CheckExact(value);
    return listed
           && items_are_plain(PySequence_Fast_ITEMS(value),
                              PySequence_Fast_GET_SIZE(value), depth + 1);
}

static PyObject *
plain_json_py_look(PyObject *Py_UNUSED(module), PyObject *value)
{
    return PyBool_FromLong(value_is_plain(value, 0));
}

static PyMethodDef plain_json_def[] = {
    {"is_plain_json", plain_json_py_look, METH_O,
     PyDoc_STR("Whether the value has only what JSON has.")},
    {NULL, NULL, 0, NULL},
};

int
plain_json_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, plain_json_def);
}
