/* The meaning of accept4()'s errors (see accept.h). An unknown error counts as a broken socket, which is
 * tried again only after a while. Otherwise a socket that stays readable would keep the loop busy.
 */
#include "base/py.h"

#include "net/accept.h"

#include <errno.h>
#include <poll.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

/* Whether the socket was shut down. Such a Unix socket stays readable, and accept4() gives only
 * EAGAIN. */
static bool
is_shut(int fd)
{
    struct pollfd found = {.fd = fd, .events = POLLIN | POLLRDHUP};
    return poll(&found, 1, 0) > 0 && (found.revents & ~POLLIN) != 0;
}

AcceptFailure
accept_failure(int fd, int code, bool first)
{
    switch (code) {
    case EAGAIN: /* even when `first`, usually because another process was faster */
        return first && is_shut(fd) ? ACCEPT_BROKEN : ACCEPT_NOTHING;
    case EINTR:
    case ECONNABORTED:
    case EPERM: /* a firewall rule; the following are errors of the new connection: accept(2) */
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ETIMEDOUT:
#ifdef ENONET
    case ENONET:
#endif
        return ACCEPT_PASSES;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return ACCEPT_STARVED;
    default:
        return ACCEPT_BROKEN;
    }
}
