/* The type `_core.Param`: one argument of a handler. Its constructor is for Python. Thread: any,
 * with the GIL. */
#ifndef FLUVIAL_APP_BIND_PARAM_TYPE_H
#define FLUVIAL_APP_BIND_PARAM_TYPE_H

#include "base/py.h"

/* Creates the type, *type (owned by the caller), and adds it to the module. 0, or -1 with an exception set. */
int param_setup(PyObject *module, PyTypeObject **type);

#endif
