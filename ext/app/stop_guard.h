/* The guard over a process that is to end: SIGINT and SIGTERM set a deadline for it, after which
 * the process ends, whatever its threads do. Nothing here needs the GIL once it is open, so that
 * code which keeps the GIL can't put the end off (ADR 19).
 * Thread: set up with the GIL; the signals and its own thread come without.
 */
#ifndef FLUVIAL_APP_STOP_GUARD_H
#define FLUVIAL_APP_STOP_GUARD_H

#include "base/py.h"

/* Adds the functions guard_* to `module`. 0, or -1 with an exception set. */
int stop_guard_setup(PyObject *module);

#endif
