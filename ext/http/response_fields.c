/* Header fields of a response, collected by the layer above (see HttpFields in response.h). They are
 * validated so that no value can end its line. Fields that belong to the connection are left out;
 * response_head.c writes them.
 */
#include "base/py.h"

#include "http/response_fields.h"

#include "http/chars.h"
#include "http/list.h"

#include <uv.h>

/* Whether one of eight bytes is below 0x20 or is DEL. Checks all eight at once: subtracting sets the
 * highest bit of a byte that is smaller than 0x20, or that is zero after the XOR. */
static bool
word_has_control(const char *ptr)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t word;
    memcpy(&word, ptr, sizeof(word));
    uint64_t del = word ^ ones * 0x7f;
    uint64_t found = ((word - ones * 0x20) & ~word) | ((del - ones) & ~del);
    return (found & ones * 0x80) != 0;
}

bool
http_value_is_clean(Slice value)
{
    size_t i = 0;
    while (value.len - i >= 8 && !word_has_control(value.ptr + i)) {
        i += 8;
    }
    for (; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Notes a Content-Length instead of adding the field. A second one with another value is an error. */
static int
fields_note_content_length(HttpFields *fields, Slice value)
{
    uint64_t length;
    if (!slice_decimal(value, INT64_MAX, &length)
        || (fields->has_content_length && fields->content_length != (int64_t)length)) {
        return UV_EINVAL;
    }
    fields->has_content_length = true;
    fields->content_length = (int64_t)length;
    return 0;
}

/* Whether one of the comma-separated options is "close". */
static bool
has_close(Slice rest)
{
    do {
        if (slice_eq_nocase(list_next(&rest, ','), SLICE("close"))) {
            return true;
        }
    } while (rest.ptr != NULL);
    return false;
}

typedef enum FieldKind {
    FIELD_PLAIN,
    FIELD_CONTENT_LENGTH,
    FIELD_CONTENT_TYPE,
    FIELD_CONNECTION,
    FIELD_DATE,
    FIELD_SERVER,
    FIELD_HOP_BY_HOP,
} FieldKind;

/* `kind` when `name` equals `lower`, ignoring case; otherwise FIELD_PLAIN. */
static FieldKind
field_kind_if(Slice name, Slice lower, FieldKind kind)
{
    bool first =
        ascii_lower(name.ptr[0]) == lower.ptr[0]; /* mostly it isn't the name */
    bool same = first && (slice_eq(name, lower) || slice_eq_nocase(name, lower));
    return same ? kind : FIELD_PLAIN;
}

/* The kind of the field with this name: whether it needs special treatment. */
static FieldKind
field_kind_of(Slice name)
{
    switch (name.len) {
    case 2:
        return field_kind_if(name, SLICE("te"), FIELD_HOP_BY_HOP);
    case 4:
        return field_kind_if(name, SLICE("date"), FIELD_DATE);
    case 6:
        return field_kind_if(name, SLICE("server"), FIELD_SERVER);
    case 7:
        return slice_eq_nocase(name, SLICE("upgrade"))
                   ? FIELD_HOP_BY_HOP
                   : field_kind_if(name, SLICE("trailer"), FIELD_HOP_BY_HOP);
    case 8: /* a misspelling that wsgiref refuses, too */
        return field_kind_if(name, SLICE("trailers"), FIELD_HOP_BY_HOP);
    case 10:
        return slice_eq_nocase(name, SLICE("keep-alive"))
                   ? FIELD_HOP_BY_HOP
                   : field_kind_if(name, SLICE("connection"), FIELD_CONNECTION);
    case 12:
        return field_kind_if(name, SLICE("content-type"), FIELD_CONTENT_TYPE);
    case 14:
        return field_kind_if(name, SLICE("content-length"), FIELD_CONTENT_LENGTH);
    case 16:
        return field_kind_if(name, SLICE("proxy-connection"), FIELD_HOP_BY_HOP);
    case 17:
        return field_kind_if(name, SLICE("transfer-encoding"), FIELD_HOP_BY_HOP);
    default:
        return FIELD_PLAIN;
    }
}

static int
fields_append_line(Buf *raw, Slice name, Slice value)
{
    int err = buf_reserve(raw, name.len + value.len + 4);
    if (err == 0) {
        (void)buf_append_slice(raw, name);
        (void)buf_append(raw, ": ", 2);
        (void)buf_append_slice(raw, value);
        (void)buf_append(raw, "\r\n", 2);
    }
    return err;
}

bool
http_lines_have(Slice lines, Slice name)
{
    while (lines.len > name.len) {
        if (lines.ptr[name.len] == ':'
            && slice_eq_nocase(slice_of(lines.ptr, name.len), name)) {
            return true;
        }
        const char *end = memchr(lines.ptr, '\n', lines.len);
        size_t used = end == NULL ? lines.len : (size_t)(end + 1 - lines.ptr);
        lines = slice_of(lines.ptr + used, lines.len - used);
    }
    return false;
}

bool
http_is_hop_by_hop(Slice name)
{
    FieldKind kind = field_kind_of(name);
    return kind == FIELD_HOP_BY_HOP || kind == FIELD_CONNECTION;
}

int
http_fields_add(HttpFields *fields, Slice name, Slice value)
{
    value = list_trim(value);
    if (!http_is_token(name) || !http_value_is_clean(value)) {
        return UV_EINVAL;
    }
    FieldKind kind = field_kind_of(name);
    switch (kind) {
    case FIELD_CONTENT_LENGTH:
        return fields_note_content_length(fields, value);
    case FIELD_CONNECTION:
        fields->close |= has_close(value);
        return 0;
    case FIELD_HOP_BY_HOP:
        return 0;
    case FIELD_PLAIN:
    case FIELD_CONTENT_TYPE:
    case FIELD_DATE:
    case FIELD_SERVER:
        break;
    }
    int err = fields_append_line(&fields->raw, name, value);
    if (err == 0) {
        fields->has_date |= kind == FIELD_DATE;
        fields->has_server |= kind == FIELD_SERVER;
        fields->has_content_type |= kind == FIELD_CONTENT_TYPE;
    }
    return err;
}

void
http_fields_clear(HttpFields *fields)
{
    Buf raw = fields->raw;
    buf_clear(&raw);
    *fields = (HttpFields){.raw = raw};
}

void
http_fields_free(HttpFields *fields)
{
    buf_free(&fields->raw);
    *fields = (HttpFields){.has_date = false};
}
