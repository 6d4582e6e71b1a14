/* The ids of requests: taken from a header field of a trusted peer, or made. With them a request is found again
 * in the access log, in what the app logs, and in what the client was told. Off unless a field is named.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_HTTP_REQUEST_ID_H
#define FLUVIAL_HTTP_REQUEST_ID_H

#include "base/py.h"
#include "base/buf.h"
#include "base/slice.h"
#include "http/request.h"

enum {
    REQUEST_ID_MAX = 128, /* bytes of an id that is taken */
    REQUEST_ID_MADE = 32, /* bytes of an id that is made: hexadecimal digits */
};

typedef struct RequestIds {
    Buf name; /* owned: the field's, in lower case; empty: there are no ids */
    char process[REQUEST_ID_MADE / 2]; /* what the ids that are made begin with */
    uint64_t state; /* of the generator of the rest, random at the start */
} RequestIds;

/* Names the field. 0; UV_EINVAL when `name` is not a token; UV_ENOMEM; what the system says when it has no random
 * numbers. An empty name turns ids off. */
int request_ids_set(RequestIds *ids, Slice name);
void request_ids_clear(RequestIds *ids);

static inline bool
request_ids_on(const RequestIds *ids)
{
    return ids->name.len != 0;
}

/* Gives the request its id, unless it has one. Without memory it stays without. `trusted`: the peer is believed. */
void request_id_give(RequestIds *ids, HttpRequest *req, bool trusted);
/* Makes an id: writes REQUEST_ID_MADE bytes. */
void request_id_make(RequestIds *ids, char *out);
/* Whether `raw`, lines of a response's header fields, has the field already. */
bool request_ids_has(const RequestIds *ids, Slice raw);

#endif
