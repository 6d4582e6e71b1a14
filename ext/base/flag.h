/* Attributes that are a C bool within and take whatever Python can tell the truth of, as asyncio's
 * own do: loop.set_debug(0). Members of type T_BOOL take nothing but True and False.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_FLAG_H
#define FLUVIAL_BASE_FLAG_H

#include "base/py.h"

/* A getter and a setter; `closure` is the bool's offset in the object. */
PyObject *flag_get(PyObject *op, void *closure);
int flag_set(PyObject *op, PyObject *value, void *closure);

/* The entry of a table of PyGetSetDef. */
#define FLAG(name, type, field)                                                        \
    {name, flag_get, flag_set, NULL, (void *)offsetof(type, field)}

#endif
