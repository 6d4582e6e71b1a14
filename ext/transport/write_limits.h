/* The arguments of set_write_buffer_limits(). No state. Thread: any, with the GIL. */
#ifndef FLUVIAL_TRANSPORT_WRITE_LIMITS_H
#define FLUVIAL_TRANSPORT_WRITE_LIMITS_H

#include "base/py.h"

enum { LIMITS_HIGH = 64 * 1024, LIMITS_LOW = LIMITS_HIGH / 4 }; /* bytes, asyncio's */

/* Reads `high` and `low` (bytes; missing ones are derived as asyncio does) from a call's
 * arguments. 0, or -1 with an exception set and the limits as they were. */
int limits_parse(PyObject *args, PyObject *kwargs, size_t *low, size_t *high);

#endif
