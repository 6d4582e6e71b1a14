/* The type `_core.Server`: its constructor and methods (see server.h). Thread: the loop's, with the GIL. */
#ifndef FLUVIAL_APP_SERVE_SERVER_TYPE_H
#define FLUVIAL_APP_SERVE_SERVER_TYPE_H

#include "base/py.h"
#include "app/app_state.h"
#include "app/server.h"

/* Creates AppState.server_type and adds it to the module. 0, or -1 with an exception set. */
int server_setup(PyObject *module, AppState *st);

/* 0, or -1 with an exception set: whether close() has not been called; whether there is a loop. */
int server_check_open(const AppServer *self);
int server_check_loop(const AppServer *self);

/* server_coding.c: methods. */
PyObject *server_compress(PyObject *op, PyObject *args);
PyObject *server_decompress(PyObject *op, PyObject *names);
/* server_stop.c: methods. */
PyObject *server_drain(PyObject *op, PyObject *args, PyObject *kwargs);
PyObject *server_abort(PyObject *op, PyObject *ignored);
PyObject *server_end_streams(PyObject *op, PyObject *ignored);
PyObject *server_pending(PyObject *op, PyObject *ignored);

#endif
