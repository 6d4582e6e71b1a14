/* `_core.WsgiInput`: wsgi.input, the body of a request as a readable file (PEP 3333, "Input and
 * Error Streams"). While it waits for the client, the GIL is released.
 * Thread: a worker's, with the GIL.
 */
#ifndef FLUVIAL_WSGI_INPUT_H
#define FLUVIAL_WSGI_INPUT_H

#include "base/py.h"
#include "wsgi/wsgi_state.h"
#include "wsgi/call.h"

/* Creates WsgiState.wsgi_input_type and adds it to the module. 0, or -1 with an exception set. */
int wsgi_input_setup(PyObject *module, WsgiState *st);

/* The input of `call` (borrowed); for NULL, one that is always empty. A new reference, or NULL with
 * an exception set. */
PyObject *wsgi_input_new(const WsgiState *st, WsgiCall *call);

#endif
