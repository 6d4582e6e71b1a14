/* The type `_core.Server`: its constructor and methods (see server.h). Thread: the loop's, with the GIL. */
#ifndef FLUVIAL_APP_SERVE_SERVER_TYPE_H
#define FLUVIAL_APP_SERVE_SERVER_TYPE_H

#include "base/py.h"
#include "app/app_state.h"

/* Creates AppState.server_type and adds it to the module. 0, or -1 with an exception set. */
int server_setup(PyObject *module, AppState *st);

#endif
