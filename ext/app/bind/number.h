/* Converts text to int, float and bool by the rules that pydantic has for strings in lax mode.
 *
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_BIND_NUMBER_H
#define FLUVIAL_APP_BIND_NUMBER_H

#include "base/py.h"
#include "base/slice.h"

/* The value of the UTF-8 `text`: a new reference. NULL without an exception when the text is no such value;
 * NULL with MemoryError set. */
PyObject *number_int(Slice text);
PyObject *number_float(Slice text);
PyObject *number_bool(Slice text);

#endif
