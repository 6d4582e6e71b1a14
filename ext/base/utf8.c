/* UTF-8 validation by a table (see utf8.h). The automaton has nine states. The table has a row for
 * each byte value, which contains the next state for each current state, six bits each. A state's
 * number is the offset of its six bits in a row. So a step is one load, which doesn't depend on the
 * state, and one shift.
 */
#include "base/py.h"

#include "base/utf8.h"

/* The states: what may follow. The numbers are bit offsets into a row. */
enum {
    OK = 0,     /* a character may begin */
    BAD = 6,    /* never left */
    ONE = 12,   /* one continuation byte */
    TWO = 18,   /* two of them */
    THREE = 24, /* three */
    E0 = 30,    /* two, the first from A0: no overlong forms */
    ED = 36,    /* two, the first up to 9F: no surrogates */
    F0 = 42,    /* three, the first from 90 */
    F4 = 48,    /* three, the first up to 8F: nothing above U+10FFFF */
};

#define TO(from, to) ((uint64_t)(to) << (from))
#define LEAD(to)                                                                       \
    (TO(OK, to) | TO(BAD, BAD) | TO(ONE, BAD) | TO(TWO, BAD) | TO(THREE, BAD)          \
     | TO(E0, BAD) | TO(ED, BAD) | TO(F0, BAD) | TO(F4, BAD))
#define TAIL(e0, ed, f0, f4)                                                           \
    (TO(OK, BAD) | TO(BAD, BAD) | TO(ONE, OK) | TO(TWO, ONE) | TO(THREE, TWO)          \
     | TO(E0, e0) | TO(ED, ed) | TO(F0, f0) | TO(F4, f4))
#define X4(row) row, row, row, row
#define X16(row) X4(row), X4(row), X4(row), X4(row)

static const uint64_t ROWS[256] = {
    /* 00 */ X16(LEAD(OK)),
    /* 10 */ X16(LEAD(OK)),
    /* 20 */ X16(LEAD(OK)),
    /* 30 */ X16(LEAD(OK)),
    /* 40 */ X16(LEAD(OK)),
    /* 50 */ X16(LEAD(OK)),
    /* 60 */ X16(LEAD(OK)),
    /* 70 */ X16(LEAD(OK)),
    /* 80 */ X16(TAIL(BAD, ONE, BAD, TWO)),
    /* 90 */ X16(TAIL(BAD, ONE, TWO, BAD)),
    /* A0 */ X16(TAIL(ONE, BAD, TWO, BAD)),
    /* B0 */ X16(TAIL(ONE, BAD, TWO, BAD)),
    /* C0 */ LEAD(BAD),
    LEAD(BAD),
    LEAD(ONE),
    LEAD(ONE),
    /* C4 */ X4(LEAD(ONE)),
    X4(LEAD(ONE)),
    X4(LEAD(ONE)),
    /* D0 */ X16(LEAD(ONE)),
    /* E0 */ LEAD(E0),
    LEAD(TWO),
    LEAD(TWO),
    LEAD(TWO),
    /* E4 */ X4(LEAD(TWO)),
    X4(LEAD(TWO)),
    /* EC */ LEAD(TWO),
    LEAD(ED),
    LEAD(TWO),
    LEAD(TWO),
    /* F0 */ LEAD(F0),
    LEAD(THREE),
    LEAD(THREE),
    LEAD(THREE),
    /* F4 */ LEAD(F4),
    LEAD(BAD),
    LEAD(BAD),
    LEAD(BAD),
    /* F8 */ X4(LEAD(BAD)),
    X4(LEAD(BAD)),
};

enum { STRIDE = 32 }; /* bytes between two checks of the state */

/* Whether none of STRIDE bytes has its highest bit set. */
static bool
is_ascii(const char *ptr)
{
    uint64_t words[STRIDE / 8];
    memcpy(words, ptr, STRIDE);
    uint64_t all = words[0] | words[1] | words[2] | words[3];
    return (all & 0x8080808080808080u) == 0;
}

static uint64_t
utf8_steps(uint64_t state, const char *ptr, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        state = ROWS[(unsigned char)ptr[i]] >> (state & 63);
    }
    return state;
}

bool
utf8_feed(Utf8 *utf8, Slice piece)
{
    const char *ptr = piece.ptr;
    const char *end = ptr + piece.len;
    uint64_t state = utf8->state;
    while (end - ptr >= STRIDE) {
        if ((state & 63) != OK || !is_ascii(ptr)) {
            state = utf8_steps(state, ptr, STRIDE);
            if ((state & 63) == BAD) {
                break;
            }
        }
        ptr += STRIDE;
    }
    if ((state & 63) != BAD) {
        state = utf8_steps(state, ptr, (size_t)(end - ptr));
    }
    utf8->state = state;
    return (state & 63) != BAD;
}
