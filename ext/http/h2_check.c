/* Which requests are malformed (RFC 9113 sections 8.1.1 to 8.3 and 8.5, RFC 8441 section 4): nghttp2's own checks in
 * their place. Newer versions of it end the connection of a malformed request, whereas 1.52 resets the stream. A proxy's
 * connection carries requests of many clients, so one of them must not end it for all. The loop's thread.
 */
#include "base/py.h"

#include "http/h2_conn.h"

/* Not in each version of the library: it came after 1.52 and before the ones that end connections. */
__attribute__((weak)) int
nghttp2_extpri_parse_priority(nghttp2_extpri *extpri, const uint8_t *value, size_t len);

enum { /* H2Stream.seen */
       SEEN_METHOD = 1,
       SEEN_SCHEME = 2,
       SEEN_PATH = 4,
       SEEN_AUTHORITY = 8,
       SEEN_PROTOCOL = 16,
       SEEN_HOST = 32,
       SEEN_LENGTH = 64,
       SEEN_REGULAR = 128, /* a field that is no pseudo-header field */
       SEEN_CONNECT = 256, /* the method is CONNECT */
       SEEN_TARGET = SEEN_METHOD | SEEN_SCHEME | SEEN_PATH,
};

bool
h2_checks(void)
{
    return nghttp2_extpri_parse_priority != NULL;
}

/* Notes a field that a request has once, and not empty. */
static bool
h2_seen_once(H2Stream *s, unsigned flag, Slice value)
{
    bool first = value.len != 0 && (s->seen & flag) == 0;
    s->seen |= flag;
    return first;
}

static bool
h2_is_authority(Slice value)
{
    return nghttp2_check_authority((const uint8_t *)value.ptr, value.len) != 0
           && (value.len == 0 || memchr(value.ptr, '@', value.len) == NULL);
}

static bool
h2_is_scheme(Slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = ascii_lower(value.ptr[i]);
        bool letter = c >= 'a' && c <= 'z';
        bool other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
        if (!letter && (i == 0 || !other)) {
            return false;
        }
    }
    return value.len != 0;
}

static bool
h2_is_value(Slice value)
{
    return nghttp2_check_header_value_rfc9113((const uint8_t *)value.ptr, value.len)
           != 0;
}

static bool
h2_pseudo_check(H2Stream *s, Slice name, Slice value)
{
    const uint8_t *text = (const uint8_t *)value.ptr;
    if (s->trailing || (s->seen & SEEN_REGULAR)) {
        return false;
    }
    if (slice_eq(name, SLICE(":method"))) {
        bool once = h2_seen_once(s, SEEN_METHOD, value);
        s->seen |= slice_eq(value, SLICE("CONNECT")) ? SEEN_CONNECT : 0;
        return once && nghttp2_check_method(text, value.len) != 0;
    }
    if (slice_eq(name, SLICE(":scheme"))) {
        return h2_seen_once(s, SEEN_SCHEME, value) && h2_is_scheme(value);
    }
    if (slice_eq(name, SLICE(":path"))) {
        return h2_seen_once(s, SEEN_PATH, value)
               && nghttp2_check_path(text, value.len) != 0;
    }
    if (slice_eq(name, SLICE(":authority"))) {
        return h2_seen_once(s, SEEN_AUTHORITY, value) && h2_is_authority(value);
    }
    return slice_eq(name, SLICE(":protocol")) && h2_seen_once(s, SEEN_PROTOCOL, value)
           && h2_is_value(value);
}

/* Whether the field is about an HTTP/1.1 connection (section 8.2.2). */
static bool
h2_is_hop(Slice name)
{
    return slice_eq(name, SLICE("connection")) || slice_eq(name, SLICE("keep-alive"))
           || slice_eq(name, SLICE("proxy-connection"))
           || slice_eq(name, SLICE("transfer-encoding"))
           || slice_eq(name, SLICE("upgrade"));
}

/* The priority that the client wants (RFC 9218 section 5); one that can't be read says nothing. */
static void
h2_prioritize(H2Stream *s, Slice value)
{
    nghttp2_extpri wanted = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 0};
    if (!s->trailing
        && nghttp2_extpri_parse_priority(&wanted, (const uint8_t *)value.ptr, value.len)
               == 0) {
        (void)nghttp2_session_change_extpri_stream_priority(s->h2->session, s->id,
                                                            &wanted, 0);
    }
}

bool
h2_check_field(H2Stream *s, Slice name, Slice value)
{
    if (nghttp2_check_header_name((const uint8_t *)name.ptr, name.len) == 0) {
        return false;
    }
    if (name.ptr[0] == ':') {
        return h2_pseudo_check(s, name, value);
    }
    s->seen |= SEEN_REGULAR;
    if (!h2_is_value(value) || h2_is_hop(name)) {
        return false;
    }
    if (slice_eq(name, SLICE("te"))) {
        return slice_eq_nocase(value, SLICE("trailers"));
    }
    if (slice_eq(name, SLICE("host"))) {
        return h2_seen_once(s, SEEN_HOST, value) && h2_is_authority(value);
    }
    if (slice_eq(name, SLICE("content-length"))) {
        return h2_seen_once(s, SEEN_LENGTH, value)
               && slice_decimal(value, INT64_MAX, &s->stated);
    }
    if (slice_eq(name, SLICE("priority"))) {
        h2_prioritize(s, value);
    }
    return true;
}

bool
h2_check_head(const H2Stream *s)
{
    bool protocol = s->seen & SEEN_PROTOCOL, authority = s->seen & SEEN_AUTHORITY;
    if ((s->seen & SEEN_CONNECT) && !protocol) {
        return authority && (s->seen & (SEEN_SCHEME | SEEN_PATH)) == 0;
    }
    if (protocol && (!(s->seen & SEEN_CONNECT) || !authority)) {
        return false;
    }
    return (s->seen & SEEN_TARGET) == SEEN_TARGET
           && (authority || (s->seen & SEEN_HOST));
}

bool
h2_check_body(const H2Stream *s, uint64_t more, bool end)
{
    uint64_t received = s->received + more;
    bool plain_connect = (s->seen & SEEN_CONNECT) && !(s->seen & SEEN_PROTOCOL);
    if (!(s->seen & SEEN_LENGTH) || plain_connect) {
        return true;
    }
    return end ? received == s->stated : received <= s->stated;
}
