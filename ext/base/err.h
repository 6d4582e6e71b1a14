/* The one place where a libuv error code becomes a Python exception, and one spelling for what
 * CPython changed in 3.12: the exception that is set, as one object.
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

/* The exception that is set, with its traceback, as a new reference; none is set afterwards.
 * One must be set. */
PyObject *err_take(void);

/* Sets `exc` (stolen) as err_take gave it. */
void err_restore(PyObject *exc);

/* The exception that a coroutine's throw(type_or_exception, value, traceback) means, given the tuple of its
 * arguments (borrowed): a new reference, or NULL with an exception set. */
PyObject *err_thrown(PyObject *args);

/* Whether the exception that is set is one that no event loop may swallow: SystemExit or
 * KeyboardInterrupt. */
bool err_is_fatal(void);

#endif
