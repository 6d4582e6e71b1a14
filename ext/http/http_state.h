/* The http layer's share of the module's state: its types, imports and interned strings.
 * Thread: any, with the GIL; changed only while the module is imported or released.
 */
#ifndef FLUVIAL_HTTP_HTTP_STATE_H
#define FLUVIAL_HTTP_HTTP_STATE_H

#include "base/py.h"

typedef struct HttpState {
    PyObject *module; /* borrowed: the module that owns this state */
} HttpState;

/* The http layer's part of the state of `module`; borrowed. Defined in module.c. */
HttpState *http_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int http_setup(PyObject *module, HttpState *st);
int http_traverse(HttpState *st, visitproc visit, void *arg);
void http_clear(HttpState *st);

#endif
