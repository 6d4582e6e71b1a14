/* The epoll set of the user's descriptors (see fds.h). Level-triggered: a descriptor that stays
 * ready puts its handle into the ready queue once per iteration, as asyncio does.
 */
#include "base/py.h"

#include "loop/fds.h"
#include "base/err.h"
#include "loop/loop_impl.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    FDS_SMALLEST = 64,
    FDS_EVENTS = 128, /* taken per iteration; the others come with the next */
};

void
fds_init(FdSet *set)
{
    *set = (FdSet){.epoll = -1};
}

/* ---- Events ------------------------------------------------------------------------------- */

static int
entry_ready(FdSet *set, Loop *loop, const struct epoll_event *event)
{
    size_t fd = (size_t)event->data.fd;
    if (fd >= set->len) {
        return 0;
    }
    /* Errors and hang-ups wake both sides: whoever waits must learn of them. */
    Handle *reader = set->entries[fd].sides[FD_READER];
    if (reader != NULL && (event->events & ~(uint32_t)EPOLLOUT) != 0
        && ready_push(&loop->ready, reader) < 0) {
        return -1;
    }
    Handle *writer = set->entries[fd].sides[FD_WRITER];
    if (writer != NULL && (event->events & ~(uint32_t)EPOLLIN) != 0
        && ready_push(&loop->ready, writer) < 0) {
        return -1;
    }
    return 0;
}

static void
on_uv_poll(uv_poll_t *watch, int Py_UNUSED(status), int Py_UNUSED(events))
{
    FdSet *set = container_of(watch, FdSet, watch);
    Loop *loop = container_of(set, Loop, fds);
    loop_enter(loop);
    struct epoll_event events[FDS_EVENTS];
    int n = epoll_wait(set->epoll, events, FDS_EVENTS, 0);
    for (int i = 0; i < n; i++) {
        if (entry_ready(set, loop, &events[i]) < 0) {
            loop_report(loop, "No memory for a ready descriptor");
            return;
        }
    }
}

/* ---- The set ------------------------------------------------------------------------------ */

static int
fds_open(FdSet *set, Loop *loop)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        return -errno;
    }
    int err = uv_poll_init(&loop->uv, &set->watch, epoll);
    if (err != 0) {
        (void)close(epoll);
        return err;
    }
    set->watch.data = NULL;
    set->epoll = epoll;
    return uv_poll_start(&set->watch, UV_READABLE, on_uv_poll);
}

static int
fds_grow(FdSet *set, size_t need)
{
    size_t len = set->len == 0 ? FDS_SMALLEST : set->len;
    while (len < need) {
        len *= 2;
    }
    FdEntry *entries = PyMem_Realloc(set->entries, len * sizeof(*entries));
    if (entries == NULL) {
        return UV_ENOMEM;
    }
    memset(entries + set->len, 0, (len - set->len) * sizeof(*entries));
    set->entries = entries;
    set->len = len;
    return 0;
}

static uint32_t
entry_mask(const FdEntry *entry)
{
    uint32_t reads = entry->sides[FD_READER] != NULL ? EPOLLIN : 0;
    uint32_t writes = entry->sides[FD_WRITER] != NULL ? EPOLLOUT : 0;
    return reads | writes;
}

/* Tells the kernel what to watch `fd` for. The descriptor may have been closed, and its number
 * given to another file, since the last time: what the kernel knows of it is found out. */
static int
fds_control(FdSet *set, int fd, uint32_t before, uint32_t mask)
{
    struct epoll_event event = {.events = mask, .data.fd = fd};
    if (mask == 0) {
        (void)epoll_ctl(set->epoll, EPOLL_CTL_DEL, fd, &event);
        return 0;
    }
    int op = before == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(set->epoll, op, fd, &event) == 0) {
        return 0;
    }
    if (errno == ENOENT || errno == EEXIST) {
        op = errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
        if (epoll_ctl(set->epoll, op, fd, &event) == 0) {
            return 0;
        }
    }
    return -errno;
}

int
fds_add(FdSet *set, Loop *loop, int fd, FdSide side, Handle *handle)
{
    int err = set->epoll < 0 ? fds_open(set, loop) : 0;
    if (err == 0 && (size_t)fd >= set->len) {
        err = fds_grow(set, (size_t)fd + 1);
    }
    if (err != 0) {
        (void)err_set(err);
        return -1;
    }
    FdEntry *entry = &set->entries[fd];
    uint32_t before = entry_mask(entry);
    Handle *old = entry->sides[side];
    entry->sides[side] = (Handle *)Py_NewRef(handle);
    err = fds_control(set, fd, before, entry_mask(entry));
    if (err != 0) {
        entry->sides[side] = old;
        Py_DECREF(handle);
        (void)err_set(err);
        return -1;
    }
    if (old != NULL) {
        handle_cancel(old);
        Py_DECREF(old);
    }
    return 0;
}

Handle *
fds_get(const FdSet *set, int fd, FdSide side)
{
    return (size_t)fd < set->len ? set->entries[fd].sides[side] : NULL;
}

bool
fds_remove(FdSet *set, int fd, FdSide side)
{
    if (fds_get(set, fd, side) == NULL) {
        return false;
    }
    FdEntry *entry = &set->entries[fd];
    uint32_t before = entry_mask(entry);
    Handle *old = entry->sides[side];
    entry->sides[side] = NULL;
    /* Fails only for a descriptor that is gone: then there is nothing left to watch. */
    (void)fds_control(set, fd, before, entry_mask(entry));
    handle_cancel(old);
    Py_DECREF(old);
    return true;
}

void
fds_close(FdSet *set)
{
    FdEntry *entries = set->entries;
    size_t len = set->len;
    set->entries = NULL;
    set->len = 0;
    for (size_t i = 0; i < len; i++) {
        Py_XDECREF(entries[i].sides[FD_READER]);
        Py_XDECREF(entries[i].sides[FD_WRITER]);
    }
    PyMem_Free(entries);
    if (set->epoll >= 0) {
        uv_close((uv_handle_t *)&set->watch, NULL);
        (void)close(set->epoll);
        set->epoll = -1;
    }
}

int
fds_traverse(FdSet *set, visitproc visit, void *arg)
{
    for (size_t i = 0; i < set->len; i++) {
        Py_VISIT(set->entries[i].sides[FD_READER]);
        Py_VISIT(set->entries[i].sides[FD_WRITER]);
    }
    return 0;
}
