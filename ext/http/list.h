/* Lists in the values of header fields (RFC 9110 section 5.6.1). No state. Thread: any. */
#ifndef FLUVIAL_HTTP_LIST_H
#define FLUVIAL_HTTP_LIST_H

#include "base/py.h"
#include "base/slice.h"
#include "http/request.h"

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
    const char *at = memchr(rest->ptr, separator, rest->len);
    Slice item = *rest;
    *rest = slice_of(NULL, 0);
    if (at != NULL) {
        size_t len = (size_t)(at - item.ptr);
        *rest = slice_of(at + 1, item.len - len - 1);
        item.len = len;
    }
    return list_trim(item);
}

/* Whether one of the comma-separated items of all fields `name` is `token`; both are in lower
 * case. */
static inline bool
list_has(const HttpRequest *req, Slice name, Slice token)
{
    int32_t i = http_field_find(req, name, 0);
    while (i >= 0) {
        Slice rest = http_field_value(req, (uint32_t)i);
        do {
            if (slice_eq_nocase(list_next(&rest, ','), token)) {
                return true;
            }
        } while (rest.ptr != NULL);
        i = http_field_find(req, name, (uint32_t)i + 1);
    }
    return false;
}

#endif
