/* Dates in header fields (RFC 9110 section 5.6.7). No state. Thread: any. */
#ifndef FLUVIAL_FILES_HTTP_DATES_H
#define FLUVIAL_FILES_HTTP_DATES_H

#include "base/py.h"
#include "base/slice.h"

/* Reads a date in one of the three formats that HTTP has had, to seconds since 1970. `now` decides the century of a
 * year of two digits. False for anything else. */
bool http_date_read(Slice text, int64_t now, int64_t *seconds);

#endif
