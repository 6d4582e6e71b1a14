/* The fields of a request, and its method (see request.h). The loop's thread.
 * request_life.c creates and recycles requests; request_facts.c knows their connections.
 */
#include "base/py.h"

#include "http/request.h"

#include <llhttp.h>
#include <uv.h>

enum { FIELDS_FIRST = 16 }; /* reserved for the first request of an object */

Slice
http_request_method(const HttpRequest *req)
{
    if (unlikely(req->method == METHOD_UNKNOWN)) {
        return SLICE("-");
    }
    const char *name = llhttp_method_name((llhttp_method_t)req->method);
    return slice_of(name, strlen(name));
}

int32_t
http_field_find(const HttpRequest *req, Slice name, uint32_t from)
{
    for (uint32_t i = from; i < req->nfields; i++) {
        if (slice_eq(http_field_name(req, i), name)) {
            return (int32_t)i;
        }
    }
    return -1;
}

int
request_fields_grow(HttpRequest *req)
{
    uint32_t cap = req->cap_fields == 0 ? FIELDS_FIRST : req->cap_fields * 2;
    HttpField *fields = PyMem_RawRealloc(req->fields, cap * sizeof(*fields));
    if (fields == NULL) {
        return UV_ENOMEM;
    }
    req->fields = fields;
    req->cap_fields = cap;
    return 0;
}

static void
request_field_note(HttpRequest *req, Slice name, int32_t i)
{
    if (slice_eq(name, SLICE("host")) && req->host < 0) {
        req->host = i;
    } else if (slice_eq(name, SLICE("content-type")) && req->content_type < 0) {
        req->content_type = i;
    } else if (slice_eq(name, SLICE("cookie")) && req->cookie < 0) {
        req->cookie = i;
    } else if (slice_eq(name, SLICE("content-length"))
               || slice_eq(name, SLICE("transfer-encoding"))) {
        req->has_body = true;
    }
}

int
http_request_add_field(HttpRequest *req, Slice name, Slice value)
{
    if ((req->nfields == req->cap_fields && request_fields_grow(req) != 0)
        || buf_reserve(&req->head, name.len + value.len) != 0) {
        return UV_ENOMEM;
    }
    uint32_t at = (uint32_t)req->head.len;
    for (size_t i = 0; i < name.len; i++) {
        req->head.ptr[at + i] = ascii_lower(name.ptr[i]);
    }
    req->head.len += name.len;
    (void)buf_append_slice(&req->head, value); /* the room is reserved */
    HttpField *field = &req->fields[req->nfields];
    *field = (HttpField){.name = at,
                         .name_len = (uint32_t)name.len,
                         .value = at + (uint32_t)name.len,
                         .value_len = (uint32_t)value.len};
    request_field_note(req, http_field_name(req, req->nfields), (int32_t)req->nfields);
    req->nfields++;
    return 0;
}
