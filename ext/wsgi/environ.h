/* The environ dict of a request to a WSGI app (PEP 3333, "environ Variables"; RFC 3875).
 * Thread: as each function says.
 */
#ifndef FLUVIAL_WSGI_ENVIRON_H
#define FLUVIAL_WSGI_ENVIRON_H

#include "base/py.h"
#include "wsgi/app.h"
#include "wsgi/call.h"

/* On the loop's thread: the template of this request's environ, which includes our end of the
 * connection. A new reference, or NULL with an exception set. */
PyObject *wsgi_environ_template(WsgiApp *app, const HttpRequest *req);

/* On a worker: the environ, a new dict, or NULL with an exception set. It is made only there, so
 * that requests that wait for a thread take little memory. */
PyObject *wsgi_environ_new(WsgiCall *call);

#endif
