/* Makes sure that a process ends when it is asked to. SIGINT and SIGTERM set a deadline; after that
 * the process is ended, whatever its threads do. Once the guard is open it needs no GIL, so that
 * code which holds the GIL can't delay the end (ADR 19).
 * Thread: opened and closed with the GIL; signal handlers run on any thread, without it.
 */
#ifndef FLUVIAL_APP_STOP_GUARD_H
#define FLUVIAL_APP_STOP_GUARD_H

#include "base/py.h"

/* Adds the functions guard_* to `module`. 0, or -1 with an exception set. */
int stop_guard_setup(PyObject *module);

#endif
