/* The Python type Shape: whether a value is exactly of a declared type, at every depth, so that an encoder writes
 * no more of it than is declared. Made by pysrc/fluvial/_signature/shapes.py, once for each response model.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_SHAPE_H
#define FLUVIAL_APP_SHAPE_H

#include "base/py.h"

/* Adds the type and its constants to the module. 0, or -1 with an exception set. */
int shape_setup(PyObject *module);

#endif
