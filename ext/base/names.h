/* Helpers for the set-up of every layer: imported objects and interned strings.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_NAMES_H
#define FLUVIAL_BASE_NAMES_H

#include "base/py.h"

/* Imports `module` and stores its attribute `name` in *to (owned). 0, or -1 with an exception
 * set. */
int name_import(PyObject **to, const char *module, const char *name);

/* Stores the interned string `text` in *to (owned). 0, or -1 with an exception set. */
int name_intern(PyObject **to, const char *text);

#endif
