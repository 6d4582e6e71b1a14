/* What Python sees of the codings (see coding_state.h): the table CODINGS, choose_coding() and the type
 * Encoder. */
#include "base/py.h"

#include "coding/coding_state.h"

#include "coding/coding.h"
#include "coding/encoder_type.h"

/* 0, or -1 with an exception set. */
static int
levels_add(PyObject *names, Coding coding)
{
    Slice name = coding_name(coding);
    CodingLevels levels = coding_levels(coding);
    PyObject *key = PyUnicode_FromStringAndSize(name.ptr, (Py_ssize_t)name.len);
    PyObject *value =
        Py_BuildValue("(iii)", levels.lowest, levels.highest, levels.usual);
    int err = key == NULL || value == NULL ? -1 : PyDict_SetItem(names, key, value);
    Py_XDECREF(key);
    Py_XDECREF(value);
    return err;
}

/* Reads a tuple of names. Their number, or -1 with an exception set. */
static int
codings_read(PyObject *names, Coding *codings)
{
    int n = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names) && n < CODINGS; i++) {
        Py_ssize_t len;
        const char *name = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(names, i), &len);
        if (name == NULL) {
            return -1;
        }
        codings[n++] = coding_named(slice_of(name, (size_t)len));
    }
    return n;
}

static PyObject *
choose(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *accept;
    Py_ssize_t len;
    PyObject *names;
    Coding codings[CODINGS];
    unsigned most = 0;
    if (!PyArg_ParseTuple(args, "s#O!:choose_coding", &accept, &len, &PyTuple_Type,
                          &names)) {
        return NULL;
    }
    int n = codings_read(names, codings);
    if (n < 0) {
        return NULL;
    }
    Coding coding =
        coding_choose(slice_of(accept, (size_t)len), codings, (unsigned)n, &most);
    if (coding == CODING_NONE) {
        Py_RETURN_NONE;
    }
    Slice name = coding_name(coding);
    return PyUnicode_FromStringAndSize(name.ptr, (Py_ssize_t)name.len);
}

static PyMethodDef functions_def[] = {
    {"choose_coding", choose, METH_VARARGS,
     "The coding that a value of Accept-Encoding likes best."},
    {NULL, NULL, 0, NULL},
};

int
coding_setup(PyObject *module)
{
    PyObject *names = PyDict_New();
    int err = names == NULL ? -1 : 0;
    for (Coding coding = CODING_GZIP; coding < CODINGS && err == 0; coding++) {
        err = coding_is_built(coding) ? levels_add(names, coding) : 0;
    }
    err = err < 0 ? -1 : PyModule_AddObjectRef(module, "CODINGS", names);
    Py_XDECREF(names);
    err = err < 0 ? -1 : PyModule_AddFunctions(module, functions_def);
    return err < 0 ? -1 : encoder_type_setup(module);
}
