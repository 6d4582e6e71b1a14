/* The environ dict of a request to a WSGI app (PEP 3333, "environ Variables"; RFC 3875).
 * Thread: as each function says.
 */
#ifndef FLUVIAL_WSGI_ENVIRON_H
#define FLUVIAL_WSGI_ENVIRON_H

#include "base/py.h"
#include "wsgi/app.h"
#include "wsgi/call.h"

/* The loop's thread: what the environ of this request begins with, our end of the connection
 * included. A new reference, or NULL with an exception set. */
PyObject *wsgi_environ_template(WsgiApp *app, const HttpRequest *req);

/* A worker: the environ itself, a new dict. Built there, so that requests that wait for a thread
 * take little memory. NULL with an exception set. */
PyObject *wsgi_environ_new(WsgiCall *call);

#endif
