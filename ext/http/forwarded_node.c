/* The grammar of what proxies say (see forwarded_node.h). Texts come from a request's head and are neither
 * changed nor kept. Any thread.
 */
#include "base/py.h"

#include "http/forwarded_node.h"

#include "http/chars.h"
#include "http/list.h"

#include <arpa/inet.h>

/* ---- Addresses ----------------------------------------------------------------------------- */

uint32_t
port_read(Slice text)
{
    uint16_t number;
    return slice_port(text, &number) ? number : 0;
}

/* Splits "192.0.2.1:80", "[::1]", "[::1]:80". `*port` has no colon; it is empty when there is none. False
 * when brackets or what follows them is malformed. */
static bool
address_split(Slice text, Slice *host, Slice *port, bool *is_v6)
{
    *host = text;
    *port = SLICE("");
    Slice rest = SLICE("");
    *is_v6 = text.len != 0 && text.ptr[0] == '[';
    if (*is_v6) {
        const char *close = memchr(text.ptr, ']', text.len);
        if (close == NULL) {
            return false;
        }
        size_t len = (size_t)(close - text.ptr);
        *host = slice_of(text.ptr + 1, len - 1);
        rest = slice_of(close + 1, text.len - len - 1);
    } else {
        const char *colon = memchr(text.ptr, ':', text.len);
        size_t len = colon == NULL ? text.len : (size_t)(colon - text.ptr);
        rest = slice_of(text.ptr + len, text.len - len);
        if (rest.len > 1 && memchr(rest.ptr + 1, ':', rest.len - 1) != NULL) {
            *is_v6 = true; /* two colons: all of it is the address */
            return true;
        }
        host->len = len;
    }
    if (rest.len == 0) {
        return true;
    }
    *port = slice_of(rest.ptr + 1, rest.len - 1);
    return rest.ptr[0] == ':' && port->len != 0;
}

bool
node_read(Slice text, NetAddr *out)
{
    Slice host, port;
    bool is_v6;
    char name[INET6_ADDRSTRLEN];
    if (!address_split(text, &host, &port, &is_v6) || host.len >= sizeof name
        || memchr(host.ptr, '\0', host.len) != NULL) {
        return false;
    }
    uint32_t number = port_read(port);
    if (port.len != 0 && number == 0 && port.ptr[0] != '_') {
        return false;
    }
    memcpy(name, host.ptr, host.len);
    name[host.len] = '\0';
    memset(out, 0, sizeof *out);
    if (!is_v6) {
        out->in4.sin_family = AF_INET;
        out->in4.sin_port = htons((uint16_t)number);
        return inet_pton(AF_INET, name, &out->in4.sin_addr) == 1;
    }
    out->in6.sin6_family = AF_INET6;
    out->in6.sin6_port = htons((uint16_t)number);
    bool fine = inet_pton(AF_INET6, name, &out->in6.sin6_addr) == 1;
    net_addr_unmap(out);
    return fine;
}

/* ---- Forwarded ----------------------------------------------------------------------------- */

static void
spaces_skip(Slice *rest)
{
    while (rest->len != 0 && (rest->ptr[0] == ' ' || rest->ptr[0] == '\t')) {
        *rest = slice_of(rest->ptr + 1, rest->len - 1);
    }
}

/* The token at the beginning of `*rest`; empty when there is none. */
static Slice
token_take(Slice *rest)
{
    size_t n = 0;
    while (n < rest->len && char_is(&CHARS_TOKEN, rest->ptr[n])) {
        n++;
    }
    Slice token = slice_of(rest->ptr, n);
    *rest = slice_of(rest->ptr + n, rest->len - n);
    return token;
}

/* Token or quoted string. Many proxies send an address with a port without quotation marks, so that ':',
 * '[' and ']' count as part of a token. */
static bool
value_take(Slice *rest, Slice *value)
{
    if (rest->len != 0 && rest->ptr[0] == '"') {
        const char *end = memchr(rest->ptr + 1, '"', rest->len - 1);
        if (end == NULL) {
            return false;
        }
        *value = slice_of(rest->ptr + 1, (size_t)(end - rest->ptr) - 1);
        *rest = slice_of(end + 1, rest->len - value->len - 2);
        return memchr(value->ptr, '\\', value->len) == NULL;
    }
    size_t n = 0;
    while (n < rest->len
           && (char_is(&CHARS_TOKEN, rest->ptr[n])
               || memchr(":[]", rest->ptr[n], 3) != NULL)) {
        n++;
    }
    *value = slice_of(rest->ptr, n);
    *rest = slice_of(rest->ptr + n, rest->len - n);
    return n != 0;
}

/* Reads "name=value" into the element. */
static bool
pair_take(Slice *rest, ForwardedElement *out)
{
    Slice name = token_take(rest);
    Slice value;
    if (name.len == 0 || rest->len == 0 || rest->ptr[0] != '=') {
        return false;
    }
    *rest = slice_of(rest->ptr + 1, rest->len - 1);
    if (!value_take(rest, &value)) {
        return false;
    }
    Slice *place = slice_eq_nocase(name, SLICE("for"))     ? &out->node
                   : slice_eq_nocase(name, SLICE("proto")) ? &out->proto
                   : slice_eq_nocase(name, SLICE("host"))  ? &out->host
                                                           : NULL;
    if (place == NULL) {
        return true;
    }
    bool first = place->len == 0;
    *place = value;
    return first;
}

bool
element_next(Slice *rest, ForwardedElement *out)
{
    *out = (ForwardedElement){
        .node = SLICE(""), .proto = SLICE(""), .host = SLICE(""), .empty = true};
    for (;;) {
        spaces_skip(rest);
        if (rest->len != 0 && rest->ptr[0] != ';' && rest->ptr[0] != ',') {
            if (!pair_take(rest, out)) {
                return false;
            }
            out->empty = false;
            spaces_skip(rest);
        }
        if (rest->len == 0) {
            return true;
        }
        char next = rest->ptr[0];
        if (next != ';' && next != ',') {
            return false;
        }
        *rest = slice_of(rest->ptr + 1, rest->len - 1);
        if (next == ',') {
            return true;
        }
    }
}
