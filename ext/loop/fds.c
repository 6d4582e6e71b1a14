/* The epoll set of the user's descriptors (see fds.h). Level-triggered: a descriptor that stays
 * ready puts its handle into the ready queue once per iteration, as asyncio does.
 */
#include "base/py.h"

#include "loop/fds.h"
#include "base/err.h"
#include "loop/loop_impl.h"

#include <errno.h>
#include <fcntl.h>
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

/* The FdReady of handles. */
static void
handle_ready(PyObject *owner)
{
    Handle *handle = (Handle *)owner;
    if (ready_push(&handle->loop->ready, handle) < 0) {
        loop_report(handle->loop, "No memory for a ready descriptor");
    }
}

typedef enum WatchKind { WATCH_HANDLES = 1, WATCH_CODE = 2 } WatchKind;

/* Calls whoever watches a side, if it is one of `kinds`; else notes that C code waits. Who is
 * called may change the set. */
static void
side_ready(FdSet *set, size_t fd, FdSide side, unsigned kinds)
{
    if (fd >= set->len || set->entries[fd].sides[side].owner == NULL
        || container_of(set, Loop, fds)->forked) {
        return;
    }
    FdWatch watch = set->entries[fd].sides[side];
    WatchKind kind = watch.ready == handle_ready ? WATCH_HANDLES : WATCH_CODE;
    if ((kinds & kind) != 0) {
        Py_INCREF(watch.owner);
        watch.ready(watch.owner);
        Py_DECREF(watch.owner);
    } else if (kind == WATCH_CODE) {
        set->waiting = true;
    }
}

/* Errors and hang-ups wake both sides: whoever waits must learn of them. */
static void
entry_ready(FdSet *set, const struct epoll_event *event, unsigned kinds)
{
    size_t fd = (size_t)event->data.fd;
    if ((event->events & ~(uint32_t)EPOLLOUT) != 0) {
        side_ready(set, fd, FD_READER, kinds);
    }
    if ((event->events & ~(uint32_t)EPOLLIN) != 0) {
        side_ready(set, fd, FD_WRITER, kinds);
    }
}

static void
fds_look(FdSet *set, unsigned kinds)
{
    struct epoll_event events[FDS_EVENTS];
    int n = epoll_wait(set->epoll, events, FDS_EVENTS, 0);
    for (int i = 0; i < n; i++) {
        entry_ready(set, &events[i], kinds);
    }
}

static void
on_uv_poll(uv_poll_t *watch, int Py_UNUSED(status), int Py_UNUSED(events))
{
    FdSet *set = container_of(watch, FdSet, watch);
    if (!loop_enter(container_of(set, Loop, fds))) {
        return;
    }
    fds_look(set, set->ready_first ? WATCH_HANDLES : WATCH_HANDLES | WATCH_CODE);
}

void
fds_run_waiting(FdSet *set)
{
    if (set->waiting && set->epoll >= 0) {
        set->waiting = false;
        fds_look(set, WATCH_CODE);
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
    uint32_t reads = entry->sides[FD_READER].owner != NULL ? EPOLLIN : 0;
    uint32_t writes = entry->sides[FD_WRITER].owner != NULL ? EPOLLOUT : 0;
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

/* Takes a reference to the new owner; the old one's passes to *old. */
static int
fds_put(FdSet *set, Loop *loop, int fd, FdSide side, FdWatch watch, FdWatch *old)
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
    *old = entry->sides[side];
    entry->sides[side] = watch;
    err = fds_control(set, fd, before, entry_mask(entry));
    if (err != 0) {
        entry->sides[side] = *old;
        (void)err_set(err);
        return -1;
    }
    Py_INCREF(watch.owner);
    return 0;
}

/* Releases a watcher that is in the set no more. */
static void
watch_drop(FdWatch watch)
{
    if (watch.ready == handle_ready) {
        handle_cancel((Handle *)watch.owner);
    }
    Py_XDECREF(watch.owner);
}

int
fds_add(FdSet *set, Loop *loop, int fd, PyObject *file, FdSide side, Handle *handle)
{
    FdWatch watch = {.owner = (PyObject *)handle, .ready = handle_ready};
    FdWatch old;
    if (fds_put(set, loop, fd, side, watch, &old) < 0) {
        return -1;
    }
    PyObject *old_file = set->entries[fd].file;
    set->entries[fd].file = PyLong_Check(file) ? NULL : Py_NewRef(file);
    watch_drop(old);
    Py_XDECREF(old_file);
    return 0;
}

int
fds_find(const FdSet *set, const PyObject *file)
{
    for (size_t fd = 0; fd < set->len; fd++) {
        if (set->entries[fd].file == file) {
            return (int)fd;
        }
    }
    return -1;
}

Handle *
fds_get(const FdSet *set, int fd, FdSide side)
{
    if ((size_t)fd >= set->len) {
        return NULL;
    }
    FdWatch watch = set->entries[fd].sides[side];
    return watch.ready == handle_ready ? (Handle *)watch.owner : NULL;
}

bool
fds_remove(FdSet *set, int fd, FdSide side)
{
    if ((size_t)fd >= set->len || set->entries[fd].sides[side].owner == NULL) {
        return false;
    }
    FdEntry *entry = &set->entries[fd];
    uint32_t before = entry_mask(entry);
    FdWatch old = entry->sides[side];
    entry->sides[side] = (FdWatch){.owner = NULL};
    uint32_t after = entry_mask(entry);
    PyObject *file = after == 0 ? entry->file : NULL;
    if (after == 0) {
        entry->file = NULL;
    }
    /* Fails only for a descriptor that is gone: then there is nothing left to watch. */
    (void)fds_control(set, fd, before, after);
    watch_drop(old);
    Py_XDECREF(file);
    return true;
}

int
loop_fd_watch(Loop *loop, int fd, FdSide side, FdReady ready, PyObject *owner)
{
    if (loop_check_open(loop) < 0) {
        return -1;
    }
    FdWatch watch = {.owner = owner, .ready = ready};
    FdWatch old;
    if (fds_put(&loop->fds, loop, fd, side, watch, &old) < 0) {
        return -1;
    }
    watch_drop(old);
    return 0;
}

void
loop_fd_unwatch(Loop *loop, int fd, FdSide side, const PyObject *owner)
{
    FdSet *set = &loop->fds;
    if ((size_t)fd < set->len && set->entries[fd].sides[side].owner == owner) {
        (void)fds_remove(set, fd, side);
    }
}

void
fds_forked(FdSet *set)
{
    /* A new set takes the number, which libuv knows; empty, since nobody waits in the child. */
    int epoll = set->epoll < 0 ? -1 : epoll_create1(EPOLL_CLOEXEC);
    if (epoll >= 0) {
        (void)dup3(epoll, set->epoll, O_CLOEXEC);
        (void)close(epoll);
    }
}

void
fds_close(FdSet *set)
{
    FdEntry *entries = set->entries;
    size_t len = set->len;
    set->entries = NULL;
    set->len = 0;
    for (size_t i = 0; i < len; i++) {
        Py_XDECREF(entries[i].sides[FD_READER].owner);
        Py_XDECREF(entries[i].sides[FD_WRITER].owner);
        Py_XDECREF(entries[i].file);
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
        Py_VISIT(set->entries[i].sides[FD_READER].owner);
        Py_VISIT(set->entries[i].sides[FD_WRITER].owner);
        Py_VISIT(set->entries[i].file);
    }
    return 0;
}
