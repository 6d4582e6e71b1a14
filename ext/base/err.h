/* Exceptions. This is the only place where a libuv error code becomes a Python exception. It also
 * hides an API change of CPython 3.12: err_take returns the current exception as one object in all
 * versions.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_ERR_H
#define FLUVIAL_BASE_ERR_H

#include "base/py.h"

/* A new reference to the OSError (or MemoryError, socket.gaierror …) for the negative UV_E*
 * code `err`; NULL with an exception set when that fails. */
PyObject *err_new(int err);

/* Sets the exception for `err`. Returns NULL, so that callers can return it. */
PyObject *err_set(int err);

/* Clears the current exception and returns it, with its traceback, as a new reference. An exception
 * must be set. */
PyObject *err_take(void);

/* Sets `exc` (stolen), which err_take returned. */
void err_restore(PyObject *exc);

/* The exception that a coroutine's throw(type_or_exception, value, traceback) must raise. `args`
 * (borrowed) is the tuple of its arguments. A new reference, or NULL with an exception set. */
PyObject *err_thrown(PyObject *args);

/* Whether the current exception is one that no event loop may swallow: SystemExit or
 * KeyboardInterrupt. */
bool err_is_fatal(void);

#endif
