/* From one of our types to the module that owns it. Thread: any, with the GIL. */
#ifndef FLUVIAL_BASE_MODULE_H
#define FLUVIAL_BASE_MODULE_H

#include "base/py.h"

/* The module that created `type` or one of its bases; borrowed, alive as long as the type.
 * NULL with TypeError set for a foreign type. Defined in module.c. */
PyObject *module_of_type(PyTypeObject *type);

#endif
