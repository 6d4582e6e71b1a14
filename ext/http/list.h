/* Lists in the header fields of a request (RFC 9110 section 5.6.1). No state. Thread: any. */
#ifndef FLUVIAL_HTTP_LIST_H
#define FLUVIAL_HTTP_LIST_H

#include "base/py.h"
#include "base/list.h"
#include "http/request.h"

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
