/* The access log's format, as Python describes it.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_APP_SERVE_ACCESS_FORMAT_READ_H
#define FLUVIAL_APP_SERVE_ACCESS_FORMAT_READ_H

#include "base/py.h"
#include "http/server.h"

/* Gives the server the format `described`: a tuple (json, worker, pieces). A piece is a str of literal text, or (atom, argument, style), where style is one of AccessStyle. 0, or -1 with an
 * exception set. */
int server_access_format(HttpServer *server, PyObject *described);

#endif
