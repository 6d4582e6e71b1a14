/* Ids of requests (see request_id.h). An id from outside ends up in logs and in responses, so only plain
 * characters are taken, and not too many. What is made is unique, not secret: two numbers of a generator
 * (SplitMix64) that starts at a random place in each process. The loop's thread.
 */
#include "base/py.h"

#include "http/request_id.h"

#include "http/chars.h"
#include "http/response.h"

#include <uv.h>

int
request_ids_set(RequestIds *ids, Slice name)
{
    if (name.len != 0 && !http_is_token(name)) {
        return UV_EINVAL;
    }
    buf_clear(&ids->name);
    int err = buf_reserve(&ids->name, name.len);
    if (err != 0 || name.len == 0) {
        return err;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.ptr[i]);
        (void)buf_append(&ids->name, &c, 1); /* the room is reserved */
    }
    return uv_random(NULL, NULL, ids->state, sizeof ids->state, 0, NULL);
}

void
request_ids_clear(RequestIds *ids)
{
    buf_free(&ids->name);
}

/* ---- Ids that are made ------------------------------------------------------------------- */

static uint64_t
state_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void
request_id_make(RequestIds *ids, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (int part = 0; part < 2; part++) {
        uint64_t number = state_next(&ids->state[part]);
        for (int i = 0; i < REQUEST_ID_MADE / 2; i++) {
            *out++ = digits[number & 15];
            number >>= 4;
        }
    }
}

/* ---- Ids that are taken ------------------------------------------------------------------ */

/* Whether it can stand in a log and in a response as it is: letters, digits and some signs, as in UUIDs, ULIDs,
 * base64 and the ids of load balancers. */
static bool
id_is_plain(Slice id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = ascii_lower(id.ptr[i]);
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')
                     || (c != '\0' && strchr("-._~:/+=@", c) != NULL);
        if (!plain) {
            return false;
        }
    }
    return id.len != 0 && id.len <= REQUEST_ID_MAX;
}

/* Takes the id that the peer has sent, if it is one and there is no second. */
static bool
id_take(const RequestIds *ids, HttpRequest *req)
{
    Slice name = buf_slice(&ids->name);
    int32_t i = http_field_find(req, name, 0);
    if (i < 0 || http_field_find(req, name, (uint32_t)i + 1) >= 0
        || !id_is_plain(http_field_value(req, (uint32_t)i))) {
        return false;
    }
    req->id = req->fields[i].value;
    req->id_len = req->fields[i].value_len;
    return true;
}

void
request_id_give(RequestIds *ids, HttpRequest *req, bool trusted)
{
    if (req->id_len != 0 || (trusted && id_take(ids, req))
        || buf_reserve(&req->head, REQUEST_ID_MADE) != 0) {
        return;
    }
    req->id = (uint32_t)req->head.len;
    req->id_len = REQUEST_ID_MADE;
    request_id_make(ids, req->head.ptr + req->head.len);
    req->head.len += REQUEST_ID_MADE;
}

/* ---- Responses --------------------------------------------------------------------------- */

bool
request_ids_has(const RequestIds *ids, Slice raw)
{
    return http_lines_have(raw, buf_slice(&ids->name));
}
