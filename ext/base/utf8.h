/* Whether bytes are UTF-8 (RFC 3629), told piece by piece: a wrong byte is found when it comes.
 * No allocation, no Python.
 * Thread: any.
 */
#ifndef FLUVIAL_BASE_UTF8_H
#define FLUVIAL_BASE_UTF8_H

#include "base/slice.h"

/* A zeroed struct stands before the first byte. */
typedef struct Utf8 {
    uint64_t state; /* the lowest six bits count; 0: not within a character */
} Utf8;

/* Takes the next piece; false when the text is not UTF-8, whatever follows. */
bool utf8_feed(Utf8 *utf8, Slice piece);

/* Whether the text may end here. */
static inline bool
utf8_is_whole(const Utf8 *utf8)
{
    return (utf8->state & 63) == 0;
}

#endif
