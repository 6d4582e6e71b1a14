/* See conditions.h. The order of the steps is that of RFC 9110 section 13.2.2: what a client wants of the file first,
 * then what it has.
 */
#include "base/py.h"

#include "files/conditions.h"

#include "base/buf.h"
#include "files/http_dates.h"

#include <time.h>

/* ---- Entity tags -------------------------------------------------------------------------- */

static bool
etag_is_weak(Slice tag)
{
    return tag.len >= 2 && memcmp(tag.ptr, "W/", 2) == 0;
}

/* What remains of a tag in a weak comparison. */
static Slice
etag_opaque(Slice tag)
{
    return etag_is_weak(tag) ? slice_of(tag.ptr + 2, tag.len - 2) : tag;
}

/* The length of the quoted tag at the beginning of the text; 0 when there is none. */
static size_t
etag_quoted(Slice text)
{
    size_t start = etag_is_weak(text) ? 2 : 0;
    if (text.len <= start || text.ptr[start] != '"') {
        return 0;
    }
    start++;
    const char *end = memchr(text.ptr + start, '"', text.len - start);
    return end == NULL ? 0 : (size_t)(end - text.ptr) + 1;
}

/* The length of what has no quotes, and is no separator. */
static size_t
etag_bare(Slice text)
{
    size_t len = 0;
    while (len < text.len && memchr(" \t,\"", text.ptr[len], 4) == NULL) {
        len++;
    }
    return len;
}

bool
etags_have(Slice list, Slice etag, bool weak)
{
    while (list.len != 0) {
        size_t len = etag_quoted(list);
        len = len != 0 ? len : etag_bare(list);
        Slice tag = slice_of(list.ptr, len);
        bool same = weak ? slice_eq(etag_opaque(tag), etag_opaque(etag))
                         : slice_eq(tag, etag) && !etag_is_weak(etag);
        if (len != 0 && (same || slice_eq(tag, SLICE("*")))) {
            return true;
        }
        len = len != 0 ? len : 1;
        list = slice_of(list.ptr + len, list.len - len);
    }
    return false;
}

/* ---- Fields ------------------------------------------------------------------------------- */

static bool
field_is_there(const HttpRequest *req, Slice name)
{
    return http_field_find(req, name, 0) >= 0;
}

/* The value of the first field of this name; {NULL, 0} when there is none. */
static Slice
field_first(const HttpRequest *req, Slice name)
{
    int32_t at = http_field_find(req, name, 0);
    return at < 0 ? slice_of(NULL, 0) : http_field_value(req, (uint32_t)at);
}

/* Whether the fields of this name, which are one list, have the tag. Without memory CONDITION_UNKNOWN. */
static Condition
field_has_tag(const HttpRequest *req, Slice name, Slice etag, bool weak)
{
    Buf all = {
        0}; /* a tag may begin in one field and end in the next, as in other implementations */
    int err = 0;
    int32_t at = http_field_find(req, name, 0);
    while (at >= 0 && err == 0) {
        err = buf_append_slice(&all, http_field_value(req, (uint32_t)at));
        err = err != 0 ? err : buf_append_slice(&all, SLICE(", "));
        at = http_field_find(req, name, (uint32_t)at + 1);
    }
    Condition found = err != 0                                  ? CONDITION_UNKNOWN
                      : etags_have(buf_slice(&all), etag, weak) ? CONDITION_MET
                                                                : CONDITION_FAILED;
    buf_free(&all);
    return found;
}

/* Whether the file was changed after the field's date: CONDITION_FAILED. CONDITION_MET without the field. */
static Condition
field_compare_date(const HttpRequest *req, Slice name, int64_t mtime)
{
    int64_t since;
    Slice value = field_first(req, name);
    if (value.ptr == NULL) {
        return CONDITION_MET;
    }
    if (!http_date_read(value, (int64_t)time(NULL), &since)) {
        return CONDITION_UNKNOWN;
    }
    return mtime > since ? CONDITION_FAILED : CONDITION_MET;
}

/* ---- The request -------------------------------------------------------------------------- */

/* Steps 1 and 2 of section 13.2.2. */
static Condition
conditions_check_version(const HttpRequest *req, const Validators *file)
{
    return field_is_there(req, SLICE("if-match"))
               ? field_has_tag(req, SLICE("if-match"), file->etag, false)
               : field_compare_date(req, SLICE("if-unmodified-since"), file->mtime);
}

/* Steps 3 and 4: CONDITION_SAME if the client has the file. */
static Condition
conditions_check_copy(const HttpRequest *req, const Validators *file)
{
    if (field_is_there(req, SLICE("if-none-match"))) {
        Condition has = field_has_tag(req, SLICE("if-none-match"), file->etag, true);
        return has == CONDITION_MET      ? CONDITION_SAME
               : has == CONDITION_FAILED ? CONDITION_MET
                                         : has;
    }
    if (!field_is_there(req, SLICE("if-modified-since"))) {
        return CONDITION_MET;
    }
    Condition same = field_compare_date(req, SLICE("if-modified-since"), file->mtime);
    return same == CONDITION_MET      ? CONDITION_SAME
           : same == CONDITION_FAILED ? CONDITION_MET
                                      : same;
}

Condition
conditions_check(const HttpRequest *req, const Validators *file)
{
    Condition wanted = conditions_check_version(req, file);
    return wanted == CONDITION_MET ? conditions_check_copy(req, file) : wanted;
}

bool
conditions_allow_ranges(const HttpRequest *req, const Validators *file)
{
    Slice value = field_first(req, SLICE("if-range"));
    bool same = slice_eq(value, file->etag) || slice_eq(value, file->modified);
    return value.ptr == NULL || (same && !etag_is_weak(value));
}
