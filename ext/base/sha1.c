/* SHA-1 (see sha1.h), exactly as in FIPS 180-4 section 6.1. Only for short texts: one or two blocks on
 * the stack.
 */
#include "base/py.h"

#include "base/sha1.h"

enum { BLOCK = 64, ROUNDS = 80 };

static uint32_t
rotl(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static void
store_be(uint8_t *out, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        out[i] = (uint8_t)value;
        value >>= 8;
    }
}

/* The sum of the function and the constant of round t (sections 4.1.1 and 4.2.1). */
static uint32_t
mix(int t, uint32_t b, uint32_t c, uint32_t d)
{
    switch (t / 20) {
    case 0:
        return ((b & c) | (~b & d)) + 0x5a827999u;
    case 1:
        return (b ^ c ^ d) + 0x6ed9eba1u;
    case 2:
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
    default:
        return (b ^ c ^ d) + 0xca62c1d6u;
    }
}

static void
add_block(uint32_t h[5], const uint8_t *block)
{
    uint32_t w[ROUNDS];
    for (int t = 0; t < 16; t++) {
        const uint8_t *p = block + 4 * t;
        w[t] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    for (int t = 16; t < ROUNDS; t++) {
        w[t] = rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    }
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int t = 0; t < ROUNDS; t++) {
        uint32_t next = rotl(a, 5) + mix(t, b, c, d) + e + w[t];
        e = d;
        d = c;
        c = rotl(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

void
sha1(Slice text, uint8_t out[SHA1_BYTES])
{
    assert(text.len <= SHA1_TEXT_MAX);
    uint8_t blocks[2 * BLOCK] = {0};
    size_t size = text.len + 9 <= BLOCK ? BLOCK : 2 * BLOCK;
    memcpy(blocks, text.ptr, text.len);
    blocks[text.len] = 0x80;
    store_be(blocks + size - 8, (uint64_t)text.len * 8, 8);
    uint32_t h[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
    for (size_t i = 0; i < size; i += BLOCK) {
        add_block(h, blocks + i);
    }
    for (int i = 0; i < 5; i++) {
        store_be(out + 4 * i, h[i], 4);
    }
}
