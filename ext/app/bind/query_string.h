/* Walks the name-value pairs of a query string and of a Cookie header, in place: what comes out
 * are slices of what went in. Decoding is left to text.h, since most pairs need none or are
 * not asked for.
 * Of several pairs with one name the last counts, as in Starlette; that is the caller's part.
 *
 * Thread: any; no Python inside.
 */
#ifndef FLUVIAL_APP_BIND_QUERY_STRING_H
#define FLUVIAL_APP_BIND_QUERY_STRING_H

#include "base/py.h"
#include "base/slice.h"

/* What has not been walked yet. Start with the query string without '?', or the header's value. */
typedef struct QueryIter {
    Slice rest;
} QueryIter;

/* The next pair between '&'s, both sides still encoded. A pair without '=' has an empty value,
 * empty pairs are skipped (urllib.parse.parse_qsl with keep_blank_values). False at the end. */
bool query_next(QueryIter *it, Slice *name, Slice *value);

/* Whether the encoded `name` decodes to `key` (UTF-8). */
bool query_name_is(Slice name, Slice key);

/* The next cookie between ';'s, without the white space around either side. One without '='
 * has an empty name; one with neither is skipped, as browsers and Starlette do. */
bool cookie_next(QueryIter *it, Slice *name, Slice *value);

#endif
