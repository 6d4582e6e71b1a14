/* Attributes that are stored as a C bool and accept any object with a truth value, as asyncio's own
 * attributes do: loop.set_debug(0). Members of type T_BOOL accept only True and False.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_FLAG_H
#define FLUVIAL_BASE_FLAG_H

#include "base/py.h"

/* A getter and a setter; `closure` is the bool's offset in the object. */
PyObject *flag_get(PyObject *op, void *closure);
int flag_set(PyObject *op, PyObject *value, void *closure);

/* An entry of a PyGetSetDef table. */
#define FLAG(name, type, field)                                                        \
    {name, flag_get, flag_set, NULL, (void *)offsetof(type, field)}

#endif
