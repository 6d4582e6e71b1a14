/* Classes of bytes, as bit maps of the 128 ASCII characters; no other byte is in any.
 * Thread: any.
 */
#ifndef FLUVIAL_HTTP_CHARS_H
#define FLUVIAL_HTTP_CHARS_H

#include "base/py.h"
#include "base/slice.h"

typedef struct CharSet {
    uint64_t bits[2];
} CharSet;

/* RFC 9110 section 5.6.2: letters, digits and !#$%&'*+-.^_`|~ */
static const CharSet CHARS_TOKEN = {{0x03ff6cfa00000000u, 0x57ffffffc7fffffeu}};

/* What a host's name is made of: letters, digits, % and what else is unreserved or in sub-delims, but
 * ',' (RFC 3986 section 3.2.2) */
static const CharSet CHARS_HOST = {{0x2bff6ff200000000u, 0x47fffffe87fffffeu}};

static inline bool
char_is(const CharSet *set, char c)
{
    unsigned char byte = (unsigned char)c;
    return byte < 128 && (set->bits[byte >> 6] >> (byte & 63) & 1) != 0;
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
