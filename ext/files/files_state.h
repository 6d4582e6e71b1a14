/* The static files' part of the module's state.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_FILES_FILES_STATE_H
#define FLUVIAL_FILES_FILES_STATE_H

#include "base/py.h"

typedef struct FilesState {
    /* All owned. */
    PyTypeObject *static_type; /* see static_files.c */
    PyTypeObject *served_type; /* see served_file.h */
    PyTypeObject *turns_type;  /* see file_turns.h */
} FilesState;

/* The room's part of the state of `module`; borrowed. Defined in module.c. */
FilesState *files_state(PyObject *module);

/* Creates the types and adds StaticFiles to the module. 0, or -1 with an exception set. */
int files_setup(PyObject *module, FilesState *st);
int files_traverse(FilesState *st, visitproc visit, void *arg);
void files_clear(FilesState *st);

#endif
