/* A listening socket. libuv only polls the socket; connections are accepted with accept4(). uv_listen()
 * isn't used: it accepts one connection per wake-up and, when the process has no descriptors left,
 * drops the waiting clients. Here they wait in the kernel's backlog until there is room.
 *
 * Thread: the loop's; callbacks are made with the GIL held.
 * Lifetime: between listener_open and on_closed libuv owns the memory.
 */
#ifndef FLUVIAL_NET_SERVER_H
#define FLUVIAL_NET_SERVER_H

#include "base/py.h"
#include "loop/loop.h"
#include "net/addr.h"

#include <uv.h>

typedef struct Listener Listener;

typedef struct ListenerOps {
    /* A connection was accepted. The callee owns `fd`, which is non-blocking and close-on-exec. The
     * callee may pause or close the listener. */
    void (*on_accept)(Listener *listener, int fd, const NetAddr *peer);
    /* The last call. The memory is the owner's again. */
    void (*on_closed)(Listener *listener);
} ListenerOps;

typedef enum ListenerState {
    LISTENER_UNUSED,
    LISTENER_OPEN,
    LISTENER_PAUSED,  /* by listener_pause */
    LISTENER_STARVED, /* accept4() failed for all connections; a timer tries again */
    LISTENER_CLOSING,
} ListenerState;

struct Listener {
    uv_poll_t poll;
    uv_timer_t retry;
    Loop *loop;             /* borrowed; the owner holds the loop */
    const ListenerOps *ops; /* static */
    int fd;                 /* owned */
    int handles;            /* number of libuv handles not yet closed */
    bool is_unix;
    bool reported; /* the failure of accept4() was reported */
    int batch;     /* most connections per wake-up */
    ListenerState state;
};

/* Listens on the bound socket `fd`. 0, and the listener owns `fd`; otherwise a negative UV_E*, and the
 * struct is unused. */
int listener_open(Listener *listener, Loop *loop, const ListenerOps *ops, int fd,
                  bool is_unix, int backlog);

/* Other processes accept from the same socket: takes one connection per wake-up, so that each process
 * gets its share of many that come at once. */
static inline void
listener_share(Listener *listener)
{
    listener->batch = 1;
}

/* Connections wait in the backlog until listener_resume. */
void listener_pause(Listener *listener);
void listener_resume(Listener *listener);

/* Accepts all connections that wait in the backlog, unless the listener is paused. */
void listener_accept_queued(Listener *listener);

void listener_close(Listener *listener);

#endif
