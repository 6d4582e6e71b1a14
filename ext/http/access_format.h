/* The layout of the access log's lines, compiled from pieces: literal text, and atoms such as the status. The
 * pieces come from pysrc/fluvial/_serving/access_format.py, which reads a format's text.
 *
 * Values are escaped so that no client can forge a line or a part of one: `\xHH` for control characters,
 * quotation marks, backslashes and bytes beyond ASCII; in JSON as RFC 8259 asks.
 * Thread: the loop's.
 */
#ifndef FLUVIAL_HTTP_ACCESS_FORMAT_H
#define FLUVIAL_HTTP_ACCESS_FORMAT_H

#include "base/py.h"
#include "base/buf.h"
#include "http/access_values.h"

typedef struct AccessFormat AccessFormat;

/* How a piece is written. */
typedef enum AccessStyle {
    ACCESS_TEXT,        /* `\xHH`; `-` where there is no value */
    ACCESS_JSON_STRING, /* the inside of a JSON string; `-` where there is no value */
    ACCESS_JSON_VALUE,  /* a number, a quoted string, or null */
} AccessStyle;

/* An empty format. `json`: each line is to be a JSON object. `worker` is the number of the worker process,
 * counted from 1; 0: there is only one process. NULL when out of memory. */
AccessFormat *access_format_new(bool json, int worker);
void access_format_free(AccessFormat *format); /* may be NULL */
/* Both copy what they get. 0; UV_ENOMEM; UV_EINVAL for an atom of an unknown name. `argument` is the name of
 * a field, in lower case, for the atoms "i" and "o". */
int access_format_literal(AccessFormat *format, Slice text);
int access_format_atom(AccessFormat *format, Slice name, Slice argument,
                       AccessStyle style);

/* Whether it has atoms that need HttpRequest.sent_fields. */
bool access_format_wants_fields(const AccessFormat *format);
/* Appends a line, with its end. 0; UV_ENOMEM, and then nothing is appended. */
int access_format_put(AccessFormat *format, Buf *out, const AccessEntry *entry);
/* Appends a line that says how many lines were dropped. As above. */
int access_format_put_dropped(AccessFormat *format, Buf *out, uint64_t dropped);

#endif
