/* What fds_poll.c and fds_portable.c do alike: calling the watchers of a descriptor that is ready.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_LOOP_FDS_READY_H
#define FLUVIAL_LOOP_FDS_READY_H

#include "loop/fds.h"
#include "loop/loop_impl.h"

/* Calls the watcher of a side if it is one of `kinds`; otherwise sets `waiting` for FD_CALLS. The
 * watcher may change the set. */
static inline void
side_ready(FdSet *set, size_t fd, FdSide side, unsigned kinds)
{
    if (fd >= set->len || set->entries[fd].sides[side].owner == NULL
        || container_of(set, Loop, fds)->forked) {
        return;
    }
    FdWatch watch = set->entries[fd].sides[side];
    if ((kinds & watch.kind) != 0) {
        Py_INCREF(watch.owner);
        watch.ready(watch.owner);
        Py_DECREF(watch.owner);
    } else {
        set->waiting |= watch.kind == FD_CALLS;
    }
}

/* Calls the watchers. Errors and hang-ups concern those of both sides. */
static inline void
entry_ready(FdSet *set, size_t fd, bool reads, bool writes, unsigned kinds)
{
    FdEntry *entry = &set->entries[fd];
    if (reads && entry->kept != NULL && entry->sides[FD_READER].owner == NULL) {
        /* The socket stayed registered for the next wait (fds_wait), but data came before it. */
        (void)fds_control(set, (int)fd, entry, fd_entry_mask(entry));
    }
    if (reads) {
        side_ready(set, fd, FD_READER, kinds);
    }
    if (writes) {
        side_ready(set, fd, FD_WRITER, kinds);
    }
}

static inline unsigned
fds_kinds(const FdSet *set)
{
    return set->ready_first ? FD_QUEUES : FD_QUEUES | FD_CALLS;
}

#endif
