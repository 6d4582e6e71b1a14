/* The watchers of the user's descriptors (see fds.h). Polls are level-triggered: a descriptor that
 * stays ready puts its handle into the ready queue once per iteration, as in asyncio.
 */
#include "base/py.h"

#include "loop/fds.h"
#include "base/err.h"
#include "loop/loop_impl.h"

#include <errno.h>
#include <fcntl.h>

enum {
    FDS_SMALLEST = 64,
    TRIES = 8, /* after so many failed tries in a row, wait before reading */
};

void
fds_init(FdSet *set)
{
    *set = FDS_CLOSED;
}

/* The FdReady of handles. */
static void
handle_ready(PyObject *owner)
{
    Handle *handle = (Handle *)owner;
    if (ready_push(&handle->loop->ready, handle) < 0) {
        loop_report(handle->loop, "Out of memory for the callback of a descriptor");
    }
}

/* ---- The set ------------------------------------------------------------------------------ */

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

/* The table is as long as the highest descriptor, so only an open descriptor may make it longer. */
static int
fds_make_room(FdSet *set, int fd)
{
    if (fcntl(fd, F_GETFD) < 0) {
        return -errno;
    }
    return fds_grow(set, (size_t)fd + 1);
}

uint32_t
fd_entry_mask(const FdEntry *entry)
{
    uint32_t reads = entry->sides[FD_READER].owner != NULL ? FD_READS : 0;
    uint32_t writes = entry->sides[FD_WRITER].owner != NULL ? FD_WRITES : 0;
    return reads | writes;
}

/* Takes a reference to the new owner; the reference to the old one passes to *old. */
static int
fds_put(FdSet *set, Loop *loop, int fd, FdSide side, FdWatch watch, FdWatch *old)
{
    int err = fds_is_open(set) ? 0 : fds_open(set, loop);
    if (err == 0 && (size_t)fd >= set->len) {
        err = fds_make_room(set, fd);
    }
    if (err != 0) {
        (void)err_set(err);
        return -1;
    }
    FdEntry *entry = &set->entries[fd];
    *old = entry->sides[side];
    entry->sides[side] = watch;
    err = fds_control(set, fd, entry, fd_entry_mask(entry));
    if (err != 0) {
        entry->sides[side] = *old;
        (void)err_set(err);
        return -1;
    }
    Py_INCREF(watch.owner);
    return 0;
}

/* Releases a watcher that was removed from the set. */
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
    FdWatch watch = {(PyObject *)handle, handle_ready, FD_QUEUES};
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
    FdWatch old = entry->sides[side];
    entry->sides[side] = (FdWatch){.owner = NULL};
    uint32_t after = fd_entry_mask(entry);
    PyObject *file = after == 0 ? entry->file : NULL;
    if (after == 0) {
        entry->file = NULL;
    }
    /* Fails only for a closed descriptor, of which there is nothing left to watch. */
    (void)fds_control(set, fd, entry, after);
    watch_drop(old);
    Py_XDECREF(file);
    return true;
}

/* ---- Repeated waits ----------------------------------------------------------------------- */

int
fds_wait(FdSet *set, Loop *loop, int fd, FdSide side, FdReady ready, PyObject *owner,
         PyObject *sock)
{
    PyObject *ref = PyWeakref_NewRef(sock, NULL); /* the same object each time */
    if (ref == NULL) {
        return -1;
    }
    FdWatch watch = {owner, ready, FD_QUEUES};
    FdWatch old;
    FdEntry *entry = (size_t)fd < set->len ? &set->entries[fd] : NULL;
    if (side == FD_READER && entry != NULL && entry->kept == ref) {
        old = entry->sides[side];
        entry->sides[side] = watch;
        Py_INCREF(owner);
        Py_DECREF(ref);
    } else if (fds_put(set, loop, fd, side, watch, &old) < 0) {
        Py_DECREF(ref);
        return -1;
    } else if (FDS_KEEP && side == FD_READER) {
        set->entries[fd].kept = ref;
    } else {
        Py_DECREF(ref);
    }
    watch_drop(old);
    return 0;
}

/* After TRIES failed tries, TRIES reads begin with the wait, then one is tried again. */
bool
fds_worth_a_try(FdSet *set, int fd, PyObject *sock)
{
    FdEntry *entry = (size_t)fd < set->len ? &set->entries[fd] : NULL;
    if (entry == NULL || entry->kept == NULL || entry->misses < TRIES) {
        return true;
    }
    PyObject *ref = PyWeakref_NewRef(sock, NULL);
    Py_XDECREF(ref); /* the set holds a reference to `kept`, so comparing is safe */
    if (ref != entry->kept) {
        PyErr_Clear(); /* without memory for the reference, a try is right as well */
        return true;
    }
    if (entry->misses == 2 * TRIES) {
        entry->misses = TRIES;
        return true;
    }
    entry->misses++;
    return false;
}

void
fds_tried(FdSet *set, int fd, bool in_vain)
{
    if ((size_t)fd < set->len) {
        FdEntry *entry = &set->entries[fd];
        entry->misses = in_vain ? (uint8_t)Py_MIN(entry->misses + 1, TRIES) : 0;
    }
}

void
fds_rest(FdSet *set, int fd, FdSide side, const PyObject *owner)
{
    if ((size_t)fd >= set->len || set->entries[fd].sides[side].owner != owner) {
        return;
    }
    FdEntry *entry = &set->entries[fd];
    if (side == FD_READER && entry->kept != NULL) {
        FdWatch old = entry->sides[side];
        entry->sides[side] = (FdWatch){.owner = NULL};
        watch_drop(old);
    } else {
        (void)fds_remove(set, fd, side);
    }
}

/* ---- Other layers ------------------------------------------------------------------------- */

int
loop_fd_watch(Loop *loop, int fd, FdSide side, FdReady ready, PyObject *owner)
{
    if (loop_check_open(loop) < 0) {
        return -1;
    }
    FdWatch watch = {owner, ready, FD_CALLS};
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
        Py_XDECREF(entries[i].kept);
    }
    fds_shut(set, entries, len);
    PyMem_Free(entries);
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
