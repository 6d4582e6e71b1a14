/* The log writer (see log_writer.h). After each write the thread sleeps for REST_MS. So a server under
 * load hands lines over without a wake-up: only a thread that waits for lines must be woken.
 */
#include "base/py.h"

#include "http/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum {
    KEEP = 64 * 1024,  /* bytes of memory kept between writes */
    STACK = 64 * 1024, /* bytes; libuv raises it to the system's minimum */
    REST_MS = 2,       /* pause after a write */
    RETRY_MS = 500, /* pause after an error: the disk may be full, or the reader gone */
};
#define PATIENCE_NS 500000000u /* longest wait without progress in log_writer_settle */

struct LogWriter {
    uv_mutex_t lock;
    uv_cond_t lines_came, progress;
    Buf pending;            /* under the lock */
    Buf writing;            /* used by the thread only */
    _Atomic size_t waiting; /* bytes taken over and not yet written */
    _Atomic uint64_t
        moved; /* when bytes were last written, or handed over while none were waiting */
    int fd;    /* owned; changed by the thread, under the lock */
    int next;  /* owned: what takes its place, or -1; under the lock */
    int refs;  /* one of the owner and one of the thread; under the lock */
    bool started, idle; /* under the lock */
    bool told;          /* that the disk takes nothing; used by the thread only */
    atomic_bool closed;
    pid_t pid; /* of the process that has the thread; a forked child has none */
};

LogWriter *
log_writer_new(int fd)
{
    LogWriter *writer = PyMem_RawCalloc(1, sizeof *writer);
    if (writer == NULL) {
        return NULL;
    }
    writer->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    writer->next = -1;
    writer->refs = 1;
    writer->pid = getpid();
    if (writer->fd < 0 || uv_mutex_init(&writer->lock) != 0) {
        goto failed;
    }
    if (uv_cond_init(&writer->lines_came) == 0) {
        if (uv_cond_init(&writer->progress) == 0) {
            return writer;
        }
        uv_cond_destroy(&writer->lines_came);
    }
    uv_mutex_destroy(&writer->lock);
failed:
    if (writer->fd >= 0) {
        (void)close(writer->fd);
    }
    PyMem_RawFree(writer);
    return NULL;
}

/* Drops a reference. Called with the lock held; releases it. */
static void
writer_unref(LogWriter *writer)
{
    bool last = --writer->refs == 0;
    uv_mutex_unlock(&writer->lock);
    if (!last) {
        return;
    }
    (void)close(writer->fd);
    if (writer->next >= 0) {
        (void)close(writer->next);
    }
    buf_free(&writer->pending);
    buf_free(&writer->writing);
    uv_cond_destroy(&writer->progress);
    uv_cond_destroy(&writer->lines_came);
    uv_mutex_destroy(&writer->lock);
    PyMem_RawFree(writer);
}

/* ---- The thread -------------------------------------------------------------------------- */

static void
writer_rest(int ms)
{
    (void)poll(NULL, 0, ms);
}

/* Takes the file of log_writer_reopen, if there is one. With the lock. */
static void
writer_take_next(LogWriter *writer)
{
    if (writer->next >= 0) {
        (void)close(writer->fd);
        writer->fd = writer->next;
        writer->next = -1;
    }
}

/* Whether it is an error of the disk, which the administrator has to resolve. */
static bool
error_is_of_disks(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG || error == EIO
           || error == EROFS;
}

/* Says on stderr, once until lines are written again, what is wrong with the disk. The line looks like
 * those of `logging`, which needs the GIL. */
static void
writer_tell(LogWriter *writer, int error)
{
    if (writer->told || !error_is_of_disks(error)) {
        return;
    }
    writer->told = true;
    char when[32], line[256];
    struct timespec now;
    struct tm local;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (localtime_r(&now.tv_sec, &local) == NULL
        || strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local) == 0) {
        return;
    }
    const char *reason = error == ENOSPC   ? "No space left on device"
                         : error == EDQUOT ? "Disk quota exceeded"
                         : error == EFBIG  ? "File too large"
                         : error == EROFS  ? "Read-only file system"
                                           : "Input/output error";
    int n = snprintf(line, sizeof line,
                     "%s,%03d WARNING access log: %s; its lines wait until it can be "
                     "written\n",
                     when, (int)(now.tv_nsec / 1000000), reason);
    if (n > 0) {
        ssize_t written = write(STDERR_FILENO, line, (size_t)n);
        (void)written; /* there is nobody else to tell */
    }
}

/* Waits after a failed write. Whether to try again: an error may pass, but once the writer is closed
 * nobody waits for that. */
static bool
error_wait(LogWriter *writer, int error)
{
    if (error == EINTR) {
        return true;
    }
    if (error == EAGAIN || error == EWOULDBLOCK) {
        struct pollfd out = {.fd = writer->fd, .events = POLLOUT};
        (void)poll(&out, 1, RETRY_MS);
        return true;
    }
    if (!atomic_load(&writer->closed)) {
        writer_rest(RETRY_MS);
    }
    return !atomic_load(&writer->closed);
}

/* Without the lock. */
static void
writer_write_all(LogWriter *writer)
{
    Buf *lines = &writer->writing;
    for (size_t done = 0; done < lines->len;) {
        ssize_t n = write(writer->fd, lines->ptr + done, lines->len - done);
        if (n < 0) {
            int error = errno;
            writer_tell(writer, error);
            if (!error_wait(writer, error)) {
                (void)atomic_fetch_sub(&writer->waiting, lines->len - done);
                break;
            }
            uv_mutex_lock(&writer->lock);
            writer_take_next(writer);
            uv_mutex_unlock(&writer->lock);
            continue;
        }
        done += (size_t)n;
        writer->told = false;
        (void)atomic_fetch_sub(&writer->waiting, (size_t)n);
        atomic_store(&writer->moved, uv_hrtime());
    }
    buf_reset(lines, KEEP);
}

static void
writer_run(void *arg)
{
    LogWriter *writer = arg;
    uv_mutex_lock(&writer->lock);
    for (;;) {
        while (writer->pending.len == 0 && !atomic_load(&writer->closed)) {
            writer_take_next(writer);
            writer->idle = true;
            uv_cond_wait(&writer->lines_came, &writer->lock);
            writer->idle = false;
        }
        writer_take_next(writer);
        if (writer->pending.len == 0) {
            break;
        }
        Buf taken = writer->pending;
        writer->pending = writer->writing;
        writer->writing = taken;
        uv_mutex_unlock(&writer->lock);
        writer_write_all(writer);
        uv_mutex_lock(&writer->lock);
        uv_cond_broadcast(&writer->progress);
        if (!atomic_load(&writer->closed)) {
            uv_mutex_unlock(&writer->lock);
            writer_rest(REST_MS);
            uv_mutex_lock(&writer->lock);
        }
    }
    writer_unref(writer);
}

/* ---- The owner --------------------------------------------------------------------------- */

/* Starts the thread with all signals blocked, so that other threads receive them. Called with the lock
 * held. */
static bool
writer_start(LogWriter *writer)
{
    uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE,
                                   .stack_size = STACK};
    uv_thread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = uv_thread_create_ex(&thread, &options, writer_run, writer);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        return false;
    }
    (void)pthread_detach(thread);
    writer->started = true;
    writer->refs++;
    return true;
}

void
log_writer_put(LogWriter *writer, Buf *lines)
{
    if (lines->len == 0) {
        return; /* always so in a forked child: its loop adds no lines */
    }
    size_t len = lines->len;
    uv_mutex_lock(&writer->lock);
    bool wake = writer->idle;
    if (writer->started || writer_start(writer)) {
        if (atomic_load(&writer->waiting) == 0) {
            atomic_store(&writer->moved, uv_hrtime());
        }
        if (writer->pending.len == 0) {
            Buf empty = writer->pending;
            writer->pending = *lines;
            *lines = empty;
        } else if (buf_append(&writer->pending, lines->ptr, len) != 0) {
            len = 0;
        }
        buf_clear(lines);
        (void)atomic_fetch_add(&writer->waiting, len);
    }
    if (wake) {
        writer->idle = false; /* so that it is woken only once */
        uv_cond_signal(&writer->lines_came);
    }
    uv_mutex_unlock(&writer->lock);
}

int
log_writer_reopen(LogWriter *writer, int fd)
{
    if (writer->pid != getpid()) {
        return 0;
    }
    int next = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (next < 0) {
        return uv_translate_sys_error(errno);
    }
    uv_mutex_lock(&writer->lock);
    int skipped = writer->next;
    writer->next = next;
    if (!writer->started) {
        writer_take_next(writer);
    }
    uv_cond_signal(&writer->lines_came);
    uv_mutex_unlock(&writer->lock);
    if (skipped >= 0) {
        (void)close(skipped);
    }
    return 0;
}

size_t
log_writer_waiting(const LogWriter *writer)
{
    return atomic_load_explicit(&writer->waiting, memory_order_relaxed);
}

void
log_writer_settle(LogWriter *writer)
{
    if (writer->pid != getpid()) {
        return;
    }
    uv_mutex_lock(&writer->lock);
    while (atomic_load(&writer->waiting) != 0) {
        uint64_t end = atomic_load(&writer->moved) + PATIENCE_NS, now = uv_hrtime();
        if (now >= end) {
            break;
        }
        (void)uv_cond_timedwait(&writer->progress, &writer->lock, end - now);
    }
    uv_mutex_unlock(&writer->lock);
}

void
log_writer_free(LogWriter *writer)
{
    if (writer == NULL || writer->pid != getpid()) {
        return; /* in a forked child: the thread doesn't exist, and the lock may be held forever */
    }
    log_writer_settle(writer);
    uv_mutex_lock(&writer->lock);
    atomic_store(&writer->closed, true);
    uv_cond_signal(&writer->lines_came);
    writer_unref(writer);
}
