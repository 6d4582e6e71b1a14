/* Ids of requests (see request_id.h). An id from outside ends up in logs and in responses, so only plain
 * characters are taken, and not too many. What is made is unique, not secret: a random number of each process, and
 * one of a generator (SplitMix64) that starts at a random place and repeats nothing. The loop's thread.
 */
#include "base/py.h"

#include "http/request_id.h"

#include "http/chars.h"
#include "http/response.h"

#include <uv.h>

/* A byte in each of the eight bytes of a word. */
#define BYTES(b) (0x0101010101010101u * (b))

/* The number's eight hexadecimal digits as bytes of text, computed all at once: half a byte goes to each byte, and
 * those above 9 are as many characters further on. */
static uint64_t
hex_digits(uint32_t number)
{
    uint64_t v = (uint64_t)(number >> 16) << 32 | (number & 0xffff);
    v = (v << 8 | v) & 0x00ff00ff00ff00ffu;
    v = (v << 4 | v) & BYTES(0x0f);
    uint64_t letters = (v + BYTES(6)) >> 4 & BYTES(1);
    return v + BYTES('0') + letters * ('a' - '0' - 10);
}

/* The number as 16 hexadecimal digits, in any order. */
static void
hex_put(char *out, uint64_t number)
{
    const uint64_t text[2] = {hex_digits((uint32_t)number),
                              hex_digits((uint32_t)(number >> 32))};
    static_assert(sizeof text == REQUEST_ID_MADE / 2, "it is half of an id");
    memcpy(out, text, sizeof text);
}

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
    uint64_t process;
    if ((err = uv_random(NULL, NULL, &process, sizeof process, 0, NULL)) != 0
        || (err = uv_random(NULL, NULL, &ids->state, sizeof ids->state, 0, NULL))
               != 0) {
        return err;
    }
    hex_put(ids->process, process);
    return 0;
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
    memcpy(out, ids->process, sizeof ids->process);
    hex_put(out + sizeof ids->process, state_next(&ids->state));
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
