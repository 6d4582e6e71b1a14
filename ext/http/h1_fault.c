/* The words for what llhttp refuses (see h1_fault.h). llhttp says which kind of error it met and where; the bytes
 * around that place say which mistake the client made.
 */
#include "base/py.h"

#include "http/h1_fault.h"

enum {
    METHOD_MAX = 64
}; /* letters of an unknown method; a longer one is refused as too long */

/* An unknown method, or no method at all (such as a TLS ClientHello). */
static Fault
fault_of_method(const HttpConn *c, const char *end)
{
    const char *at = c->parser.error_pos;
    const char *from = at;
    while (at != NULL && at < end && ((*at >= 'A' && *at <= 'Z') || *at == '-')) {
        at++;
    }
    if (at == from) {
        return fault_make(400, "The request line is malformed");
    }
    return at - from > METHOD_MAX ? fault_make(400, "The method is too long")
                                  : fault_make(501, H1_OTHER_METHOD);
}

/* The fault of a target or a protocol that llhttp refuses. */
static Fault
fault_of_part(const HttpConn *c, const char *otherwise)
{
    const char *begin = c->parser.error_pos;
    if (h1_is_of_rtsp(c)) {
        return fault_make(501, H1_OTHER_METHOD);
    }
    while (begin > c->piece && begin[-1] != ' ') {
        begin--;
    }
    return fault_make(400, h1_has_two_spaces(c, begin) ? H1_TWO_SPACES : otherwise);
}

/* The fault of a Content-Length or a Transfer-Encoding that llhttp refuses. */
static Fault
fault_of_framing(const HttpConn *c, llhttp_errno_t code)
{
    if (h1_in_trailers(c)) {
        return fault_make(400, "A field is not allowed in the trailer section");
    }
    if (code == HPE_UNEXPECTED_CONTENT_LENGTH) {
        return fault_make(400, "Content-Length is repeated");
    }
    if (code == HPE_INVALID_CONTENT_LENGTH) {
        return c->parser.flags & F_TRANSFER_ENCODING
                   ? fault_make(400,
                                "Content-Length is not allowed with Transfer-Encoding")
                   : fault_make(400, "Content-Length is malformed");
    }
    return c->parser.flags & F_CONTENT_LENGTH
               ? fault_make(400, "Content-Length is not allowed with Transfer-Encoding")
               : fault_make(400, "Transfer-Encoding doesn't end in chunked");
}

Fault
h1_fault(const HttpConn *c, llhttp_errno_t code, const char *end)
{
    switch (code) {
    case HPE_INVALID_METHOD:
        return fault_of_method(c, end);
    case HPE_INVALID_VERSION:
        return fault_make(400, "The version of HTTP is malformed");
    case HPE_PAUSED_H2_UPGRADE:
        return fault_make(505, "The version of HTTP is not supported");
    case HPE_INVALID_URL:
        return fault_of_part(c, "The request target is malformed");
    case HPE_INVALID_CONSTANT:
        return fault_of_part(c, H1_OTHER_PROTOCOL);
    case HPE_INVALID_HEADER_TOKEN:
    case HPE_UNEXPECTED_SPACE:
        return fault_make(400, "A field is malformed");
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_TRANSFER_ENCODING:
        return fault_of_framing(c, code);
    case HPE_INVALID_CHUNK_SIZE:
        return fault_make(400, "A chunk is malformed");
    case HPE_CR_EXPECTED:
    case HPE_LF_EXPECTED:
    case HPE_STRICT:
        return fault_make(400, "A line doesn't end in CRLF");
    default:
        return fault_make(400, "The request is malformed");
    }
}
