/* Makes the scope of an ASGI request. Thread: the loop's. */
#ifndef FLUVIAL_ASGI_SCOPE_H
#define FLUVIAL_ASGI_SCOPE_H

#include "base/py.h"
#include "asgi/app.h"
#include "http/request.h"

/* The scope of type "http" for `req`: a new dict, or NULL with an exception set. */
PyObject *asgi_scope_http(AsgiApp *app, HttpRequest *req);
/* The same with type "websocket". */
PyObject *asgi_scope_websocket(AsgiApp *app, HttpRequest *req);

#endif
