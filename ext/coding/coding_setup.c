/* See coding_state.h. */
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
    return err < 0 ? -1 : encoder_type_setup(module);
}
