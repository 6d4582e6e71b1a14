/* Percent-decoding, and decoding of text to str (see text.h). Numbers are converted in number.c.
 * Pure functions; any thread, with the GIL if they return a Python object.
 */
#include "base/py.h"

#include "base/text.h"

/* The value of a hex digit; -1 if `c` isn't one. */
static inline int
hex_value(char c)
{
    if (ascii_is_digit(c)) {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that the escape at the beginning of `text` encodes; -1 if it is malformed. */
static inline int
escape_value(Slice text)
{
    if (text.len < 3) {
        return -1;
    }
    int high = hex_value(text.ptr[1]);
    int low = hex_value(text.ptr[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

size_t
text_unquote_char(Slice text, bool plus, char *out)
{
    *out = text.ptr[0];
    if (text.ptr[0] == '%') {
        int value = escape_value(text);
        if (value >= 0) {
            *out = (char)value;
            return 3;
        }
    } else if (text.ptr[0] == '+' && plus) {
        *out = ' ';
    }
    return 1;
}

/* Writes the decoded `text` to `out`, which has room for text.len bytes. Returns the number of bytes
 * written. */
static size_t
text_unquote_into(char *out, Slice text, bool plus)
{
    size_t n = 0;
    for (size_t at = 0; at < text.len; n++) {
        at += text_unquote_char(slice_of(text.ptr + at, text.len - at), plus, &out[n]);
    }
    return n;
}

static int
text_unquote_append(Slice text, bool plus, Buf *out)
{
    int err = buf_reserve(out, text.len);
    if (err == 0) {
        out->len += text_unquote_into(out->ptr + out->len, text, plus);
    }
    return err;
}

int
text_unquote(Slice text, Buf *out)
{
    return text_unquote_append(text, false, out);
}

int
text_unquote_plus(Slice text, Buf *out)
{
    return text_unquote_append(text, true, out);
}

PyObject *
text_utf8(Slice bytes)
{
    return PyUnicode_DecodeUTF8(bytes.ptr, (Py_ssize_t)bytes.len, "replace");
}

PyObject *
text_latin1(Slice bytes)
{
    return PyUnicode_DecodeLatin1(bytes.ptr, (Py_ssize_t)bytes.len, NULL);
}

/* Room for `len` bytes: `small`, which has `size` bytes, or memory that scratch_free frees. NULL with
 * MemoryError. */
static char *
scratch_get(char *small, size_t size, size_t len)
{
    if (len <= size) {
        return small;
    }
    char *ptr = PyMem_Malloc(len);
    if (ptr == NULL) {
        PyErr_NoMemory();
    }
    return ptr;
}

static void
scratch_free(char *ptr, const char *small)
{
    if (ptr != small) {
        PyMem_Free(ptr);
    }
}

PyObject *
text_query(Slice text)
{
    char small[256] = {0};
    if (!text_is_quoted(text) && memchr(text.ptr, '+', text.len) == NULL) {
        return text_utf8(text);
    }
    char *plain = scratch_get(small, sizeof small, text.len);
    if (plain == NULL) {
        return NULL;
    }
    PyObject *str = text_utf8(slice_of(plain, text_unquote_into(plain, text, true)));
    scratch_free(plain, small);
    return str;
}

static inline bool
is_octal(char c, char most)
{
    return c >= '0' && c <= most;
}

/* Decodes the backslash escape at the beginning of `text` to one byte. Returns the number of bytes of
 * `text` that were decoded. */
static size_t
cookie_unescape(Slice text, char *out)
{
    const char *s = text.ptr;
    if (text.len >= 4 && is_octal(s[1], '3') && is_octal(s[2], '7')
        && is_octal(s[3], '7')) {
        *out = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
        return 4;
    }
    if (text.len == 1) {
        *out = s[0];
        return 1;
    }
    *out = s[1];
    return 2;
}

PyObject *
text_cookie(Slice text)
{
    char small[256] = {0};
    bool quoted = text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"';
    if (!quoted) {
        return text_latin1(text);
    }
    text = slice_of(text.ptr + 1, text.len - 2);
    char *plain = scratch_get(small, sizeof small, text.len);
    if (plain == NULL) {
        return NULL;
    }
    size_t n = 0;
    for (size_t at = 0; at < text.len; n++) {
        if (text.ptr[at] == '\\') {
            at += cookie_unescape(slice_of(text.ptr + at, text.len - at), &plain[n]);
        } else {
            plain[n] = text.ptr[at++];
        }
    }
    PyObject *str = text_latin1(slice_of(plain, n));
    scratch_free(plain, small);
    return str;
}
