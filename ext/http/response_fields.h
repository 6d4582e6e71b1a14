/* What a response begins with: its status, and header fields as the layer above collects them.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_RESPONSE_FIELDS_H
#define FLUVIAL_HTTP_RESPONSE_FIELDS_H

#include "base/py.h"
#include "base/buf.h"
#include "base/slice.h"

/* Header fields of a response, collected by http_fields_add. A zeroed struct is empty. It can be reused
 * after http_fields_clear; http_fields_free releases it. */
typedef struct HttpFields {
    Buf raw; /* owned: "name: value\r\n" … */
    bool has_date, has_server, has_content_type, close;
    int64_t content_length; /* as the caller stated it */
    bool has_content_length;
} HttpFields;

/* Adds a field. Content-Length is noted and "Connection: close" is honoured. Other hop-by-hop fields
 * (RFC 9110 section 7.6.1) and Transfer-Encoding are dropped. UV_EINVAL when the name is not a
 * token or the value has a control character: nothing is added, and the caller reports it. */
int http_fields_add(HttpFields *fields, Slice name, Slice value);
void http_fields_clear(HttpFields *fields);
void http_fields_free(HttpFields *fields);
/* Whether `lines`, which are "name: value\r\n" …, have a field of this name; that is in lower case. */
bool http_lines_have(Slice lines, Slice name);
/* Whether a field value has no control characters except tabs, so that it can't end its line. */
bool http_value_is_clean(Slice value);

/* Whether the field belongs to the connection, which is the server's (RFC 9110 section 7.6.1). */
bool http_is_hop_by_hop(Slice name);

typedef struct HttpHead {
    int status;               /* 200 to 599 */
    Slice content_type;       /* empty: none, or among the fields */
    const HttpFields *fields; /* borrowed; may be NULL */
    Slice reason;             /* the reason phrase; empty: http_reason(status) */
    bool checked; /* content_type is known to be clean: see http_value_is_clean() */
} HttpHead;

/* "Not Found" for 404 …; "Unknown" for a status that RFC 9110 and the IANA registry don't name. */
Slice http_reason(int status);

/* Whether a response with this status never has a body (RFC 9110 section 6.4.1). */
static inline bool
http_status_is_bodyless(int status)
{
    return status == 204 || status == 304;
}

#endif
