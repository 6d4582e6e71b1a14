/* `_core.Encoder`: an Encoder (encoder.h) for Python. Thread: any, with the GIL, one at a time for each
 * object; long pieces are encoded without the GIL.
 */
#ifndef FLUVIAL_CODING_ENCODER_TYPE_H
#define FLUVIAL_CODING_ENCODER_TYPE_H

#include "base/py.h"

/* Adds the type to the module. 0, or -1 with an exception set. */
int encoder_type_setup(PyObject *module);

#endif
