/* Checks that RFC 9112 requires of a request's head and llhttp doesn't make: version, method, form of
 * the target, Host, Transfer-Encoding, Expect, sizes. A head that two parsers could read in different
 * ways is refused, because request smuggling depends on such differences (RFC 9112 section 11.2).
 * Pure functions of a complete head.
 */
#include "base/py.h"

#include "http/chars.h"
#include "http/conn.h"
#include "http/forwarded.h"
#include "http/list.h"

static const Fault FINE = {0, NULL, NULL};

/* ---- Target and Host --------------------------------------------------------------------- */

/* Whether `text`, found between brackets, has the characters of an IPv6 address, or the form of an
 * IPvFuture (RFC 3986 section 3.2.2). */
static bool
is_address(Slice text)
{
    size_t colons = 0;
    bool future = text.len != 0 && ascii_lower(text.ptr[0]) == 'v';
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.ptr[i]);
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '.';
        colons += c == ':';
        if (c != ':' && !(future ? char_is(&CHARS_HOST, c) : digit)) {
            return false;
        }
    }
    return future ? memchr(text.ptr, '.', text.len) != NULL : colons >= 2;
}

/* The length of the name or of the address in brackets that `host` begins with; 0 when there is none. */
static size_t
host_name_len(Slice host)
{
    size_t end = 0;
    if (unlikely(host.len != 0 && host.ptr[0] == '[')) {
        const char *close = memchr(host.ptr, ']', host.len);
        end = close != NULL ? (size_t)(close - host.ptr) : 0;
        return end != 0 && is_address(slice_of(host.ptr + 1, end - 1)) ? end + 1 : 0;
    }
    while (end < host.len && char_is(&CHARS_HOST, host.ptr[end])) {
        end++;
    }
    return end;
}

Slice
head_host_name(Slice host)
{
    return slice_of(host.ptr, host_name_len(host));
}

bool
head_is_host(Slice host)
{
    size_t end = host_name_len(host);
    if (end == 0 || end == host.len) {
        return end != 0;
    }
    Slice port = slice_of(host.ptr + end + 1, host.len - end - 1);
    uint16_t number;
    return host.ptr[end] == ':' && (port.len == 0 || slice_port(port, &number));
}

/* Where `c` stands for the first time in the text; its end where it doesn't. For a few bytes, a loop is faster than
 * a call of memchr. */
static inline uint32_t
target_find(const char *text, uint32_t from, uint32_t end, char c)
{
    enum { FEW = 12 };
    if (end - from > FEW) {
        const char *at = memchr(text + from, c, end - from);
        return at == NULL ? end : (uint32_t)(at - text);
    }
    while (from < end && text[from] != c) {
        from++;
    }
    return from;
}

/* Sets path and query, which begin at `from` in the target. */
static void
target_split(HttpRequest *req, uint32_t from)
{
    uint32_t end = req->target_len;
    uint32_t mark = target_find(req->head.ptr, from, end, '?');
    req->path = from;
    req->path_len = mark - from;
    req->query = mark != end ? mark + 1 : end;
    req->query_len = end - req->query;
}

/* The length of "http://" or "https://" at the target's beginning; 0 when there is neither. */
static uint32_t
scheme_len(Slice target)
{
    if (target.len >= 7 && slice_eq_nocase(slice_of(target.ptr, 7), SLICE("http://"))) {
        return 7;
    }
    if (target.len >= 8
        && slice_eq_nocase(slice_of(target.ptr, 8), SLICE("https://"))) {
        return 8;
    }
    return 0;
}

/* Handles a target in absolute-form. Its authority replaces the value of the Host field (RFC 9112
 * section 3.2.2); user information is skipped. */
static Fault
target_absolute(HttpRequest *req, uint32_t scheme)
{
    const char *ptr = req->head.ptr;
    uint32_t end = scheme;
    uint32_t host = scheme;
    while (end < req->target_len && strchr("/?#", ptr[end]) == NULL) {
        if (ptr[end++] == '@') {
            host = end;
        }
    }
    if (!head_is_host(slice_of(ptr + host, end - host))) {
        return fault_make(400, "The request target's host is malformed");
    }
    if (req->host >= 0) {
        req->fields[req->host].value = host;
        req->fields[req->host].value_len = end - host;
    }
    target_split(req, end);
    if (req->path_len == 0) {
        req->path =
            scheme - 1; /* the '/' that ends the scheme stands for the empty path */
        req->path_len = 1;
    }
    return FINE;
}

static Fault
target_check(HttpRequest *req)
{
    Slice target = http_request_target(req);
    assert(target.len != 0);
    uint32_t len = req->target_len;
    if (unlikely(target_find(target.ptr, 0, len, '#') != len)) {
        return fault_make(400, "The request target has a fragment");
    }
    if (likely(target.ptr[0] == '/')) {
        target_split(req, 0);
        return FINE;
    }
    if (slice_eq(target, SLICE("*"))) {
        req->path_len = 1;
        req->query = 1;
        /* UPnP's M-SEARCH always has that target. */
        return req->method == HTTP_OPTIONS || req->method == HTTP_MSEARCH
                   ? FINE
                   : fault_make(400, "The request target * is for OPTIONS only");
    }
    uint32_t scheme = scheme_len(target);
    return scheme != 0 ? target_absolute(req, scheme)
                       : fault_make(400, "The request target is malformed");
}

static Fault
host_check(const HttpRequest *req)
{
    if (req->host < 0) {
        return req->minor == 0 ? FINE : fault_make(400, "The Host field is missing");
    }
    KnownHost *known = &req->server->known;
    Slice host = http_field_value(req, (uint32_t)req->host);
    if (likely(slice_eq(host, slice_of(known->bytes, known->len)) && host.len != 0)) {
        return FINE;
    }
    if (!head_is_host(host)) {
        return fault_make(400, "The Host field is malformed");
    }
    if (host.len <= KNOWN_HOST_MAX) {
        memcpy(known->bytes, host.ptr, host.len);
        known->len = host.len;
    }
    return FINE;
}

/* ---- Transfer-Encoding ------------------------------------------------------------------- */

/* Whether the coding may stand before chunked. The body is passed on in that coding, with its
 * Transfer-Encoding field. */
static bool
is_known_coding(Slice coding)
{
    return slice_eq_nocase(coding, SLICE("gzip"))
           || slice_eq_nocase(coding, SLICE("x-gzip"))
           || slice_eq_nocase(coding, SLICE("deflate"))
           || slice_eq_nocase(coding, SLICE("compress"))
           || slice_eq_nocase(coding, SLICE("x-compress"));
}

/* Checks the codings of one field. `*chunked`: whether the last coding so far was chunked. */
static Fault
codings_check(Slice value, bool *chunked)
{
    do {
        Slice coding = list_next(&value, ',');
        if (*chunked) {
            return fault_make(400, "Transfer-Encoding has a coding after chunked");
        }
        if (coding.len == 0) {
            return fault_make(400, "Transfer-Encoding has an empty coding");
        }
        if (slice_eq_nocase(coding, SLICE("identity"))) {
            return fault_make(400,
                              "Transfer-Encoding names identity, which is no coding");
        }
        *chunked = slice_eq_nocase(coding, SLICE("chunked"));
        if (!*chunked && !is_known_coding(coding)) {
            return fault_make(501, "The transfer coding is not known");
        }
    } while (value.ptr != NULL);
    return FINE;
}

static Fault
transfer_encoding_check(const HttpRequest *req, uint16_t flags)
{
    if (req->minor == 0) {
        return fault_make(400, "Transfer-Encoding is not allowed in HTTP/1.0");
    }
    if (flags & F_CONTENT_LENGTH) {
        return fault_make(400, "Content-Length is not allowed with Transfer-Encoding");
    }
    bool chunked = false;
    int32_t i = http_field_find(req, SLICE("transfer-encoding"), 0);
    while (i >= 0) {
        Fault fault = codings_check(http_field_value(req, (uint32_t)i), &chunked);
        if (fault.status != 0) {
            return fault;
        }
        i = http_field_find(req, SLICE("transfer-encoding"), (uint32_t)i + 1);
    }
    return chunked && (flags & F_CHUNKED)
               ? FINE
               : fault_make(400, "Transfer-Encoding doesn't end in chunked");
}

/* ---- The rest ---------------------------------------------------------------------------- */

/* 100-continue is the only expectation that is defined (RFC 9110 section 10.1.1). In HTTP/1.0 the field
 * is ignored. */
static Fault
expect_check(HttpRequest *req)
{
    int32_t i = http_field_find(req, SLICE("expect"), 0);
    while (i >= 0 && req->minor != 0) {
        Slice value = http_field_value(req, (uint32_t)i);
        if (!slice_eq_nocase(value, SLICE("100-continue"))) {
            return fault_make(417, "The expectation is not known");
        }
        req->expect_continue = req->has_body;
        i = http_field_find(req, SLICE("expect"), (uint32_t)i + 1);
    }
    return FINE;
}

static Fault
framing_check(HttpConn *c)
{
    HttpRequest *req = c->req;
    uint16_t flags = c->parser.flags;
    uint64_t length = flags & F_CONTENT_LENGTH ? c->parser.content_length : 0;
    if (flags & F_TRANSFER_ENCODING) {
        Fault fault = transfer_encoding_check(req, flags);
        if (fault.status != 0) {
            return fault;
        }
    }
    if (length > INT64_MAX) {
        return fault_make(413, "The body is too large");
    }
    req->has_body = (flags & F_CHUNKED) || length != 0;
    req->content_length = flags & F_CONTENT_LENGTH ? (int64_t)length : -1;
    return FINE;
}

static Fault
request_line_check(HttpConn *c)
{
    HttpRequest *req = c->req;
    const llhttp_t *parser = &c->parser;
    req->method = parser->method;
    req->minor = parser->http_minor;
    req->is_head = parser->method == HTTP_HEAD;
    req->keep_alive =
        llhttp_should_keep_alive(parser) && !(parser->flags & F_CONNECTION_CLOSE);
    if (parser->http_major != 1) { /* a line without a version: HTTP/0.9 */
        return fault_make(505, "The version of HTTP is not supported");
    }
    if (req->method == HTTP_CONNECT || req->method > HTTP_SOURCE) {
        return req->method == HTTP_QUERY
                   ? FINE
                   : fault_make(501, "The method is not supported");
    }
    return FINE;
}

Fault
head_check(HttpRequest *req)
{
    HttpConn *c = req->conn;
    Fault fault = likely(c != NULL) ? request_line_check(c) : FINE;
    if (fault.status == 0) {
        fault = host_check(req);
    }
    if (fault.status == 0) {
        fault = target_check(req);
    }
    if (fault.status == 0 && likely(c != NULL)) {
        fault = framing_check(c);
    }
    return fault;
}

/* Whether the name is in the server's list, where "*.example.org" stands for what is below it. A dot at
 * the end makes no difference (RFC 3986 section 3.2.2). */
static bool
host_is_allowed(const HttpServer *server, Slice name)
{
    Slice rest = buf_slice(&server->hosts);
    if (name.len > 1 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    do {
        Slice allowed = list_next(&rest, ' ');
        if (slice_eq(allowed, SLICE("*")) || slice_eq_nocase(name, allowed)) {
            return true;
        }
        if (allowed.len > 2 && allowed.ptr[0] == '*' && name.len >= allowed.len) {
            size_t below = name.len - (allowed.len - 1);
            if (slice_eq_nocase(slice_of(name.ptr + below, allowed.len - 1),
                                slice_of(allowed.ptr + 1, allowed.len - 1))) {
                return true;
            }
        }
    } while (rest.ptr != NULL);
    return false;
}

/* Whether the request's path is one of `paths`, which spaces separate. */
static bool
path_is_in(const HttpRequest *req, Slice paths)
{
    while (paths.len != 0) {
        if (slice_eq(list_next(&paths, ' '), http_request_path(req))) {
            return true;
        }
    }
    return false;
}

bool
http_request_is_probe(const HttpRequest *req)
{
    return path_is_in(req, buf_slice(&req->server->probes));
}

bool
http_request_is_urgent(const HttpRequest *req)
{
    return http_request_is_probe(req)
           || path_is_in(req, buf_slice(&req->server->urgent));
}

static Fault
allowed_check(const HttpRequest *req)
{
    Slice host = req->host < 0 ? SLICE("") : http_field_value(req, (uint32_t)req->host);
    return http_request_is_probe(req)
                   || host_is_allowed(req->server, head_host_name(host))
               ? FINE
               : fault_make(400, "The Host field names no allowed host");
}

Fault
head_check_rare(HttpConn *c)
{
    HttpRequest *req = c->req;
    Fault fault = c->rare & RARE_EXPECT ? expect_check(req) : FINE;
    if (c->rare & RARE_PROXIES && forwarded_apply(c) != 0) {
        return fault_make(503, "The server is out of memory");
    }
    return fault.status == 0 && c->rare & RARE_HOSTS ? allowed_check(req) : fault;
}
