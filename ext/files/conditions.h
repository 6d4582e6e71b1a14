/* Whether a client wants a file, as the conditional fields of its request say (RFC 9110 section 13).
 * Thread: any.
 */
#ifndef FLUVIAL_FILES_CONDITIONS_H
#define FLUVIAL_FILES_CONDITIONS_H

#include "base/py.h"
#include "base/slice.h"
#include "http/request.h"

/* The file's validators. Borrowed. */
typedef struct Validators {
    Slice etag, modified; /* as in its response's fields */
    int64_t mtime;        /* seconds since 1970 */
} Validators;

typedef enum Condition {
    CONDITION_UNKNOWN, /* a date in no format of HTTP's */
    CONDITION_MET,     /* the file is sent */
    CONDITION_FAILED,  /* 412: the client wants another version */
    CONDITION_SAME,    /* 304: the client has it */
} Condition;

/* What section 13.2.2 makes of the request's preconditions. */
Condition conditions_check(const HttpRequest *req, const Validators *file);

/* Whether If-Range, if it is there, lets ranges be sent (section 13.1.5). */
bool conditions_allow_ranges(const HttpRequest *req, const Validators *file);

/* Whether one of the entity tags in the list is this one, or the list has "*". Tags without quotes, which are wrong
 * but happen, are tags of their own. A strong comparison needs two strong tags, a weak one ignores which kind they are
 * of (section 8.8.3.2). */
bool etags_have(Slice list, Slice etag, bool weak);

#endif
