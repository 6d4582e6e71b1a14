/* Imports and interned strings (see names.h).
 */
#include "base/py.h"

#include "base/names.h"

int
name_import(PyObject **to, const char *module, const char *name)
{
    PyObject *mod = PyImport_ImportModule(module);
    if (mod == NULL) {
        return -1;
    }
    *to = PyObject_GetAttrString(mod, name);
    Py_DECREF(mod);
    return *to == NULL ? -1 : 0;
}

int
name_intern(PyObject **to, const char *text)
{
    *to = PyUnicode_InternFromString(text);
    return *to == NULL ? -1 : 0;
}
