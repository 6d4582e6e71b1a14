/* See byte_ranges.h. What isn't a range is left out: section 14.2 lets us ignore or refuse such a field as a
 * whole.
 */
#include "base/py.h"

#include "files/byte_ranges.h"

#include "base/fmt.h"
#include "base/list.h"

#include <stdlib.h>
#include <uv.h>

/* ---- One range ---------------------------------------------------------------------------- */

/* Reads digits; a number that is too large for a file becomes INT64_MAX. False for anything else. */
static bool
position_read(Slice digits, int64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (!ascii_is_digit(digits.ptr[i])) {
            return false;
        }
        uint64_t digit = (uint64_t)(digits.ptr[i] - '0');
        value = value > ((uint64_t)INT64_MAX - digit) / 10 ? (uint64_t)INT64_MAX
                                                           : value * 10 + digit;
    }
    *out = (int64_t)value;
    return digits.len != 0;
}

/* Reads "first-last", "first-" or "-length". It is empty where there is no such byte. False for what isn't a
 * range. */
static bool
range_read(Slice text, int64_t size, ByteRange *range)
{
    const char *dash = text.len == 0 ? NULL : memchr(text.ptr, '-', text.len);
    if (dash == NULL) {
        return false;
    }
    size_t at = (size_t)(dash - text.ptr);
    Slice first = list_trim(slice_of(text.ptr, at));
    Slice last = list_trim(slice_of(dash + 1, text.len - at - 1));
    int64_t start, end = INT64_MAX;
    if (last.len != 0 && !position_read(last, &end)) {
        return false;
    }
    if (first.len == 0) {
        *range = (ByteRange){end < size ? size - end : 0, size};
        return last.len != 0;
    }
    if (!position_read(first, &start) || end < start) {
        return false;
    }
    range->start = start < size ? start : size;
    range->end = end < size ? end + 1 : size;
    return true;
}

/* ---- All of a field ----------------------------------------------------------------------- */

static int
range_compare(const void *a, const void *b)
{
    const ByteRange *left = a, *right = b;
    return (left->start > right->start) - (left->start < right->start);
}

/* Sorts them, and makes one of those that overlap or touch. */
static void
ranges_merge(ByteRanges *ranges)
{
    qsort(ranges->at, ranges->n, sizeof *ranges->at, range_compare);
    unsigned n = 0;
    for (unsigned i = 0; i < ranges->n; i++) {
        ByteRange next = ranges->at[i];
        ByteRange *last = n == 0 ? NULL : &ranges->at[n - 1];
        if (last != NULL && next.start <= last->end) {
            last->end = next.end > last->end ? next.end : last->end;
        } else {
            ranges->at[n++] = next;
        }
    }
    ranges->n = n;
}

/* The list after "bytes="; {NULL, 0} for another unit. */
static Slice
ranges_list(Slice value)
{
    const char *equals = value.len == 0 ? NULL : memchr(value.ptr, '=', value.len);
    size_t at = equals == NULL ? 0 : (size_t)(equals - value.ptr);
    if (!slice_eq_nocase(list_trim(slice_of(value.ptr, at)), SLICE("bytes"))) {
        return slice_of(NULL, 0);
    }
    return slice_of(equals + 1, value.len - at - 1);
}

RangesFound
ranges_select(Slice value, int64_t size, ByteRanges *found)
{
    Slice rest = ranges_list(value);
    unsigned texts = 0, ranges = 0;
    found->n = 0;
    while (rest.ptr != NULL) {
        ByteRange range;
        Slice text = list_next(&rest, ',');
        if (++texts > RANGES_MOST) {
            return RANGES_IGNORED;
        }
        if (range_read(text, size, &range)) {
            ranges++;
            if (range.start < range.end) {
                found->at[found->n++] = range;
            }
        }
    }
    if (found->n == 0) {
        return ranges == 0 ? RANGES_IGNORED : RANGES_NONE;
    }
    ranges_merge(found);
    return RANGES_SOME;
}

Slice
range_describe(char *text, ByteRange range, int64_t size)
{
    char *out = (char *)memcpy(text, "bytes ", 6) + 6;
    if (range.end == 0) {
        *out++ = '*';
    } else {
        out += fmt_decimal(out, (uint64_t)range.start);
        *out++ = '-';
        out += fmt_decimal(out, (uint64_t)range.end - 1);
    }
    *out++ = '/';
    out += fmt_decimal(out, (uint64_t)size);
    return slice_of(text, (size_t)(out - text));
}

/* ---- Several in one body ------------------------------------------------------------------ */

enum { BOUNDARY_BYTES = 13 }; /* nobody can write a file that has it */

/* Appends what precedes the range. 0 or UV_ENOMEM. */
static int
multipart_add(Multipart *self, Slice boundary, ByteRange range, int64_t size,
              Slice media_type)
{
    char text[RANGE_TEXT];
    int err =
        buf_append_slice(&self->text, self->n == 0 ? SLICE("--") : SLICE("\r\n--"));
    err = err != 0 ? err : buf_append_slice(&self->text, boundary);
    if (range.end == 0) {
        err = err != 0 ? err : buf_append_slice(&self->text, SLICE("--"));
    } else {
        if (media_type.len != 0) {
            err = err != 0 ? err
                           : buf_append_slice(&self->text, SLICE("\r\nContent-Type: "));
            err = err != 0 ? err : buf_append_slice(&self->text, media_type);
        }
        err = err != 0 ? err
                       : buf_append_slice(&self->text, SLICE("\r\nContent-Range: "));
        err = err != 0
                  ? err
                  : buf_append_slice(&self->text, range_describe(text, range, size));
        err = err != 0 ? err : buf_append_slice(&self->text, SLICE("\r\n\r\n"));
    }
    self->parts[self->n++] = (MultipartPart){self->text.len, range};
    self->length += range.end - range.start;
    return err;
}

/* Writes the value of Content-Type. The boundary, which is at its end; empty without random bytes. */
static Slice
multipart_begin(Multipart *self)
{
    unsigned char random[BOUNDARY_BYTES];
    if (uv_random(NULL, NULL, random, sizeof random, 0, NULL) != 0) {
        return slice_of(NULL, 0);
    }
    const Slice lead = SLICE("multipart/byteranges; boundary=");
    memcpy(self->type, lead.ptr, lead.len);
    char *out = self->type + lead.len;
    for (size_t i = 0; i < sizeof random; i++) {
        *out++ = "0123456789abcdef"[random[i] >> 4];
        *out++ = "0123456789abcdef"[random[i] & 15];
    }
    *out = '\0';
    return slice_of(self->type + lead.len, (size_t)BOUNDARY_BYTES * 2);
}

Multipart *
multipart_make(const ByteRanges *ranges, int64_t size, Slice media_type)
{
    Multipart *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    Slice boundary = multipart_begin(self);
    int err = boundary.len == 0 ? UV_EIO : 0;
    for (unsigned i = 0; i < ranges->n && err == 0; i++) {
        err = multipart_add(self, boundary, ranges->at[i], size, media_type);
    }
    err = err != 0 ? err
                   : multipart_add(self, boundary, (ByteRange){0, 0}, size, media_type);
    if (err != 0) {
        multipart_free(self);
        return NULL;
    }
    self->length += (int64_t)self->text.len;
    return self;
}

void
multipart_free(Multipart *self)
{
    if (self != NULL) {
        buf_free(&self->text);
        free(self);
    }
}

const MultipartPart *
multipart_next(Multipart *self, Slice *lead)
{
    if (self->next == self->n) {
        return NULL;
    }
    size_t start = self->next == 0 ? 0 : self->parts[self->next - 1].lead_end;
    const MultipartPart *part = &self->parts[self->next++];
    *lead = slice_of(self->text.ptr + start, part->lead_end - start);
    return part;
}
