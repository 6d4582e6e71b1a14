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
    REQUEST_ID_COUNT = 8, /* those of them that are the count */
};

typedef struct RequestIds {
    Buf name; /* owned: the field's, in lower case; empty: there are no ids */
    Buf line; /* owned: the name and ": " */
    /* What the ids that are made begin with: a random number, and how often the count has come to its end. */
    char start[REQUEST_ID_MADE - REQUEST_ID_COUNT];
    uint32_t epoch, count; /* random at the start */
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

/* Takes the id that the peer has sent, if it is one and there is no second. */
bool request_id_take(const RequestIds *ids, HttpRequest *req);
/* The count has come to its end. */
void request_ids_turn(RequestIds *ids);

/* The number's eight hexadecimal digits as bytes of text, in any order, computed all at once: half a byte goes to
 * each byte, and those above 9 are as many characters further on. */
static inline uint64_t
request_id_digits(uint32_t number)
{
    const uint64_t each = 0x0101010101010101u; /* of the eight bytes, its lowest bit */
    uint64_t v = (uint64_t)(number >> 16) << 32 | (number & 0xffff);
    v = (v << 8 | v) & 0x00ff00ff00ff00ffu;
    v = (v << 4 | v) & each * 0x0f;
    uint64_t letters = (v + each * 6) >> 4 & each;
    return v + each * '0' + letters * ('a' - '0' - 10);
}

/* Makes an id: writes REQUEST_ID_MADE bytes. The odd factor only scatters the counts: no two results are equal. */
static inline void
request_id_make(RequestIds *ids, char *out)
{
    const uint64_t text = request_id_digits(ids->count * 0x9e3779b1u);
    memcpy(out, ids->start, sizeof ids->start);
    memcpy(out + sizeof ids->start, &text, REQUEST_ID_COUNT);
    if (unlikely(++ids->count == 0)) {
        request_ids_turn(ids);
    }
}

/* Whether the peer may have sent an id: a field has a name of the same length. */
static inline bool
request_id_is_near(const RequestIds *ids, const HttpRequest *req)
{
    for (uint32_t i = 0; i < req->nfields; i++) {
        if (req->fields[i].name_len == ids->name.len) {
            return true;
        }
    }
    return false;
}

/* Gives the request its id, unless it has one. Without memory it stays without. `trusted`: the peer is believed. */
static inline void
request_id_give(RequestIds *ids, HttpRequest *req, bool trusted)
{
    if (req->id_len != 0
        || (trusted && request_id_is_near(ids, req) && request_id_take(ids, req))
        || buf_reserve(&req->head, REQUEST_ID_MADE) != 0) {
        return;
    }
    req->id = (uint32_t)req->head.len;
    req->id_len = REQUEST_ID_MADE;
    request_id_make(ids, req->head.ptr + req->head.len);
    req->head.len += REQUEST_ID_MADE;
}

/* Whether `raw`, lines of a response's header fields, has the field already. */
bool request_ids_has(const RequestIds *ids, Slice raw);

#endif
