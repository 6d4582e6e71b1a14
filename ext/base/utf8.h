/* Checks piece by piece whether bytes are UTF-8 (RFC 3629), so that an invalid byte is found as soon
 * as it arrives. No allocation, no Python.
 * Thread: any.
 */
#ifndef FLUVIAL_BASE_UTF8_H
#define FLUVIAL_BASE_UTF8_H

#include "base/slice.h"

/* A zeroed struct is at the beginning of a text. */
typedef struct Utf8 {
    uint64_t state; /* only the lowest six bits are used; 0: not within a character */
} Utf8;

/* Checks the next piece; false when the text can't be UTF-8, whatever follows. */
bool utf8_feed(Utf8 *utf8, Slice piece);

/* Whether the text may end here. */
static inline bool
utf8_is_whole(const Utf8 *utf8)
{
    return (utf8->state & 63) == 0;
}

#endif
