/* Interned strings in the state of a folder, from an X-macro list of their names:
 *
 *     #define ROOM_STRINGS(X) X(status) X(headers)          str_status = "status"
 *     #define ROOM_TEXTS(X)   X(http_request, "http.request")   for texts that aren't identifiers
 *
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_STRINGS_H
#define FLUVIAL_BASE_STRINGS_H

#include "base/py.h"

/* In the struct: the fields, each owned. */
#define STRING_FIELD(name) PyObject *str_##name;
#define TEXT_FIELD(name, text) PyObject *str_##name;

/* Parts of a condition on `st`, which is false with an exception set if a string can't be made. */
#define STRING_INTERN(name)                                                            \
    &&(st->str_##name = PyUnicode_InternFromString(#name)) != NULL
#define TEXT_INTERN(name, text)                                                        \
    &&(st->str_##name = PyUnicode_InternFromString(text)) != NULL

/* In a function that releases the objects of `st`. */
#define STRING_CLEAR(name) Py_CLEAR(st->str_##name);
#define TEXT_CLEAR(name, text) Py_CLEAR(st->str_##name);

#endif
