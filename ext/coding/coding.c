/* What there is to know of each coding without doing it (see coding.h): its name, its levels, and how much a
 * client likes it. Allocates nothing. */
#include "base/py.h"

#include "coding/coding.h"

#include "base/list.h"

static const struct {
    Slice name;
    bool built;
    CodingLevels levels;
} known[CODINGS] = {
    [CODING_NONE] = {{"identity", 8}, false, {0, 0, 0}},
    [CODING_GZIP] = {{"gzip", 4}, true, {0, 9, 4}},
#ifdef FLUVIAL_BROTLI
    [CODING_BROTLI] = {{"br", 2}, true, {0, 11, 4}},
#else
    [CODING_BROTLI] = {{"br", 2}, false, {0, 11, 4}},
#endif
#ifdef FLUVIAL_ZSTD
    [CODING_ZSTD] = {{"zstd", 4}, true, {1, 19, 3}},
#else
    [CODING_ZSTD] = {{"zstd", 4}, false, {1, 19, 3}},
#endif
};

Slice
coding_name(Coding coding)
{
    return known[coding].name;
}

bool
coding_is_built(Coding coding)
{
    return known[coding].built;
}

CodingLevels
coding_levels(Coding coding)
{
    return known[coding].levels;
}

Coding
coding_named(Slice name)
{
    for (Coding coding = CODING_GZIP; coding < CODINGS; coding++) {
        if (slice_eq_nocase(name, known[coding].name)) {
            return coding;
        }
    }
    return slice_eq_nocase(name, SLICE("x-gzip")) ? CODING_GZIP : CODING_NONE;
}

Coding
coding_find(Slice name)
{
    Coding coding = coding_named(name);
    return known[coding].built ? coding : CODING_NONE;
}

/* ---- Accept-Encoding ---------------------------------------------------------------------- */

/* "0.5" in thousandths: 500. At most three digits after the dot, at most 1; anything else is 0. */
static unsigned
weight_read(Slice text)
{
    if (text.len == 0 || text.len > 5 || (text.ptr[0] != '0' && text.ptr[0] != '1')
        || (text.len > 1 && text.ptr[1] != '.')) {
        return 0;
    }
    unsigned weight = (unsigned)(text.ptr[0] - '0') * 1000;
    unsigned unit = 100;
    for (size_t i = 2; i < text.len; i++) {
        if (!ascii_is_digit(text.ptr[i])) {
            return 0;
        }
        weight += (unsigned)(text.ptr[i] - '0') * unit;
        unit /= 10;
    }
    return weight > 1000 ? 0 : weight;
}

/* The weight among the parameters of one coding; 1,000 when there is none. */
static unsigned
weight_of(Slice parameters)
{
    while (parameters.ptr != NULL) {
        Slice value = list_next(&parameters, ';');
        Slice name = list_next(&value, '=');
        if (slice_eq_nocase(name, SLICE("q"))) {
            return weight_read(list_trim(value));
        }
    }
    return 1000;
}

unsigned
coding_weight(Slice accept, Coding coding)
{
    unsigned others = 0;
    while (accept.ptr != NULL) {
        Slice parameters = list_next(&accept, ',');
        Slice name = list_next(&parameters, ';');
        if (slice_eq_nocase(name, known[coding].name)
            || (coding == CODING_GZIP && slice_eq_nocase(name, SLICE("x-gzip")))) {
            return weight_of(parameters);
        }
        if (slice_eq(name, SLICE("*"))) {
            others = weight_of(parameters);
        }
    }
    return others;
}

Coding
coding_choose(Slice accept, const Coding *codings, unsigned n, unsigned *most)
{
    Coding best = CODING_NONE;
    unsigned plain = coding_weight(accept, CODING_NONE);
    if (plain > *most + 1) {
        *most = plain - 1; /* what the client likes better than that */
    }
    for (unsigned i = 0; i < n; i++) {
        unsigned weight = coding_weight(accept, codings[i]);
        if (weight > *most) {
            *most = weight;
            best = codings[i];
        }
    }
    return best;
}
