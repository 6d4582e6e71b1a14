/* The one place where a libuv error code becomes a Python exception. */
#ifndef FLUVIAL_BASE_ERR_H
#define FLUVIAL_BASE_ERR_H

#include "base/py.h"

/* A new reference to the OSError (or MemoryError, socket.gaierror …) for the negative UV_E*
 * code `err`; NULL with an exception set when that fails. */
PyObject *err_new(int err);

/* Sets the exception for `err`. Returns NULL, so that callers can return it. */
PyObject *err_set(int err);

#endif
