/* The rules for ranges and conditions as Python functions, for FileResponse.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_FILES_RULES_FOR_PYTHON_H
#define FLUVIAL_FILES_RULES_FOR_PYTHON_H

#include "base/py.h"

/* Adds the functions to the module. 0, or -1 with an exception set. */
int rules_setup(PyObject *module);

#endif
