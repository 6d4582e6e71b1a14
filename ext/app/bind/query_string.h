/* Iterates over the name-value pairs of a query string or a Cookie header field. The names and
 * values are slices of the input. They aren't decoded (text.h does that), because most pairs need
 * no decoding or aren't used at all. Among pairs with the same name the last counts, as in
 * Starlette; the caller sees to that.
 *
 * Thread: any; no Python inside.
 */
#ifndef FLUVIAL_APP_BIND_QUERY_STRING_H
#define FLUVIAL_APP_BIND_QUERY_STRING_H

#include "base/py.h"
#include "base/slice.h"

/* The part that hasn't been read yet. It starts as the query string without '?', or the field's value. */
typedef struct QueryIter {
    Slice rest;
} QueryIter;

/* The next pair between '&'s, both sides still encoded. A pair without '=' has an empty value,
 * empty pairs are skipped (urllib.parse.parse_qsl with keep_blank_values). False at the end. */
bool query_next(QueryIter *it, Slice *name, Slice *value);

/* Whether the encoded `name` decodes to `key` (UTF-8). */
bool query_name_is(Slice name, Slice key);

/* The next cookie between ';'s, without white space around its name and its value. A cookie without
 * '=' has an empty name. One with neither name nor value is skipped, as browsers and Starlette do. */
bool cookie_next(QueryIter *it, Slice *name, Slice *value);

#endif
