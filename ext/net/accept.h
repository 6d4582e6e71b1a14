/* Classifies errors of accept4(), for all code that accepts connections. No state. Thread: any. */
#ifndef FLUVIAL_NET_ACCEPT_H
#define FLUVIAL_NET_ACCEPT_H

#include "base/py.h"

typedef enum AcceptFailure {
    ACCEPT_NOTHING, /* no connection waits */
    ACCEPT_PASSES,  /* this connection is gone; there may be others */
    ACCEPT_STARVED, /* no descriptors or no memory: the connection waits in the backlog */
    ACCEPT_BROKEN, /* the socket doesn't listen: it was shut down, or isn't a socket */
} AcceptFailure;

/* accept4(fd) has failed with the errno `code`. `first`: `fd` was readable, and nothing has been accepted
 * since. */
AcceptFailure accept_failure(int fd, int code, bool first);

#endif
