/* Requests and WebSockets that another ASGI server has received: `Server.adopt`.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_APP_SERVE_ADOPT_H
#define FLUVIAL_APP_SERVE_ADOPT_H

#include "base/py.h"

/* The methods adopt, collect and release, see _core.pyi. */
PyObject *server_adopt(PyObject *server, PyObject *args);
PyObject *server_release_adopted(PyObject *server, PyObject *request);
PyObject *server_collect(PyObject *server, PyObject *args);

#endif
