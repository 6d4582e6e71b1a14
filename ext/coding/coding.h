/* The content codings of HTTP (RFC 9110 section 8.4.1): gzip (RFC 1952), br (RFC 7932) and zstd (RFC 8878).
 * gzip is always there, the others where the build has found their libraries.
 *
 * Thread: any.
 */
#ifndef FLUVIAL_CODING_CODING_H
#define FLUVIAL_CODING_CODING_H

#include "base/py.h"
#include "base/slice.h"

typedef enum Coding {
    CODING_NONE, /* identity */
    CODING_GZIP,
    CODING_BROTLI,
    CODING_ZSTD,
    CODINGS, /* their number, with CODING_NONE */
} Coding;

/* The name in Content-Encoding: "gzip", "br" or "zstd". Static memory. */
Slice coding_name(Coding coding);
bool coding_is_built(Coding coding);
/* The coding with this name, also one that isn't built; CODING_NONE when it is unknown. */
Coding coding_named(Slice name);
/* The coding with this name, ignoring case, also "x-gzip"; CODING_NONE when it is unknown or not built. */
Coding coding_find(Slice name);

/* How hard an encoder tries: larger is smaller and slower. */
typedef struct CodingLevels {
    int lowest, highest, usual;
} CodingLevels;
CodingLevels coding_levels(Coding coding);

/* The weight, in thousandths, that the value of Accept-Encoding gives to a coding (RFC 9110 section
 * 12.5.3): by its name, by `*`, or 0 when it has neither. Malformed weights count as 0. */
unsigned coding_weight(Slice accept, Coding coding);
/* The first of `n` codings to which the value gives the largest weight above `*most`, which becomes that
 * weight, and no less than to `identity`; CODING_NONE when there is none. */
Coding coding_choose(Slice accept, const Coding *codings, unsigned n, unsigned *most);

#endif
