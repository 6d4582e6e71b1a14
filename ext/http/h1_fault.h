/* Why llhttp refuses a request, in words for the client; and what both h1.c and h1_fault.c look at to find out.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_H1_FAULT_H
#define FLUVIAL_HTTP_H1_FAULT_H

#include "http/conn.h"

/* The fault that corresponds to an error which llhttp found itself in the piece that ends at `end`. */
Fault h1_fault(const HttpConn *c, llhttp_errno_t code, const char *end);

/* The byte `n` (1 or 2) places before `at`; it may belong to bytes that were parsed earlier. */
static inline char
h1_byte_before(const HttpConn *c, const char *at, size_t n)
{
    size_t here = (size_t)(at - c->piece);
    return here >= n ? at[-(ptrdiff_t)n] : c->before[2 - (n - here)];
}

/* Whether two spaces stand before `at`, the beginning of a part of the request line or of a later piece
 * of it. llhttp accepts any number of spaces between the parts; RFC 9112 section 3 allows one. */
static inline bool
h1_has_two_spaces(const HttpConn *c, const char *at)
{
    return h1_byte_before(c, at, 1) == ' ' && h1_byte_before(c, at, 2) == ' ';
}

/* Texts that are used twice: llhttp may find the fault itself before it hands over a part, or it may
 * hand over the first piece of the part and a callback finds the fault. */
static const char H1_TWO_SPACES[] = "The request line has two spaces in a row";
static const char H1_OTHER_PROTOCOL[] = "The protocol is not HTTP";

static const char H1_OTHER_METHOD[] = "The method is not known";

/* llhttp also knows the methods of RTSP. */
static inline bool
h1_is_of_rtsp(const HttpConn *c)
{
    return c->parser.method >= HTTP_DESCRIBE && c->parser.method <= HTTP_FLUSH;
}

static inline bool
h1_in_trailers(const HttpConn *c)
{
    return c->state != CONN_HEAD;
}

#endif
