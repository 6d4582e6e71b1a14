/* Classes of bytes; only ASCII characters are in any.
 * Thread: any.
 */
#ifndef FLUVIAL_HTTP_CHARS_H
#define FLUVIAL_HTTP_CHARS_H

#include "base/py.h"
#include "base/slice.h"

/* A byte for each character: a look-up takes a third of what a bit takes. The bytes from 128 on are 0. */
typedef struct CharSet {
    uint8_t in[256];
} CharSet;

/* clang-format off */

/* RFC 9110 section 5.6.2: letters, digits and !#$%&'*+-.^_`|~ */
static const CharSet CHARS_TOKEN = {{
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 0x00 */
    0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, /* 0x20 */
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, /* 0x40 */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, /* 0x60 */
}};

/* What a host's name is made of: letters, digits, % and what else is unreserved or in sub-delims, but
 * ',' (RFC 3986 section 3.2.2) */
static const CharSet CHARS_HOST = {{
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 0x00 */
    0, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0, /* 0x20 */
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, /* 0x40 */
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 0, /* 0x60 */
}};

/* clang-format on */

static inline bool
char_is(const CharSet *set, char c)
{
    return set->in[(unsigned char)c] != 0;
}

/* A token of RFC 9110 section 5.6.2: a field's name, a method, a subprotocol. */
static inline bool
http_is_token(Slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!char_is(&CHARS_TOKEN, text.ptr[i])) {
            return false;
        }
    }
    return text.len != 0;
}

#endif
