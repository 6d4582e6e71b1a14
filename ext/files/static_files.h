/* The type _core.StaticFiles: a Mount that serves files below a directory without Python code, and passes on
 * to another Mount what it doesn't serve.
 *
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_FILES_STATIC_FILES_H
#define FLUVIAL_FILES_STATIC_FILES_H

#include "base/py.h"
#include "files/files_state.h"

/* Creates FilesState.static_type and adds it to the module. 0, or -1 with an exception set. */
int static_files_setup(PyObject *module, FilesState *st);

#endif
