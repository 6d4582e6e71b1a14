/* Lists in the values of header fields (RFC 9110 section 5.6.1). No state. Thread: any. */
#ifndef FLUVIAL_BASE_LIST_H
#define FLUVIAL_BASE_LIST_H

#include "base/py.h"
#include "base/slice.h"

static inline Slice
list_trim(Slice item)
{
    while (item.len != 0 && (item.ptr[0] == ' ' || item.ptr[0] == '\t')) {
        item = slice_of(item.ptr + 1, item.len - 1);
    }
    while (item.len != 0
           && (item.ptr[item.len - 1] == ' ' || item.ptr[item.len - 1] == '\t')) {
        item.len--;
    }
    return item;
}

/* The next item of the list in `*rest`, without white space around it. `*rest` becomes what
 * follows the separator, or {NULL, 0} when there is none. */
static inline Slice
list_next(Slice *rest, char separator)
{
    const char *at = rest->len != 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
    Slice item = *rest;
    *rest = slice_of(NULL, 0);
    if (at != NULL) {
        size_t len = (size_t)(at - item.ptr);
        *rest = slice_of(at + 1, item.len - len - 1);
        item.len = len;
    }
    return list_trim(item);
}

#endif
