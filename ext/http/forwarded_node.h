/* The grammar of what proxies say: addresses, ports, and the elements of Forwarded (RFC 7239 sections 4
 * and 6). Pure functions of texts.
 *
 * Thread: any.
 */
#ifndef FLUVIAL_HTTP_FORWARDED_NODE_H
#define FLUVIAL_HTTP_FORWARDED_NODE_H

#include "base/py.h"
#include "base/slice.h"
#include "net/addr.h"

/* Reads an address with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1]:80. False
 * for anything else, such as "unknown" and obfuscated identifiers ("_hidden"). A port may be obfuscated;
 * it is 0 then. */
bool node_read(Slice text, NetAddr *out);

/* The number of 1 to 65535 that `text` is in digits; 0 when it is none. */
uint32_t port_read(Slice text);

/* The parameters of one element, without quotation marks; empty when absent. Parts of the text. */
typedef struct ForwardedElement {
    Slice node, proto, host;
    bool empty; /* there is nothing between two commas */
} ForwardedElement;

/* Reads the next element of `*rest`, which becomes what follows its comma. False when it is malformed,
 * repeats a parameter, or has a quoted string with a backslash, which none of these values needs. */
bool element_next(Slice *rest, ForwardedElement *out);

#endif
