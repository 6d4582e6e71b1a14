/* See files_state.h. */
#include "base/py.h"

#include "files/files_state.h"

#include "files/file_turns.h"
#include "files/rules_for_python.h"
#include "files/served_file.h"
#include "files/static_files.h"

int
files_setup(PyObject *module, FilesState *st)
{
    if (served_file_setup(module, st) < 0 || file_turns_setup(module, st) < 0
        || static_files_setup(module, st) < 0 || rules_setup(module) < 0) {
        return -1;
    }
    return 0;
}

int
files_traverse(FilesState *st, visitproc visit, void *arg)
{
    Py_VISIT(st->static_type);
    Py_VISIT(st->served_type);
    Py_VISIT(st->turns_type);
    return 0;
}

void
files_clear(FilesState *st)
{
    Py_CLEAR(st->static_type);
    Py_CLEAR(st->served_type);
    Py_CLEAR(st->turns_type);
}
