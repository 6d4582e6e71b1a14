/* See query_string.h. Pure functions on borrowed text; nothing here is decoded or copied.
 * Thread: any; no Python inside.
 */
#include "base/py.h"

#include "app/bind/query_string.h"
#include "base/text.h"

/* Removes the text before the next `separator` from `rest`, and the separator. Returns the text. */
static Slice
slice_take_until(Slice *rest, char separator)
{
    const char *end = memchr(rest->ptr, separator, rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->ptr);
    size_t used = end == NULL ? len : len + 1;
    Slice taken = slice_of(rest->ptr, len);
    *rest = slice_of(rest->ptr + used, rest->len - used);
    return taken;
}

bool
query_next(QueryIter *it, Slice *name, Slice *value)
{
    while (it->rest.len > 0) {
        Slice pair = slice_take_until(&it->rest, '&');
        if (pair.len > 0) {
            *name = slice_take_until(&pair, '=');
            *value = pair;
            return true;
        }
    }
    return false;
}

bool
query_name_is(Slice name, Slice key)
{
    size_t n = 0;
    for (size_t at = 0; at < name.len; n++) {
        char c;
        at += text_unquote_char(slice_of(name.ptr + at, name.len - at), true, &c);
        if (n == key.len || c != key.ptr[n]) {
            return false;
        }
    }
    return n == key.len;
}

/* Whether str.strip() treats the latin-1 character as white space. */
static inline bool
is_space(char c)
{
    unsigned char u = (unsigned char)c;
    return u == ' ' || (u >= 0x09 && u <= 0x0d) || (u >= 0x1c && u <= 0x1f) || u == 0x85
           || u == 0xa0;
}

static Slice
pair_trim(Slice text)
{
    while (text.len > 0 && is_space(text.ptr[0])) {
        text = slice_of(text.ptr + 1, text.len - 1);
    }
    while (text.len > 0 && is_space(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

bool
cookie_next(QueryIter *it, Slice *name, Slice *value)
{
    while (it->rest.len > 0) {
        Slice pair = slice_take_until(&it->rest, ';');
        bool named = memchr(pair.ptr, '=', pair.len) != NULL;
        *name = named ? pair_trim(slice_take_until(&pair, '=')) : slice_of(pair.ptr, 0);
        *value = pair_trim(pair);
        if (name->len > 0 || value->len > 0) {
            return true;
        }
    }
    return false;
}
