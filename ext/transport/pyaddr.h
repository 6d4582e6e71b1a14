/* Socket addresses in the form of Python's socket module: tuples for IPv4 and IPv6, a path for Unix
 * sockets. No state.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_TRANSPORT_PYADDR_H
#define FLUVIAL_TRANSPORT_PYADDR_H

#include "base/py.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef union SockAddr {
    struct sockaddr any;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
} SockAddr;

/* Whether pyaddr_new supports addresses of this family. */
bool pyaddr_family_known(int family);

/* The address as socket.recvfrom() would return it: a new reference. None for the empty address of an
 * unbound Unix socket. NULL with an exception set. */
PyObject *pyaddr_new(const SockAddr *addr, socklen_t len);

/* Writes the address `from` (borrowed), for a socket of `family`, to *addr. Returns its length. 0 without
 * an exception if only Python can handle it: host names, scopes as text, Unix paths, errors. */
socklen_t pyaddr_parse(PyObject *from, int family, SockAddr *addr);

#endif
