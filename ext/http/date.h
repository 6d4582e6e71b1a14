/* The Date field of responses, written once a second. Owned by the server.
 * Thread: the loop's.
 */
#ifndef FLUVIAL_HTTP_DATE_H
#define FLUVIAL_HTTP_DATE_H

#include "base/py.h"

#include <time.h>

enum { DATE_LINE = 37 };

/* A zeroed struct is ready for use. */
typedef struct DateCache {
    uint64_t checked; /* uv_now() when the clock was last read */
    time_t second;    /* the time of `line` */
    char line[DATE_LINE
              + 1]; /* "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" (RFC 9110 5.6.7) */
} DateCache;

/* DATE_LINE bytes, valid until the next call. `now_ms` is uv_now(): while it stands still, the
 * clock isn't read. */
const char *date_line(DateCache *cache, uint64_t now_ms);

#endif
