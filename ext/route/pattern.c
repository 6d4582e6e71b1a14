/* Parsing of route patterns such as "/items/{item_id:int}/files/{name}.json". Runs once per route, at
 * registration. The result borrows from the given text.
 */
#include "base/py.h"

#include "route/pattern.h"

static bool
is_name(Slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
        if (!letter && !(ascii_is_digit((char)c) && i > 0)) {
            return false;
        }
    }
    return name.len > 0;
}

static bool
kind_from_name(Slice name, CaptureKind *kind)
{
    static const struct {
        Slice name;
        CaptureKind kind;
    } kinds[] = {
        {{"str", 3}, CAPTURE_STR},     {{"int", 3}, CAPTURE_INT},
        {{"float", 5}, CAPTURE_FLOAT}, {{"uuid", 4}, CAPTURE_UUID},
        {{"path", 4}, CAPTURE_PATH},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (slice_eq(name, kinds[i].name)) {
            *kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

static bool
name_is_taken(const Pattern *pattern, Slice name)
{
    for (unsigned i = 0; i < pattern->nparts; i++) {
        const PatternPart *part = &pattern->parts[i];
        if (part->is_capture && slice_eq(part->text, name)) {
            return true;
        }
    }
    return false;
}

/* `inside` is the text between the braces. */
static RouteError
pattern_add_capture(Pattern *pattern, Slice inside)
{
    PatternPart part = {.is_capture = true, .kind = CAPTURE_STR, .text = inside};
    const char *colon = memchr(inside.ptr, ':', inside.len);
    if (colon != NULL) {
        part.text.len = (size_t)(colon - inside.ptr);
        Slice kind = slice_of(colon + 1, inside.len - part.text.len - 1);
        if (!kind_from_name(kind, &part.kind)) {
            return ROUTE_BAD_CONVERTER;
        }
    }
    if (!is_name(part.text)) {
        return ROUTE_BAD_NAME;
    }
    if (name_is_taken(pattern, part.text)) {
        return ROUTE_DUPLICATE_NAME;
    }
    if (pattern->ncaptures == ROUTE_CAPTURES_MAX) {
        return ROUTE_TOO_MANY;
    }
    pattern->parts[pattern->nparts++] = part;
    pattern->ncaptures++;
    return ROUTE_OK;
}

/* The length of the literal text at the beginning of `text`. */
static size_t
literal_len(Slice text)
{
    size_t n = 0;
    while (n < text.len && text.ptr[n] != '{' && text.ptr[n] != '}') {
        n++;
    }
    return n;
}

RouteError
pattern_parse(Slice text, Pattern *out, size_t *error_at)
{
    out->nparts = out->ncaptures = 0;
    *error_at = 0;
    if (text.len == 0 || text.ptr[0] != '/') {
        return ROUTE_NO_SLASH;
    }
    for (size_t at = 0; at < text.len;) {
        Slice rest = slice_of(text.ptr + at, text.len - at);
        size_t n = literal_len(rest);
        if (n > 0) {
            out->parts[out->nparts++] = (PatternPart){.text = slice_of(rest.ptr, n)};
            at += n;
            continue;
        }
        *error_at = at;
        const char *close = memchr(rest.ptr, '}', rest.len);
        if (rest.ptr[0] == '}' || close == NULL || close == rest.ptr + 1) {
            return ROUTE_BAD_BRACE;
        }
        size_t len = (size_t)(close - rest.ptr) - 1;
        RouteError err = pattern_add_capture(out, slice_of(rest.ptr + 1, len));
        if (err != ROUTE_OK) {
            return err;
        }
        at += len + 2;
    }
    return ROUTE_OK;
}
