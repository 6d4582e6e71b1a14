/* The user's file descriptors (add_reader, add_writer, sock_*, and those under datagram and pipe
 * transports): an epoll set of our own that libuv watches as one descriptor. libuv aborts the
 * process when a descriptor it watches is closed behind its back (its issue 5130); here that is
 * at worst an OSError.
 * The loop's thread, under the GIL. Other layers come through loop_fd_watch (loop.h).
 */
#ifndef FLUVIAL_LOOP_FDS_H
#define FLUVIAL_LOOP_FDS_H

#include "base/py.h"
#include "loop/handle.h"

#include <uv.h>

typedef struct FdWatch {
    PyObject *owner; /* owned or NULL: nobody watches this side */
    FdReady ready;   /* what is called with it */
} FdWatch;

typedef struct FdEntry {
    FdWatch sides[2]; /* by FdSide */
    PyObject *file;   /* owned or NULL: what add_reader or add_writer was given last */
} FdEntry;

typedef struct FdSet {
    int epoll;        /* -1 until first used */
    uv_poll_t watch;  /* of `epoll`; open when epoll is */
    FdEntry *entries; /* owned memory, by descriptor */
    size_t len;
    bool ready_first; /* C code's turn comes after the callbacks that are ready */
    bool waiting;     /* C code waits for its turn */
} FdSet;

void fds_init(FdSet *set);

/* Puts `handle` (borrowed; a reference is taken) into the ready queue whenever `fd` is ready, in
 * place of whoever watched before; a handle is cancelled then. `file` (borrowed, kept while the
 * descriptor is watched) is what the user called it by. 0, or -1 with an exception set. */
int fds_add(FdSet *set, Loop *loop, int fd, PyObject *file, FdSide side,
            Handle *handle);

/* The descriptor that `file` (borrowed) had when it was added: how a file that was closed while
 * it was watched is still found. -1 without an exception when it isn't watched. */
int fds_find(const FdSet *set, const PyObject *file);

/* Drops whoever watches; cancels it when it is a handle. False when there was none. */
bool fds_remove(FdSet *set, int fd, FdSide side);

/* The handle, borrowed; NULL when there is none, or when C code watches. */
Handle *fds_get(const FdSet *set, int fd, FdSide side);

/* In the child of a fork: lets go of the parent's epoll set without touching it. */
void fds_forked(FdSet *set);

/* Calls C code for the descriptors that are ready; handles were put into the ready queue by the
 * poll. */
void fds_run_waiting(FdSet *set);

/* Drops all watchers and closes the epoll set; libuv's handle is closed by the caller's loop
 * until which the set's memory must stay. */
void fds_close(FdSet *set);
int fds_traverse(FdSet *set, visitproc visit, void *arg);

#endif
