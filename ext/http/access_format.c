/* The compiled layout of the access log's lines (see access_format.h), and how values are escaped in it.
 */
#include "base/py.h"

#include "http/access_format.h"

#include "base/fmt.h"
#include "base/utf8.h"
#include "http/access_values.h"

#include <unistd.h>
#include <uv.h>

typedef struct AccessPiece {
    AccessGet get; /* NULL: literal text */
    AccessStyle style;
    size_t from, len; /* in AccessFormat.texts: the literal text, or the argument */
} AccessPiece;

struct AccessFormat {
    AccessPiece *pieces; /* owned */
    size_t count;
    Buf texts; /* owned */
    bool json;
    bool wants_fields;
    AccessScratch scratch;
};

AccessFormat *
access_format_new(bool json, int worker)
{
    AccessFormat *format = PyMem_RawCalloc(1, sizeof *format);
    if (format != NULL) {
        format->json = json;
        format->scratch.pid = getpid();
        format->scratch.worker = worker;
    }
    return format;
}

void
access_format_free(AccessFormat *format)
{
    if (format != NULL) {
        PyMem_RawFree(format->pieces);
        buf_free(&format->texts);
        buf_free(&format->scratch.text);
        PyMem_RawFree(format);
    }
}

static int
format_add(AccessFormat *format, AccessGet get, Slice text, AccessStyle style)
{
    AccessPiece *pieces =
        PyMem_RawRealloc(format->pieces, (format->count + 1) * sizeof *pieces);
    if (pieces == NULL) {
        return UV_ENOMEM;
    }
    format->pieces = pieces;
    size_t from = format->texts.len;
    int err = buf_append_slice(&format->texts, text);
    if (err == 0) {
        pieces[format->count++] =
            (AccessPiece){.get = get, .style = style, .from = from, .len = text.len};
    }
    return err;
}

int
access_format_literal(AccessFormat *format, Slice text)
{
    return format_add(format, NULL, text, ACCESS_TEXT);
}

int
access_format_atom(AccessFormat *format, Slice name, Slice argument, AccessStyle style)
{
    AccessGet get = access_value_named(name);
    if (get == NULL) {
        return UV_EINVAL;
    }
    format->wants_fields |= slice_eq(name, SLICE("o"));
    return format_add(format, get, argument, style);
}

bool
access_format_wants_fields(const AccessFormat *format)
{
    return format->wants_fields;
}

/* ---- Escaping ---------------------------------------------------------------------------- */

enum { ESCAPED = 6 }; /* most bytes that stand for one: \u001f */

/* Whether the byte may stand in any line as it is. */
static bool
is_plain_byte(char c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

static size_t
byte_put_hex(char *out, char c)
{
    const char *digits = "0123456789abcdef";
    unsigned char byte = (unsigned char)c;
    out[0] = digits[byte >> 4];
    out[1] = digits[byte & 15];
    return 2;
}

/* Writes a byte that isn't plain; in JSON, one beyond ASCII stands for the character of its number. */
static size_t
byte_put_escaped(char *out, char c, bool json)
{
    size_t n = 0;
    out[n++] = '\\';
    if (json && (c == '"' || c == '\\')) {
        out[n++] = c;
        return n;
    }
    if (json) {
        memcpy(out + n, "u00", 3);
        n += 3;
    } else {
        out[n++] = 'x';
    }
    return n + byte_put_hex(out + n, c);
}

static bool
is_utf8(Slice text)
{
    Utf8 utf8 = {0};
    return utf8_feed(&utf8, text) && utf8_is_whole(&utf8);
}

/* Writes `text` to `out`, which has room for ESCAPED times its length. Returns the number of bytes. In JSON,
 * text that is UTF-8 keeps its characters. */
static size_t
text_put(char *out, Slice text, bool json)
{
    size_t n = 0, plain = 0;
    while (plain < text.len && is_plain_byte(text.ptr[plain])) {
        plain++;
    }
    memcpy(out, text.ptr, plain);
    if (likely(plain == text.len)) {
        return plain;
    }
    n = plain;
    bool keep = json && is_utf8(text);
    for (size_t i = plain; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_plain_byte(c) || (keep && (unsigned char)c >= 0x80)) {
            out[n++] = c;
        } else {
            n += byte_put_escaped(out + n, c, json);
        }
    }
    return n;
}

/* ---- Lines ------------------------------------------------------------------------------- */

/* 0.000123 for 123 µs. */
static size_t
seconds_put(char *out, uint64_t us)
{
    size_t n = fmt_decimal(out, us / 1000000);
    out[n++] = '.';
    uint64_t rest = us % 1000000;
    for (uint64_t unit = 100000; unit != 0; unit /= 10) {
        out[n++] = (char)('0' + rest / unit % 10);
    }
    return n;
}

static int
value_put(Buf *out, const AccessValue *value, AccessStyle style)
{
    int err = buf_reserve(out, value->text.len * ESCAPED + 2 + FMT_DECIMAL_MAX + 7);
    if (err != 0) {
        return err;
    }
    char *start = out->ptr + out->len, *end = start;
    bool quoted = style == ACCESS_JSON_VALUE;
    switch (value->kind) {
    case ACCESS_NOTHING:
        memcpy(end, quoted ? "null" : "-   ", 4);
        end += quoted ? 4 : 1;
        break;
    case ACCESS_BYTES:
        if (quoted) {
            *end++ = '"';
        }
        end += text_put(end, value->text, style != ACCESS_TEXT);
        if (quoted) {
            *end++ = '"';
        }
        break;
    case ACCESS_NUMBER:
        end += fmt_decimal(end, value->number);
        break;
    case ACCESS_SECONDS:
        end += seconds_put(end, value->number);
        break;
    }
    out->len += (size_t)(end - start);
    return 0;
}

int
access_format_put(AccessFormat *format, Buf *out, const AccessEntry *entry)
{
    size_t before = out->len;
    int err = 0;
    for (size_t i = 0; i < format->count && err == 0; i++) {
        const AccessPiece *piece = &format->pieces[i];
        Slice text = slice_of(format->texts.ptr + piece->from, piece->len);
        if (piece->get == NULL) {
            err = buf_append_slice(out, text);
        } else {
            AccessValue value = piece->get(&format->scratch, entry, text);
            err = value_put(out, &value, piece->style);
        }
    }
    err = err == 0 ? buf_append(out, "\n", 1) : err;
    if (err != 0) {
        out->len = before;
    }
    return err;
}

int
access_format_put_dropped(AccessFormat *format, Buf *out, uint64_t dropped)
{
    char line[160];
    const char *text = dropped == 1 ? "line" : "lines";
    if (format->json) {
        Slice time = access_value_time(&format->scratch);
        (void)PyOS_snprintf(line, sizeof line,
                            "{\"time\":\"%.*s\",\"level\":\"WARNING\",\"message\":"
                            "\"access log: %llu %s "
                            "dropped\",\"dropped\":%llu}\n",
                            (int)time.len, time.ptr, (unsigned long long)dropped, text,
                            (unsigned long long)dropped);
    } else {
        (void)PyOS_snprintf(line, sizeof line,
                            "WARNING:  access log: %llu %s dropped\n",
                            (unsigned long long)dropped, text);
    }
    return buf_append(out, line, strlen(line));
}
