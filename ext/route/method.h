/* Sets of HTTP methods: one bit per method, by llhttp's number for it.
 * Thread: any; method_set_allow with the GIL.
 */
#ifndef FLUVIAL_ROUTE_METHOD_H
#define FLUVIAL_ROUTE_METHOD_H

#include "base/py.h"
#include "base/slice.h"
#include "route/router.h"

enum { METHODS_MAX = 64 };

/* The bit of the method `name` ("GET"); 0 when llhttp knows no such HTTP method. */
MethodSet method_bit(Slice name);

/* Stores the sorted names of `methods`, which are static memory; returns their number. */
unsigned method_set_names(MethodSet methods, Slice names[METHODS_MAX]);

/* The value of an Allow field, as "GET, HEAD". A new reference to bytes, or NULL with MemoryError. */
PyObject *method_set_allow(MethodSet methods);

#endif
