/* The struct of `_core.Request`, for types in C that derive from it.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_REQUEST_OBJECT_H
#define FLUVIAL_APP_REQUEST_OBJECT_H

#include "base/py.h"
#include "app/call.h"
#include "app/request_values.h"

typedef struct RequestObject {
    PyObject_HEAD
    HttpRequest *http; /* owned reference */
    AppServer *server; /* owned: keeps the router's plans and names alive */
    PyObject *values[REQUEST_NVALUES]; /* owned; NULL until first used */
    PyObject *app;                     /* owned */
    PyObject *state;                   /* owned or NULL, which reads as None */
    PyObject *cache;                   /* owned or NULL */
    PyObject *at_end; /* owned callable or NULL: called when the call is over */
    bool body_taken;  /* read() has given the collected body */
} RequestObject;

/* The attribute, made at first use: borrowed, or NULL with an exception set. */
static inline PyObject *
request_cached(RequestObject *self, RequestValue which)
{
    if (self->values[which] == NULL) {
        self->values[which] = request_value(self->http, which);
    }
    return self->values[which];
}

/* For the slots of derived types: what they must do for the Request in them. request_dealloc frees
 * the whole object and releases its type. */
int request_traverse(PyObject *op, visitproc visit, void *arg);
int request_clear(PyObject *op);
void request_dealloc(PyObject *op);

#endif
