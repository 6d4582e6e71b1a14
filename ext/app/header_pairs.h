/* Header fields of a response, from Python's list of pairs. Thread: any, with the GIL. */
#ifndef FLUVIAL_APP_HEADER_PAIRS_H
#define FLUVIAL_APP_HEADER_PAIRS_H

#include "base/py.h"
#include "http/response.h"

/* Replaces what is in `fields` by the pairs (name: bytes, value: bytes) of `headers` (borrowed; any
 * iterable). 0, or -1 with an exception set: TypeError, or a ValueError that names the malformed
 * field. */
int fields_from_pairs(HttpFields *fields, PyObject *headers);

/* The content of a bytes object; valid as long as that object. */
static inline Slice
bytes_slice(PyObject *bytes)
{
    return slice_of(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
}

#endif
