/* Filling dicts. No state. Thread: any, with the GIL. */
#ifndef FLUVIAL_BASE_DICT_H
#define FLUVIAL_BASE_DICT_H

#include "base/py.h"

/* dict[key] = value (stolen). 0, or -1 with an exception set, also when `value` is NULL. */
static inline int
dict_put(PyObject *dict, PyObject *key, PyObject *value)
{
    int err = value == NULL ? -1 : PyDict_SetItem(dict, key, value);
    Py_XDECREF(value);
    return err;
}

#endif
