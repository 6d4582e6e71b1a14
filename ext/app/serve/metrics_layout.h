/* Functions for Python: what is where in the memory of metrics.h. Thread: any, with the GIL. */
#ifndef FLUVIAL_APP_SERVE_METRICS_LAYOUT_H
#define FLUVIAL_APP_SERVE_METRICS_LAYOUT_H

#include "base/py.h"

/* Adds the functions to the module. 0, or -1 with an exception set. */
int metrics_layout_setup(PyObject *module);

#endif
