/* Decoding of text in request targets and header fields: percent-decoding and character sets. Pure
 * functions of their arguments.
 *
 * Thread: any, with the GIL (those that don't return a Python object: also without).
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

/* Decodes the beginning of `text`, which must not be empty, to one byte. With `plus`, '+' stands for
 * a space. Returns the number of bytes of `text` that were decoded. */
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
/* The value of a cookie, with quotes and their backslash escapes removed as http.cookies does. */
PyObject *text_cookie(Slice text);

#endif
