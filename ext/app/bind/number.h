/* Numbers and bools from text, as pydantic reads them from strings in its lax mode.
 *
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_BIND_NUMBER_H
#define FLUVIAL_APP_BIND_NUMBER_H

#include "base/py.h"
#include "base/slice.h"

/* A number or bool from its UTF-8 text (see number.c): a new reference; NULL without an exception when the
 * text is none; NULL with MemoryError. */
PyObject *number_int(Slice text);
PyObject *number_float(Slice text);
PyObject *number_bool(Slice text);

#endif
