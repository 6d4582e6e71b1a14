/* The user's descriptors where there is no epoll (see fds.h): libuv watches a duplicate of each, which
 * the user can't close. Whether the descriptor still names the same file is asked when an event
 * comes; if it doesn't, the duplicate goes.
 */
#include "base/py.h"

#include "loop/fds_ready.h"

#if !FLUVIAL_LINUX

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

/* One registration. Its memory is libuv's until the handle is closed. */
typedef struct FdPoll {
    uv_poll_t uv;
    FdSet *set;
    int fd, copy; /* the user's, and ours */
    dev_t device; /* of the file that `fd` named */
    ino_t inode;
} FdPoll;

/* ---- Duplicates --------------------------------------------------------------------------- */

static bool
poll_is_current(const FdPoll *poll)
{
    struct stat found;
    return fstat(poll->fd, &found) == 0 && found.st_dev == poll->device
           && found.st_ino == poll->inode;
}

static void
poll_on_closed(uv_handle_t *handle)
{
    PyMem_RawFree(container_of((uv_poll_t *)handle, FdPoll, uv));
}

/* The duplicate is closed at once, which libuv allows from here on: as long as it is open, so is the
 * connection that the user is about to close. */
static void
poll_end(FdEntry *entry)
{
    if (entry->poll != NULL) {
        uv_close((uv_handle_t *)&entry->poll->uv, poll_on_closed);
        (void)close(entry->poll->copy);
        entry->poll = NULL;
    }
}

/* Stores the new registration in entry->poll. 0 or a negative UV_E*. */
static int
poll_begin(FdSet *set, int fd, FdEntry *entry)
{
    struct stat found;
    if (fstat(fd, &found) < 0) {
        return -errno;
    }
    FdPoll *poll = PyMem_RawCalloc(1, sizeof(*poll));
    if (poll == NULL) {
        return UV_ENOMEM;
    }
    *poll =
        (FdPoll){.set = set, .fd = fd, .device = found.st_dev, .inode = found.st_ino};
    poll->copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int err = poll->copy < 0 ? -errno : 0;
    if (err == 0) {
        err = uv_poll_init(&container_of(set, Loop, fds)->uv, &poll->uv, poll->copy);
    }
    if (err != 0) {
        if (poll->copy >= 0) {
            (void)close(poll->copy);
        }
        PyMem_RawFree(poll);
        return err == UV_EEXIST || err == UV_EINVAL ? UV_EPERM
                                                    : err; /* as epoll_ctl says */
    }
    poll->uv.data = NULL; /* no LoopHandleOps */
    entry->poll = poll;
    return 0;
}

/* ---- Events ------------------------------------------------------------------------------- */

static void poll_on_ready(uv_poll_t *handle, int status, int events);

/* After an error libuv has stopped the handle, whose descriptor is as ready as before. */
static void
poll_go_on(FdSet *set, int fd, const FdPoll *poll)
{
    FdEntry *entry = (size_t)fd < set->len ? &set->entries[fd] : NULL;
    if (entry != NULL && entry->poll == poll && entry->mask != 0) {
        (void)uv_poll_start(&entry->poll->uv, (int)entry->mask, poll_on_ready);
    }
}

static void
poll_on_ready(uv_poll_t *handle, int status, int events)
{
    FdPoll *poll = container_of(handle, FdPoll, uv);
    FdSet *set = poll->set;
    int fd = poll->fd;
    if (!loop_enter(container_of(set, Loop, fds)) || (size_t)fd >= set->len) {
        return;
    }
    if (!poll_is_current(poll)) {
        set->entries[fd].mask = 0;
        poll_end(&set->entries[fd]);
        return;
    }
    bool reads = status < 0 || (events & UV_READABLE) != 0;
    bool writes = status < 0 || (events & UV_WRITABLE) != 0;
    entry_ready(set, (size_t)fd, reads, writes, fds_kinds(set));
    if (status < 0) {
        poll_go_on(set, fd, poll);
    }
}

void
fds_run_waiting(FdSet *set, Loop *loop)
{
    if (!set->waiting) {
        return;
    }
    set->waiting = false;
    for (size_t fd = 0; fd < set->len && !loop->forked; fd++) {
        const FdEntry *entry = &set->entries[fd];
        if (entry->poll == NULL || !poll_is_current(entry->poll)) {
            continue;
        }
        short wanted = (entry->mask & FD_READS) != 0 ? POLLIN : 0;
        wanted |= (entry->mask & FD_WRITES) != 0 ? POLLOUT : 0;
        struct pollfd found = {.fd = (int)fd, .events = wanted};
        if (poll(&found, 1, 0) > 0) {
            entry_ready(set, fd, (found.revents & ~POLLOUT) != 0,
                        (found.revents & ~POLLIN) != 0, FD_CALLS);
        }
    }
}

/* ---- The interface ------------------------------------------------------------------------ */

int
fds_open(FdSet *Py_UNUSED(set), Loop *Py_UNUSED(loop))
{
    return 0;
}

int
fds_control(FdSet *set, int fd, FdEntry *entry, uint32_t mask)
{
    Py_CLEAR(entry->kept); /* a weak reference: runs no code */
    if (mask == 0 || (entry->poll != NULL && !poll_is_current(entry->poll))) {
        poll_end(entry);
    }
    entry->mask = 0;
    entry->serial = ++set->serial;
    if (mask == 0) {
        return 0;
    }
    int err = entry->poll == NULL ? poll_begin(set, fd, entry) : 0;
    if (err == 0) {
        err = uv_poll_start(&entry->poll->uv, (int)mask, poll_on_ready);
    }
    if (err != 0) {
        poll_end(entry);
        return err;
    }
    entry->mask = mask;
    return 0;
}

void
fds_before_poll(FdSet *Py_UNUSED(set), Loop *Py_UNUSED(loop))
{
}

void
fds_poll(FdSet *Py_UNUSED(set), Loop *loop, bool block)
{
    (void)uv_run(&loop->uv, block ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

void
fds_forked(FdSet *Py_UNUSED(set))
{
    /* The handles are memory of libuv's loop, to which uv_loop_fork() gives a set of its own. */
}

void
fds_shut(FdSet *Py_UNUSED(set), FdEntry *entries, size_t len)
{
    for (size_t fd = 0; fd < len; fd++) {
        poll_end(&entries[fd]);
    }
}

#endif
