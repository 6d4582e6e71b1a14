/* Numbers as text, without printf. No state. Thread: any. */
#ifndef FLUVIAL_BASE_FMT_H
#define FLUVIAL_BASE_FMT_H

#include "base/py.h"

enum { FMT_DECIMAL_MAX = 20, FMT_HEX_MAX = 16 };

/* Writes `value` in decimal: at most FMT_DECIMAL_MAX bytes, without a NUL. Returns their number. */
static inline size_t
fmt_decimal(char *out, uint64_t value)
{
    char digits[FMT_DECIMAL_MAX];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (size_t i = 0; i < n; i++) {
        out[i] = digits[n - 1 - i];
    }
    return n;
}

/* The same in lower-case hexadecimal, at most FMT_HEX_MAX bytes. */
static inline size_t
fmt_hex(char *out, uint64_t value)
{
    char digits[FMT_HEX_MAX];
    size_t n = 0;
    do {
        digits[n++] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value != 0);
    for (size_t i = 0; i < n; i++) {
        out[i] = digits[n - 1 - i];
    }
    return n;
}

#endif
