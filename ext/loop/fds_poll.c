/* Waiting for the user's descriptors and libuv's at the same time (see fds.h). One of the two epoll
 * sets contains the other. An event of the inner set costs a second system call, so the set from
 * which most events come is made the outer one: the users' set if most events concern their
 * descriptors, libuv's if most concern its streams.
 */
#include "base/py.h"

#include "loop/fds_ready.h"
#include "base/fd.h"

#if FLUVIAL_LINUX

#include <errno.h>
#include <sys/epoll.h>

enum {
    FDS_EVENTS = 128,  /* taken per poll; the others come with the next one */
    SWITCH_AFTER = 16, /* the score at which the users' set becomes the outer one */
};

static const uint64_t LIBUV = UINT64_MAX; /* the tag of libuv's set */

_Static_assert((int)FD_READS == (int)EPOLLIN && (int)FD_WRITES == (int)EPOLLOUT,
               "masks are the kernel's");

/* ---- Registrations ------------------------------------------------------------------------ */

static int
fds_register(FdSet *set, int fd, FdEntry *entry, int op, uint32_t mask)
{
    uint32_t serial = op == EPOLL_CTL_ADD ? set->serial + 1 : entry->serial;
    struct epoll_event event = {.events = mask, .data.u64 = fd_tag(fd, serial)};
    if (epoll_ctl(set->epoll, op, fd, &event) < 0) {
        return -errno;
    }
    if (op == EPOLL_CTL_ADD) {
        set->serial = entry->serial = serial;
    }
    entry->mask = mask;
    return 0;
}

/* The descriptor may have been closed since the last call, and its number reused for another file.
 * The kernel then reports ENOENT or EEXIST, and the other operation is right. */
int
fds_control(FdSet *set, int fd, FdEntry *entry, uint32_t mask)
{
    Py_CLEAR(entry->kept); /* a weak reference: runs no code */
    if (mask == 0) {
        struct epoll_event event = {0};
        (void)epoll_ctl(set->epoll, EPOLL_CTL_DEL, fd, &event);
        entry->serial = ++set->serial;
        entry->mask = 0;
        return 0;
    }
    int op = entry->mask == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    int err = fds_register(set, fd, entry, op, mask);
    if (err == -ENOENT || err == -EEXIST) {
        op = err == -ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
        err = fds_register(set, fd, entry, op, mask);
    }
    return err;
}

/* ---- Events ------------------------------------------------------------------------------- */

/* Whether an event belongs to the last registration of its descriptor. `seen` is the set's serial
 * from before the call of epoll_wait. If it doesn't, and the entry has not changed since then, the
 * set is stale: the descriptor was closed while its file is still open under another number, perhaps
 * in another process. The kernel reports such a file until the set is replaced. */
static bool
event_is_current(FdSet *set, uint64_t tag, uint32_t seen)
{
    size_t fd = (uint32_t)tag;
    uint32_t serial = (uint32_t)(tag >> 32);
    if (fd < set->len && set->entries[fd].serial == serial) {
        return true;
    }
    bool changed_since = fd < set->len && (int32_t)(set->entries[fd].serial - seen) > 0;
    set->stale |= !changed_since;
    return false;
}

static void
fds_dispatch(FdSet *set, Loop *loop, const struct epoll_event *events, int n,
             unsigned kinds, uint32_t seen)
{
    for (int i = 0; i < n && !loop->forked; i++) {
        uint64_t tag = events[i].data.u64;
        uint32_t found = events[i].events;
        if (tag != LIBUV && event_is_current(set, tag, seen)) {
            entry_ready(set, (uint32_t)tag, (found & ~(uint32_t)EPOLLOUT) != 0,
                        (found & ~(uint32_t)EPOLLIN) != 0, kinds);
        }
    }
}

static void
fds_look(FdSet *set, Loop *loop, unsigned kinds)
{
    struct epoll_event events[FDS_EVENTS];
    uint32_t seen = set->serial;
    int n = epoll_wait(set->epoll, events, FDS_EVENTS, 0);
    fds_dispatch(set, loop, events, n, kinds, seen);
}

void
fds_run_waiting(FdSet *set, Loop *loop)
{
    if (set->waiting && set->epoll >= 0) {
        set->waiting = false;
        fds_look(set, loop, FD_CALLS);
    }
}

/* ---- The inner and the outer set ---------------------------------------------------------- */

static void
on_uv_poll(uv_poll_t *watch, int Py_UNUSED(status), int Py_UNUSED(events))
{
    FdSet *set = container_of(watch, FdSet, watch);
    Loop *loop = container_of(set, Loop, fds);
    set->fired = true;
    if (!loop_enter(loop)) {
        return;
    }
    fds_look(set, loop, fds_kinds(set));
}

int
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

/* Adds libuv's set to `epoll`. */
static int
libuv_add(Loop *loop, int epoll)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = LIBUV};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, uv_backend_fd(&loop->uv), &event);
}

/* Makes the users' set the outer one. It must leave libuv's set first, because the kernel refuses a
 * cycle. */
static void
fds_turn_out(FdSet *set, Loop *loop)
{
    (void)uv_poll_stop(&set->watch);
    if (libuv_add(loop, set->epoll) == 0) {
        set->outer = true;
        return;
    }
    set->score = 0;
    (void)uv_poll_start(&set->watch, UV_READABLE, on_uv_poll);
}

/* Makes libuv's set the outer one. */
static void
fds_turn_in(FdSet *set, Loop *loop)
{
    struct epoll_event event = {0};
    (void)epoll_ctl(set->epoll, EPOLL_CTL_DEL, uv_backend_fd(&loop->uv), &event);
    set->outer = false;
    (void)uv_poll_start(&set->watch, UV_READABLE, on_uv_poll);
}

/* Replaces the kernel's set by a new one under the same descriptor. */
static void
fds_renew(FdSet *set, Loop *loop)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        return; /* tried again before the next poll */
    }
    for (size_t fd = 0; fd < set->len; fd++) {
        FdEntry *entry = &set->entries[fd];
        struct epoll_event event = {.events = entry->mask,
                                    .data.u64 = fd_tag((int)fd, entry->serial)};
        if (entry->mask != 0) {
            (void)epoll_ctl(epoll, EPOLL_CTL_ADD, (int)fd, &event);
        }
    }
    if (set->outer) {
        fds_turn_in(set, loop);
    }
    (void)uv_poll_stop(&set->watch);
    (void)fd_replace(epoll, set->epoll);
    (void)close(epoll);
    (void)uv_poll_start(&set->watch, UV_READABLE, on_uv_poll);
    set->stale = false;
}

void
fds_before_poll(FdSet *set, Loop *loop)
{
    if (unlikely(set->stale)) {
        fds_renew(set, loop);
    }
    if (!set->outer && set->score >= SWITCH_AFTER) {
        fds_turn_out(set, loop);
    } else if (set->outer && set->score <= 0) {
        fds_turn_in(set, loop);
    }
}

/* ---- Polls -------------------------------------------------------------------------------- */

static void
fds_count(FdSet *set, int change)
{
    int score = set->score + change;
    set->score = Py_MAX(0, Py_MIN(score, SWITCH_AFTER));
}

/* Whether libuv has nothing to do now. This takes only one system call, because a loop that doesn't
 * block calls it after each round of callbacks. */
static bool
libuv_is_idle(uv_loop_t *uv)
{
    struct epoll_event event;
    uv_update_time(uv);
    return uv_backend_timeout(uv) != 0
           && epoll_wait(uv_backend_fd(uv), &event, 1, 0) == 0;
}

static void
fds_poll_inner(FdSet *set, Loop *loop, bool block)
{
    set->fired = false;
    if (!block && libuv_is_idle(&loop->uv)) {
        return;
    }
    (void)uv_run(&loop->uv, block ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    if (set->fired || block) {
        fds_count(set, set->fired ? 1 : -1);
    }
}

/* libuv runs only if its set is ready, one of its timers is due, or it has other work, in which case
 * uv_backend_timeout() returns 0. */
static void
fds_poll_outer(FdSet *set, Loop *loop, bool block)
{
    struct epoll_event events[FDS_EVENTS];
    uv_update_time(&loop->uv);
    int timeout = uv_backend_timeout(&loop->uv);
    uint32_t seen = set->serial;
    int n = epoll_wait(set->epoll, events, FDS_EVENTS, block ? timeout : 0);
    uv_update_time(&loop->uv);
    int libuv = 0;
    for (int i = 0; i < n; i++) {
        libuv += events[i].data.u64 == LIBUV;
    }
    int users = n > 0 ? n - libuv : 0;
    fds_count(set, (users > 0) - libuv);
    if (users > 0 && loop_enter(loop)) {
        fds_dispatch(set, loop, events, n, fds_kinds(set), seen);
    }
    bool due = libuv != 0 || timeout == 0 || (n == 0 && block && timeout > 0);
    if (due && !loop->forked) {
        (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
    }
}

void
fds_poll(FdSet *set, Loop *loop, bool block)
{
    if (set->outer) {
        fds_poll_outer(set, loop, block);
    } else {
        fds_poll_inner(set, loop, block);
    }
}

/* ---- The end ------------------------------------------------------------------------------ */

void
fds_forked(FdSet *set)
{
    /* An empty set takes over the descriptor, which libuv still uses: nothing is watched in the
     * child. */
    int epoll = set->epoll < 0 ? -1 : epoll_create1(EPOLL_CLOEXEC);
    if (epoll >= 0) {
        (void)fd_replace(epoll, set->epoll);
        (void)close(epoll);
    }
}

void
fds_shut(FdSet *set, FdEntry *Py_UNUSED(entries), size_t Py_UNUSED(len))
{
    if (set->epoll >= 0) {
        uv_close((uv_handle_t *)&set->watch, NULL);
        (void)close(set->epoll);
        set->epoll = -1;
    }
}

#endif
