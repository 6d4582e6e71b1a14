/* The content codings' part of the module's state. Thread: any, with the GIL. */
#ifndef FLUVIAL_CODING_CODING_STATE_H
#define FLUVIAL_CODING_CODING_STATE_H

#include "base/py.h"

/* Adds to the module the type Encoder, the function choose_coding, and CODINGS: {name: (lowest, highest, usual level)} of the codings
 * that are built. 0, or -1 with an exception set. There is no state: nothing in C makes Encoders. */
int coding_setup(PyObject *module);

#endif
