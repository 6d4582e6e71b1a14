/* The user's file descriptors (add_reader, add_writer, sock_*, and those under datagram and pipe
 * transports): an epoll set of our own. libuv aborts the process when a descriptor it watches is
 * closed behind its back (its issue 5130); here that is at worst an OSError. fds.c holds who
 * watches what, fds_poll.c how the loop waits for this set and libuv's at once. Other layers
 * come through loop_fd_watch (loop.h).
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_LOOP_FDS_H
#define FLUVIAL_LOOP_FDS_H

#include "base/py.h"
#include "loop/handle.h"

#include <uv.h>

/* What a watcher does when its descriptor is ready. */
typedef enum FdKind {
    FD_UNWATCHED,  /* there is none */
    FD_QUEUES = 1, /* it puts something into the ready queue, behind what is there */
    FD_CALLS = 2,  /* it calls Python code: after what is in the ready queue */
} FdKind;

typedef struct FdWatch {
    PyObject *owner; /* owned or NULL: nobody watches this side */
    FdReady ready;   /* what is called with it */
    FdKind kind;
} FdWatch;

typedef struct FdEntry {
    FdWatch sides[2]; /* by FdSide */
    PyObject *file;   /* owned or NULL: what add_reader or add_writer was given last */
    PyObject *
        kept; /* owned weak reference or NULL: the socket for which the kernel goes on to
                       watch for reading when nobody waits (fds_wait) */
    uint32_t mask;   /* what the kernel was told to watch for, EPOLLIN and EPOLLOUT */
    uint32_t serial; /* of the kernel's registration, or of its end: see FdSet.serial */
    uint8_t misses; /* tries to read that were in vain, since one was not (fds_tried) */
} FdEntry;

typedef struct FdSet {
    int epoll;        /* -1 until first used */
    uv_poll_t watch;  /* of `epoll`; open when epoll is, active unless `outer` */
    FdEntry *entries; /* owned memory, by descriptor */
    size_t len;
    uint32_t serial;  /* counts registrations and their ends; events carry theirs */
    bool ready_first; /* FD_CALLS have their turn after the callbacks that are ready */
    bool waiting;     /* some wait for it */
    bool stale;       /* the kernel reports what was closed and can't be removed */
    bool outer;       /* the loop waits in this set, which contains libuv's */
    bool fired;       /* libuv found the set ready in the last poll */
    int score; /* how much more often events came from this set than from libuv's */
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

/* Calls ready(owner) once `fd`, the number of `sock` (borrowed), is ready; `owner` is borrowed, a
 * reference is taken. `ready` is of the kind FD_QUEUES and must call fds_rest. Whoever waits again
 * and again for the same socket to be readable pays no system call for it: the kernel is told
 * only when it turns out that nobody waits any more. 0, or -1 with an exception set. */
int fds_wait(FdSet *set, Loop *loop, int fd, FdSide side, FdReady ready,
             PyObject *owner, PyObject *sock);

/* Whether to try to read before waiting: not where it was mostly in vain, and the wait costs no
 * system call. fds_tried takes note of how a try went. */
bool fds_worth_a_try(FdSet *set, int fd, PyObject *sock);
void fds_tried(FdSet *set, int fd, bool in_vain);

/* Ends the wait of `owner` (borrowed), if it waits. */
void fds_rest(FdSet *set, int fd, FdSide side, const PyObject *owner);

/* Drops whoever watches; cancels it when it is a handle. False when there was none. */
bool fds_remove(FdSet *set, int fd, FdSide side);

/* The handle, borrowed; NULL when there is none, or when C code watches. */
Handle *fds_get(const FdSet *set, int fd, FdSide side);

/* In the child of a fork: lets go of the parent's epoll set without touching it. */
void fds_forked(FdSet *set);

/* Drops all watchers and closes the epoll set; libuv's handle is closed by the caller's loop
 * until which the set's memory must stay. */
void fds_close(FdSet *set);
int fds_traverse(FdSet *set, visitproc visit, void *arg);

/* What is to be watched of a descriptor. */
uint32_t fd_entry_mask(const FdEntry *entry);

/* Tells the kernel to watch `fd`, the number of `entry`, for `mask`. 0 or a negative errno. */
int fds_control(FdSet *set, int fd, FdEntry *entry, uint32_t mask);

/* ---- fds_poll.c --------------------------------------------------------------------------- */

/* Creates the epoll set. 0 or a negative UV_E*. */
int fds_open(FdSet *set, Loop *loop);

/* To be called before each poll, with the GIL: decides in which set to wait. */
void fds_before_poll(FdSet *set, Loop *loop);

/* Runs libuv's callbacks and the watchers of what is ready; waits for the first when `block`. The
 * GIL may have been given away; then it has as well when nothing came that needs it. */
void fds_poll(FdSet *set, Loop *loop, bool block);

/* The turn of the FD_CALLS that the poll found ready, if it left them out. */
void fds_run_waiting(FdSet *set, Loop *loop);

/* What an event of `fd` carries; one number is never used. */
static inline uint64_t
fd_tag(int fd, uint32_t serial)
{
    return ((uint64_t)serial << 32) | (uint32_t)fd;
}

#endif
