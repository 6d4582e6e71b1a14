/* A borrowed run of bytes, and questions about ASCII characters. A function that returns a slice
 * documents how long it is valid. Thread: any.
 */
#ifndef FLUVIAL_BASE_SLICE_H
#define FLUVIAL_BASE_SLICE_H

#include "base/py.h"

typedef struct Slice {
    const char *ptr; /* borrowed; not NUL-terminated */
    size_t len;      /* bytes */
} Slice;

/* A slice of a string literal. */
#define SLICE(literal) ((Slice){"" literal, sizeof(literal) - 1})

static inline Slice
slice_of(const char *ptr, size_t len)
{
    return (Slice){ptr, len};
}

static inline bool
slice_eq(Slice a, Slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline char
ascii_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char)(c | 0x20) : c;
}

static inline bool
ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads decimal digits. False when there are none, anything else, or more than `max`. */
static inline bool
slice_decimal(Slice text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text.ptr[i] - '0';
        if (digit > 9 || value > (max - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return text.len != 0;
}

/* A port as in a URL: at most five digits, up to 65535 (RFC 3986 section 3.2.3). */
static inline bool
slice_port(Slice text, uint16_t *out)
{
    uint64_t number;
    if (text.len > 5 || !slice_decimal(text, UINT16_MAX, &number)) {
        return false;
    }
    *out = (uint16_t)number;
    return true;
}

/* Whether `a` equals `lower`, ignoring ASCII case. `lower` must be in lower case. */
static inline bool
slice_eq_nocase(Slice a, Slice lower)
{
    if (a.len != lower.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.ptr[i]) != lower.ptr[i]) {
            return false;
        }
    }
    return true;
}

/* The bytes as a new reference to a bytes object; NULL with MemoryError. With the GIL. */
static inline PyObject *
slice_bytes(Slice s)
{
    return PyBytes_FromStringAndSize(s.ptr, (Py_ssize_t)s.len);
}

#endif
