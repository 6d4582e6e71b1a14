/* Socket addresses: kept in 28 bytes, written as text. No state. Thread: any. */
#ifndef FLUVIAL_NET_ADDR_H
#define FLUVIAL_NET_ADDR_H

#include "base/py.h"
#include "base/slice.h"

#include <netinet/in.h>

/* An IPv4 or IPv6 address and port; family AF_UNSPEC for anything else (a Unix socket). */
typedef union NetAddr {
    sa_family_t family;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
} NetAddr;

/* An address as text: "127.0.0.1", "::1", or the path of a Unix socket with port 0. */
typedef struct NetName {
    char host[112]; /* NUL-terminated; sun_path has 108 */
    int port;
} NetName;

void net_addr_set(NetAddr *addr, const struct sockaddr *from);
bool net_addr_eq(const NetAddr *a, const NetAddr *b);
/* Makes an IPv4 address of ::ffff:192.0.2.1, which a socket for both families reports. */
void net_addr_unmap(NetAddr *addr);
/* Empty host and port 0 for AF_UNSPEC. */
void net_addr_name(const NetAddr *addr, NetName *out);
/* Writes "127.0.0.1:53124" or "[::1]:53124", at most NET_ADDR_TEXT bytes, no NUL. Returns the length. */
enum { NET_ADDR_TEXT = 64 };
size_t net_addr_text(const NetAddr *addr, char *out);
/* The address in the form of Python's socket module: (host, port) or (host, port, flow, scope);
 * None for AF_UNSPEC. A new reference, or NULL with an exception set. */
PyObject *net_addr_object(const NetAddr *addr);
/* The name of a Unix socket in the form of Python's socket module: a path, bytes for an abstract
 * name, "" for none. A new reference, or NULL with an exception set. */
PyObject *net_unix_name_object(const struct sockaddr *name, socklen_t len);
/* The name of a bound socket. 0 or a negative UV_E*. */
int net_socket_name(int fd, NetName *out);

#endif
