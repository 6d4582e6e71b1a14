/* Reading and setting of bool fields (see flag.h). With the GIL.
 */
#include "base/py.h"

#include "base/flag.h"

PyObject *
flag_get(PyObject *op, void *closure)
{
    return PyBool_FromLong(*(bool *)((char *)op + (size_t)closure));
}

int
flag_set(PyObject *op, PyObject *value, void *closure)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "this attribute can't be deleted");
        return -1;
    }
    int truth = PyObject_IsTrue(value);
    if (truth < 0) {
        return -1;
    }
    *(bool *)((char *)op + (size_t)closure) = truth != 0;
    return 0;
}
