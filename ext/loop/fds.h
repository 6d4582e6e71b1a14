/* An epoll set of our own for the user's file descriptors: those of add_reader, add_writer and
 * sock_*, and those of datagram and pipe transports. libuv aborts the process when a descriptor
 * that it watches is closed without its knowledge (its issue 5130); with this set, that is at worst
 * an OSError. fds.c records the watchers; fds_poll.c waits for this set and libuv's at the same
 * time. Systems that aren't Linux have no such set: fds_portable.c has libuv watch duplicates.
 * Other layers use loop_fd_watch (loop.h).
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_LOOP_FDS_H
#define FLUVIAL_LOOP_FDS_H

#include "base/py.h"
#include "base/system.h"
#include "loop/handle.h"

#include <uv.h>

/* What a watcher does when its descriptor is ready. */
typedef enum FdKind {
    FD_UNWATCHED,  /* no watcher */
    FD_QUEUES = 1, /* appends something to the ready queue */
    FD_CALLS = 2,  /* calls Python code; runs after what is in the ready queue */
} FdKind;

typedef struct FdWatch {
    PyObject *owner; /* owned or NULL: this side isn't watched */
    FdReady ready;   /* called with the owner */
    FdKind kind;
} FdWatch;

typedef struct FdEntry {
    FdWatch sides[2]; /* by FdSide */
    PyObject *file;   /* owned or NULL: the last argument of add_reader or add_writer */
    /* Owned weak reference or NULL: the socket that stays registered for reading although no owner
     * waits for it (fds_wait). */
    PyObject *kept;
    uint32_t mask;   /* registered with the kernel: FD_READS and FD_WRITES */
    uint32_t serial; /* of the last registration or its end: see FdSet.serial */
    uint8_t misses; /* failed tries to read since the last successful one (fds_tried) */
#if !FLUVIAL_LINUX
    struct FdPoll *poll; /* owned by libuv's loop, or NULL: nothing is registered */
#endif
} FdEntry;

/* Whether a socket may stay registered between two waits for it (fds_wait). A duplicate that libuv
 * watches would keep a connection open that the user has closed. */
#define FDS_KEEP FLUVIAL_LINUX

#if FLUVIAL_LINUX
enum { FD_READS = 1, FD_WRITES = 4 }; /* EPOLLIN and EPOLLOUT */
#else
enum { FD_READS = UV_READABLE, FD_WRITES = UV_WRITABLE };
#endif

typedef struct FdSet {
#if FLUVIAL_LINUX
    int epoll;       /* -1 until first used */
    uv_poll_t watch; /* of `epoll`; open when epoll is, active unless `outer` */
#endif
    FdEntry *entries; /* owned memory, by descriptor */
    size_t len;
    uint32_t serial; /* counts registrations and their ends; an event carries its own */
    bool ready_first; /* FD_CALLS watchers run after the callbacks that are ready */
    bool waiting;     /* the last poll found FD_CALLS watchers that have yet to run */
    bool stale;       /* the kernel reports a closed descriptor that can't be removed */
    bool outer;       /* the loop waits in this set, which contains libuv's */
    bool fired;       /* libuv found the set ready in the last poll */
    int score; /* how much more often events came from this set than from libuv's */
} FdSet;

#if FLUVIAL_LINUX
#define FDS_CLOSED ((FdSet){.epoll = -1})
#define fds_is_open(set) ((set)->epoll >= 0)
#else
#define FDS_CLOSED ((FdSet){.entries = NULL})
#define fds_is_open(set) true
#endif

void fds_init(FdSet *set);

/* Puts `handle` (borrowed; a reference is taken) into the ready queue whenever `fd` is ready. This
 * replaces the previous watcher; if that was a handle, it is cancelled. `file` (borrowed, kept
 * while the descriptor is watched) is the user's argument for the descriptor. 0, or -1 with an
 * exception set. */
int fds_add(FdSet *set, Loop *loop, int fd, PyObject *file, FdSide side,
            Handle *handle);

/* The descriptor that `file` (borrowed) had when it was added. This finds a file that was closed
 * while it was watched. -1 without an exception when it isn't watched. */
int fds_find(const FdSet *set, const PyObject *file);

/* Calls ready(owner) when `fd`, the number of `sock` (borrowed), is ready; `owner` is borrowed, a
 * reference is taken. `ready` is of the kind FD_QUEUES and must call fds_rest. Waiting repeatedly
 * for the same socket to become readable costs no system calls: the socket stays registered between
 * the waits, until an event arrives that no owner waits for. 0, or -1 with an exception set. */
int fds_wait(FdSet *set, Loop *loop, int fd, FdSide side, FdReady ready,
             PyObject *owner, PyObject *sock);

/* Whether to try to read before waiting. Not where recent tries mostly failed and the wait costs no
 * system call. fds_tried records the result of a try. */
bool fds_worth_a_try(FdSet *set, int fd, PyObject *sock);
void fds_tried(FdSet *set, int fd, bool in_vain);

/* Ends the wait of `owner` (borrowed), if it is waiting. */
void fds_rest(FdSet *set, int fd, FdSide side, const PyObject *owner);

/* Drops the watcher of that side; if it is a handle, it is cancelled. False when there was none. */
bool fds_remove(FdSet *set, int fd, FdSide side);

/* The handle that watches, borrowed; NULL when nothing watches that side, or C code does. */
Handle *fds_get(const FdSet *set, int fd, FdSide side);

/* In the child of a fork: detaches from the parent's epoll set without changing it. */
void fds_forked(FdSet *set);

/* Drops all watchers and closes the epoll set. The set's memory must stay until the caller has
 * closed the libuv loop, which still uses the handle `watch`. */
void fds_close(FdSet *set);
int fds_traverse(FdSet *set, visitproc visit, void *arg);

/* The epoll events that the watchers of a descriptor need. */
uint32_t fd_entry_mask(const FdEntry *entry);

/* ---- fds_poll.c; on other systems fds_portable.c ------------------------------------------- */

/* Registers `fd`, the number of `entry`, with the kernel for `mask`. 0 or a negative errno. */
int fds_control(FdSet *set, int fd, FdEntry *entry, uint32_t mask);

/* Closes the epoll set. `entries` are those that the set had. */
void fds_shut(FdSet *set, FdEntry *entries, size_t len);

/* Creates the epoll set. 0 or a negative UV_E*. */
int fds_open(FdSet *set, Loop *loop);

/* To be called before each poll, with the GIL: decides which of the two sets to wait in. */
void fds_before_poll(FdSet *set, Loop *loop);

/* Runs libuv's callbacks and the watchers of ready descriptors; with `block`, waits until there is
 * one. If the caller has released the GIL, it is still released afterwards unless a callback took
 * it. */
void fds_poll(FdSet *set, Loop *loop, bool block);

/* Runs the FD_CALLS watchers that the poll found ready but postponed (ready_first). */
void fds_run_waiting(FdSet *set, Loop *loop);

/* The user data of an event of `fd`. UINT64_MAX is never used. */
static inline uint64_t
fd_tag(int fd, uint32_t serial)
{
    return ((uint64_t)serial << 32) | (uint32_t)fd;
}

#endif
