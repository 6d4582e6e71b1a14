/* Ids of requests (see request_id.h). An id from outside ends up in logs and in responses, so only plain
 * characters are taken, and not too many. What is made is unique, not secret: a random number of each process, and
 * a count that starts at a random place. The loop's thread.
 */
#include "base/py.h"

#include "http/request_id.h"

#include "http/chars.h"
#include "http/response_fields.h"

#include <uv.h>

/* The number as 16 hexadecimal digits, in any order. */
static void
hex_put(char *out, uint64_t number)
{
    const uint64_t text[2] = {request_id_digits((uint32_t)number),
                              request_id_digits((uint32_t)(number >> 32))};
    memcpy(out, text, sizeof text);
}

void
request_ids_turn(RequestIds *ids)
{
    const uint64_t text = request_id_digits(++ids->epoch);
    memcpy(ids->start + 2 * sizeof text, &text, sizeof text);
}

int
request_ids_set(RequestIds *ids, Slice name)
{
    if (name.len != 0 && !http_is_token(name)) {
        return UV_EINVAL;
    }
    buf_clear(&ids->name);
    buf_clear(&ids->line);
    int err = buf_reserve(&ids->name, name.len);
    if (err != 0 || name.len == 0) {
        return err;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.ptr[i]);
        (void)buf_append(&ids->name, &c, 1); /* the room is reserved */
    }
    uint64_t random[2];
    err = uv_random(NULL, NULL, random, sizeof random, 0, NULL);
    if (err == 0) {
        hex_put(ids->start, random[0]);
        ids->epoch = (uint32_t)(random[1] >> 32);
        ids->count = (uint32_t)random[1];
        request_ids_turn(ids);
        err = buf_append_slice(&ids->line, buf_slice(&ids->name));
    }
    return err != 0 ? err : buf_append_slice(&ids->line, SLICE(": "));
}

void
request_ids_clear(RequestIds *ids)
{
    buf_free(&ids->name);
    buf_free(&ids->line);
}

/* ---- Ids that are taken ------------------------------------------------------------------ */

/* Whether it can stand in a log and in a response as it is: letters, digits and some signs, as in UUIDs, ULIDs,
 * base64 and the ids of load balancers. */
static bool
id_is_plain(Slice id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = ascii_lower(id.ptr[i]);
        bool plain = (c >= 'a' && c <= 'z') || ascii_is_digit(c)
                     || (c != '\0' && strchr("-._~:/+=@", c) != NULL);
        if (!plain) {
            return false;
        }
    }
    return id.len != 0 && id.len <= REQUEST_ID_MAX;
}

bool
request_id_take(const RequestIds *ids, HttpRequest *req)
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

/* ---- Responses --------------------------------------------------------------------------- */

bool
request_ids_has(const RequestIds *ids, Slice raw)
{
    return http_lines_have(raw, buf_slice(&ids->name));
}
