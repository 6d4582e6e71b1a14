/* Text to values: percent-decoding, character sets, and numbers as pydantic reads them from
 * strings in its lax mode. Pure functions of their arguments.
 *
 * Thread: any, with the GIL (convert_unquote and the others that fill a Buf: without, too).
 */
#ifndef FLUVIAL_APP_CONVERT_H
#define FLUVIAL_APP_CONVERT_H

#include "base/py.h"
#include "base/buf.h"
#include "base/slice.h"

/* Appends `text` with each %XX replaced by its byte. Malformed escapes stay as they are, as
 * with urllib.parse.unquote_to_bytes. 0 or UV_ENOMEM. */
int convert_unquote(Slice text, Buf *out);
/* As convert_unquote, with '+' for a space: a name or value of a query string. */
int convert_unquote_plus(Slice text, Buf *out);

/* Decodes what stands at the beginning of `text`, which is not empty, to one byte; `plus` as
 * in convert_unquote_plus. Returns how many bytes of `text` that took. */
size_t convert_unquote_char(Slice text, bool plus, char *out);

static inline bool
convert_is_quoted(Slice path)
{
    return memchr(path.ptr, '%', path.len) != NULL;
}

/* New references to a str, or NULL with MemoryError. Malformed UTF-8 becomes U+FFFD. */
PyObject *convert_utf8(Slice bytes);
PyObject *convert_latin1(Slice bytes);
PyObject *convert_query(Slice text); /* convert_unquote_plus, then UTF-8 */
/* A cookie's value as cookie_next gives it, without quotes and their backslashes, as
 * http.cookies reads them. */
PyObject *convert_cookie(Slice text);

/* A number or bool from its UTF-8 text (see number.c): a new reference; NULL without an exception when the
 * text is none; NULL with MemoryError. */
PyObject *convert_int(Slice text);
PyObject *convert_float(Slice text);
PyObject *convert_bool(Slice text);

#endif
