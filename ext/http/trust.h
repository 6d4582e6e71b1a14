/* Which proxies are believed when they say from whom a request comes: networks, Unix sockets, and the
 * header fields that count. One per server, set before it listens.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_HTTP_TRUST_H
#define FLUVIAL_HTTP_TRUST_H

#include "base/py.h"
#include "base/slice.h"
#include "net/addr.h"

/* Fields of a request's head that the layer looks at again when the head is complete: HttpConn.rare. The
 * first six are also the fields that a proxy may be believed: HttpProxies.fields. */
enum {
    RARE_FOR = 1 << 0,       /* X-Forwarded-For */
    RARE_PROTO = 1 << 1,     /* X-Forwarded-Proto */
    RARE_HOST = 1 << 2,      /* X-Forwarded-Host */
    RARE_PORT = 1 << 3,      /* X-Forwarded-Port */
    RARE_PREFIX = 1 << 4,    /* X-Forwarded-Prefix */
    RARE_FORWARDED = 1 << 5, /* Forwarded (RFC 7239) */
    RARE_X = RARE_FOR | RARE_PROTO | RARE_HOST | RARE_PORT | RARE_PREFIX,
    RARE_PROXIES = RARE_X | RARE_FORWARDED,
    RARE_EXPECT = 1 << 6,
    RARE_HOSTS = 1 << 7, /* not a field: the server has a list of allowed hosts */
};

/* An address has 16 bytes, IPv4 in the form ::ffff:192.0.2.1; the 17th is the length of the prefix. */
enum { TRUST_NET = 17 };

typedef struct Trust {
    uint8_t *nets; /* owned: `count` times TRUST_NET bytes; NULL: none */
    size_t count;
    bool unix_sockets; /* peers of Unix sockets are trusted */
    uint8_t fields;    /* of RARE_PROXIES: what trusted peers are believed */
} Trust;

/* Copies `nets`. 0, UV_EINVAL when they aren't whole entries, or UV_ENOMEM. */
int trust_set(Trust *trust, Slice nets, bool unix_sockets, uint8_t fields);
void trust_clear(Trust *trust);
/* Whether the peer is trusted; AF_UNSPEC stands for that of a Unix socket. */
bool trust_has(const Trust *trust, const NetAddr *addr);

#endif
