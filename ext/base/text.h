/* Text as it stands in targets and header fields: percent-decoding and character sets. Pure functions of their arguments.
 *
 * Thread: any, with the GIL (text_unquote and the others that fill a Buf: without, too).
 */
#ifndef FLUVIAL_BASE_TEXT_H
#define FLUVIAL_BASE_TEXT_H

#include "base/py.h"
#include "base/buf.h"
#include "base/slice.h"

/* Appends `text` with each %XX replaced by its byte. Malformed escapes stay as they are, as
 * with urllib.parse.unquote_to_bytes. 0 or UV_ENOMEM. */
int text_unquote(Slice text, Buf *out);
/* As text_unquote, with '+' for a space: a name or value of a query string. */
int text_unquote_plus(Slice text, Buf *out);

/* Decodes what stands at the beginning of `text`, which is not empty, to one byte; `plus` as
 * in text_unquote_plus. Returns how many bytes of `text` that took. */
size_t text_unquote_char(Slice text, bool plus, char *out);

static inline bool
text_is_quoted(Slice path)
{
    return memchr(path.ptr, '%', path.len) != NULL;
}

/* New references to a str, or NULL with MemoryError. Malformed UTF-8 becomes U+FFFD. */
PyObject *text_utf8(Slice bytes);
PyObject *text_latin1(Slice bytes);
PyObject *text_query(Slice text); /* text_unquote_plus, then UTF-8 */
/* A cookie's value as cookie_next gives it, without quotes and their backslashes, as
 * http.cookies reads them. */
PyObject *text_cookie(Slice text);

#endif
