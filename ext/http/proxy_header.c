/* Reading the header of the PROXY protocol (see proxy_header.h). It may arrive in any pieces, so that each
 * call starts from its first byte. Any thread.
 */
#include "base/py.h"

#include "http/proxy_header.h"

#include <arpa/inet.h>

enum {
    LINE_MAX_V1 = 107, /* bytes of version 1 with CRLF */
    HEAD_V2 = 16,      /* bytes of version 2 before the addresses */
    TLV_SSL = 0x20,    /* PP2_TYPE_SSL */
    TLV_SSL_USED = 1,  /* PP2_CLIENT_SSL */
};

/* What version 2 begins with; the NUL at its end isn't part of it. */
static const char SIGNATURE[] = "\r\n\r\n\0\r\nQUIT\n";

/* ---- Version 1 ----------------------------------------------------------------------------- */

/* The next word of the line, which one space ends. */
static Slice
word_next(Slice *line)
{
    const char *space = memchr(line->ptr, ' ', line->len);
    size_t len = space == NULL ? line->len : (size_t)(space - line->ptr);
    Slice word = slice_of(line->ptr, len);
    size_t used = space == NULL ? len : len + 1;
    *line = slice_of(line->ptr + used, line->len - used);
    return word;
}

/* A port without leading zeros; false for anything else. */
static bool
port_parse(Slice text, in_port_t *out)
{
    uint16_t number;
    if (!slice_port(text, &number) || (text.len != 1 && text.ptr[0] == '0')) {
        return false;
    }
    *out = htons(number);
    return true;
}

static bool
address_parse(Slice host, Slice port, int family, NetAddr *out)
{
    char text[INET6_ADDRSTRLEN];
    in_port_t number;
    memset(out, 0, sizeof *out);
    if (host.len >= sizeof text || !port_parse(port, &number)) {
        return false;
    }
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (family == AF_INET) {
        out->in4.sin_family = AF_INET;
        out->in4.sin_port = number;
        return inet_pton(family, text, &out->in4.sin_addr) == 1;
    }
    out->in6.sin6_family = AF_INET6;
    out->in6.sin6_port = number;
    bool fine = inet_pton(family, text, &out->in6.sin6_addr) == 1;
    net_addr_unmap(out);
    return fine;
}

static ProxyStep
line_read(Slice data, ProxyHeader *out)
{
    size_t most = data.len < LINE_MAX_V1 ? data.len : LINE_MAX_V1;
    const char *end = memmem(data.ptr, most, "\r\n", 2);
    if (end == NULL) {
        return most == LINE_MAX_V1 ? PROXY_MALFORMED : PROXY_MORE;
    }
    out->len = (size_t)(end - data.ptr) + 2;
    Slice line = slice_of(data.ptr + 6, out->len - 8);
    Slice family = word_next(&line);
    if (slice_eq(family, SLICE("UNKNOWN"))) {
        return PROXY_DONE;
    }
    bool is_v6 = slice_eq(family, SLICE("TCP6"));
    if (!is_v6 && !slice_eq(family, SLICE("TCP4"))) {
        return PROXY_MALFORMED;
    }
    int af = is_v6 ? AF_INET6 : AF_INET;
    Slice from = word_next(&line), to = word_next(&line);
    Slice from_port = word_next(&line);
    out->known = address_parse(from, from_port, af, &out->from)
                 && address_parse(to, line, af, &out->to);
    return out->known ? PROXY_DONE : PROXY_MALFORMED;
}

/* ---- Version 2 ----------------------------------------------------------------------------- */

/* Looks in the type-length-value items for the one that says whether the client uses TLS. */
static ProxyStep
items_read(Slice items, ProxyHeader *out)
{
    while (items.len != 0) {
        const uint8_t *at = (const uint8_t *)items.ptr;
        size_t size = items.len < 3 ? 0 : 3 + ((size_t)at[1] << 8 | at[2]);
        if (size == 0 || size > items.len) {
            return PROXY_MALFORMED;
        }
        if (at[0] == TLV_SSL && size > 3) {
            out->https = (at[3] & TLV_SSL_USED) != 0;
        }
        items = slice_of(items.ptr + size, items.len - size);
    }
    return PROXY_DONE;
}

/* The bytes that the addresses of a family take. Families other than IP have no address that counts. */
static size_t
addresses_len(unsigned family)
{
    return family == 1 ? 12 : family == 2 ? 36 : family == 3 ? 216 : 0;
}

static void
addresses_read(const char *at, unsigned family, ProxyHeader *out)
{
    if (family == 1) {
        out->from.in4.sin_family = out->to.in4.sin_family = AF_INET;
        memcpy(&out->from.in4.sin_addr, at, 4);
        memcpy(&out->to.in4.sin_addr, at + 4, 4);
        memcpy(&out->from.in4.sin_port, at + 8, 2);
        memcpy(&out->to.in4.sin_port, at + 10, 2);
    } else {
        out->from.in6.sin6_family = out->to.in6.sin6_family = AF_INET6;
        memcpy(&out->from.in6.sin6_addr, at, 16);
        memcpy(&out->to.in6.sin6_addr, at + 16, 16);
        memcpy(&out->from.in6.sin6_port, at + 32, 2);
        memcpy(&out->to.in6.sin6_port, at + 34, 2);
        net_addr_unmap(&out->from);
        net_addr_unmap(&out->to);
    }
    out->known = true;
}

static ProxyStep
binary_read(Slice data, ProxyHeader *out)
{
    if (data.len < HEAD_V2) {
        return PROXY_MORE;
    }
    const uint8_t *head = (const uint8_t *)data.ptr;
    unsigned command = head[12] & 15, family = head[13] >> 4, transport = head[13] & 15;
    size_t rest = (size_t)head[14] << 8 | head[15];
    if (head[12] >> 4 != 2 || command > 1 || family > 3 || transport > 2
        || HEAD_V2 + rest > PROXY_HEADER_MAX) {
        return PROXY_MALFORMED;
    }
    if (data.len < HEAD_V2 + rest) {
        return PROXY_MORE;
    }
    out->len = HEAD_V2 + rest;
    out->local = command == 0;
    size_t used = addresses_len(family);
    if (out->local || family == 0) {
        return PROXY_DONE;
    }
    if (transport != 1 || used > rest) { /* datagrams, or cut off */
        return PROXY_MALFORMED;
    }
    if (family != 3) {
        addresses_read(data.ptr + HEAD_V2, family, out);
    }
    return items_read(slice_of(data.ptr + HEAD_V2 + used, rest - used), out);
}

ProxyStep
proxy_header_read(Slice data, ProxyHeader *out)
{
    memset(out, 0, sizeof *out);
    size_t n = data.len < sizeof SIGNATURE - 1 ? data.len : sizeof SIGNATURE - 1;
    if (memcmp(data.ptr, SIGNATURE, n) == 0) {
        return binary_read(data, out);
    }
    n = data.len < 6 ? data.len : 6;
    if (memcmp(data.ptr, "PROXY ", n) != 0) {
        return PROXY_MALFORMED;
    }
    return line_read(data, out);
}
