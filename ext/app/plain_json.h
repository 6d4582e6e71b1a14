/* is_plain_json(value) -> bool: whether a result is of the types that JSON has, and of nothing else.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_PLAIN_JSON_H
#define FLUVIAL_APP_PLAIN_JSON_H

#include "base/py.h"

/* Adds the function to the module. 0, or -1 with an exception set. */
int plain_json_setup(PyObject *module);

#endif
