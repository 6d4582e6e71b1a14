/* Redirects to directories (see file_answer.h). The location is relative, as other redirects to add a "/" are. A path
 * that begins with "//" would be another host's; but none does that is plain (see static_files.c).
 */
#include "base/py.h"

#include "files/file_answer.h"

#include "app/call_place.h"
#include "http/response.h"

/* Whether the character stands for itself in a URL, as in RedirectResponse. */
static bool
location_char_is_safe(char c)
{
    bool letter = ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
    return letter || ascii_is_digit(c)
           || (c != '\0' && strchr("_.-~:/%#?=@[]!$&'()*+,;", c) != NULL);
}

/* Appends the text, with what isn't safe percent-encoded. 0 or UV_ENOMEM. */
static int
location_add(Buf *out, Slice text)
{
    int err = buf_reserve(out, text.len * 3);
    for (size_t i = 0; i < text.len && err == 0; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        const char quoted[3] = {'%', "0123456789ABCDEF"[c >> 4],
                                "0123456789ABCDEF"[c & 15]};
        bool safe = location_char_is_safe(text.ptr[i]);
        err = buf_append(out, safe ? text.ptr + i : quoted, safe ? 1 : sizeof quoted);
    }
    return err;
}

/* Writes the path, "/" and the query. 0 or UV_ENOMEM. */
static int
location_write(Buf *out, const HttpRequest *req)
{
    Slice path = http_request_path(req), query = http_request_query(req);
    int err = location_add(out, path);
    err = err != 0 ? err : buf_append_slice(out, SLICE("/"));
    if (query.len != 0) {
        err = err != 0 ? err : buf_append_slice(out, SLICE("?"));
        err = err != 0 ? err : location_add(out, query);
    }
    return err;
}

/* Whether the target has ASCII characters alone. */
static bool
target_is_ascii(Slice target)
{
    for (size_t i = 0; i < target.len; i++) {
        if ((unsigned char)target.ptr[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

bool
file_answer_redirect(HttpRequest *req)
{
    Slice root = call_root_bytes(req);
    if (root.ptr == NULL) {
        PyErr_Clear(); /* no memory: Python code meets it again */
        return false;
    }
    if (root.len != 0 || !target_is_ascii(http_request_target(req))) {
        return false;
    }
    Buf location = {0};
    HttpFields fields = {0};
    int err = location_write(&location, req);
    err = err != 0 ? err
                   : http_fields_add(&fields, SLICE("location"), buf_slice(&location));
    if (err == 0) {
        const HttpHead head = {.status = 307, .fields = &fields};
        (void)http_respond(req, &head, SLICE(""), NULL);
    }
    http_fields_free(&fields);
    buf_free(&location);
    return err == 0;
}
