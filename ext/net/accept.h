/* What it means that accept4() failed, for all that accept. No state. Thread: any. */
#ifndef FLUVIAL_NET_ACCEPT_H
#define FLUVIAL_NET_ACCEPT_H

#include "base/py.h"

typedef enum AcceptFailure {
    ACCEPT_NOTHING, /* no connection waits */
    ACCEPT_PASSES,  /* this connection is gone; there may be others */
    ACCEPT_STARVED, /* no descriptors or no memory: it waits in the backlog */
    ACCEPT_BROKEN, /* the socket doesn't listen: it was shut down, or is no socket at all */
} AcceptFailure;

/* accept4(fd) failed with the errno `code`. `first`: `fd` was readable, and nothing was accepted since. */
AcceptFailure accept_failure(int fd, int code, bool first);

#endif
