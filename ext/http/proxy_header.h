/* The header of the PROXY protocol, versions 1 (a line of text) and 2 (binary): what a proxy that passes
 * bytes on sends first on a connection, to say whose bytes they are. Pure functions of bytes.
 *
 * Thread: any.
 */
#ifndef FLUVIAL_HTTP_PROXY_HEADER_H
#define FLUVIAL_HTTP_PROXY_HEADER_H

#include "base/py.h"
#include "base/slice.h"
#include "net/addr.h"

enum { PROXY_HEADER_MAX = 4096 }; /* bytes; longer ones count as malformed */

typedef enum ProxyStep {
    PROXY_MORE, /* it isn't complete */
    PROXY_DONE,
    PROXY_MALFORMED,
} ProxyStep;

typedef struct ProxyHeader {
    size_t len; /* bytes that belong to it */
    bool
        local; /* the proxy's own connection, such as a health check: nothing changes */
    bool known;   /* `from` and `to` are set */
    bool https;   /* the client's connection to the proxy uses TLS */
    NetAddr from; /* the client */
    NetAddr to;   /* the address that it has connected to */
} ProxyHeader;

ProxyStep proxy_header_read(Slice data, ProxyHeader *out);

#endif
