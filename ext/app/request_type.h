/* `_core.Request`: one request as handlers see it. Attributes are made from the HttpRequest at
 * first use, and then kept.
 *
 * Ownership: the object holds a reference on the HttpRequest, whose AppCall.request refers to the
 * object. That must be cleared when the exchange is over, or neither is ever freed.
 * Thread: any, with the GIL; read() only on the loop's thread.
 */
#ifndef FLUVIAL_APP_REQUEST_TYPE_H
#define FLUVIAL_APP_REQUEST_TYPE_H

#include "base/py.h"
#include "app/app_state.h"
#include "http/request.h"

/* Creates AppState.request_type and adds it to the module. 0, or -1 with an exception set. */
int request_setup(PyObject *module, AppState *st);

/* An instance of `type` (borrowed; AppState.request_type or a subclass, whose __init__ isn't
 * called) for `req`, with `app` (borrowed) as its attribute. A new reference, or NULL with an
 * exception set. Does not touch AppCall.request. */
PyObject *request_new(PyTypeObject *type, HttpRequest *req, PyObject *app);

/* Whether `type` can be given to request_new. */
bool request_type_check(const AppState *st, PyObject *type);

/* The HttpRequest of a `_core.Request`; borrowed while `obj` lives. */
HttpRequest *request_http(PyObject *obj);

#endif
