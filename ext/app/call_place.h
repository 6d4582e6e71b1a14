/* Where a request has come in: the path prefix that a proxy has removed, and our end of its connection.
 *
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_CALL_PLACE_H
#define FLUVIAL_APP_CALL_PLACE_H

#include "base/py.h"
#include "http/request.h"

/* The prefix that a proxy has removed from the path: what it said itself, or else `configured` (borrowed).
 * A new reference, or NULL with an exception set. */
PyObject *call_root(const HttpRequest *req, PyObject *configured);
/* The same for the server's own routes. The bytes live as long as request and server; {NULL, 0} with an
 * exception set when out of memory. */
Slice call_root_bytes(const HttpRequest *req);

/* Our end of the connection as (host, port), or (path, None) for a Unix socket: a new reference; None when
 * it is unknown. NULL with an exception set. */
PyObject *call_local_pair(const HttpRequest *req);

#endif
