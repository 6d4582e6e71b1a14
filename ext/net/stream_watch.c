/* Notices that the peer of a half-closed stream has reset it (see stream_watch). Such a stream isn't
 * read any more, so libuv doesn't poll its descriptor. A duplicate is polled instead, only for
 * errors. The watch is created when it is first needed, and freed in its close callback. The
 * loop's thread, with the GIL.
 */
#include "base/py.h"

#include "net/stream_private.h"

#include "base/fd.h"

#include <fcntl.h>
#include <unistd.h>

struct StreamWatch {
    uv_poll_t poll;
    Loop *loop;     /* borrowed; outlives its handles */
    Stream *stream; /* borrowed; NULL: the handle is being closed */
    int fd;         /* owned: a duplicate */
};

static StreamWatch *
watch_of(void *handle)
{
    return container_of((uv_poll_t *)handle, StreamWatch, poll);
}

static void
on_watch_closed(uv_handle_t *handle)
{
    StreamWatch *watch = watch_of(handle);
    if (loop_enter(watch->loop)) {
        (void)close(watch->fd);
        PyMem_RawFree(watch);
    }
}

void
stream_unwatch(Stream *s)
{
    StreamWatch *watch = s->watch;
    if (watch != NULL) {
        s->watch = NULL;
        watch->stream = NULL;
        uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
    }
}

/* Any event means that the connection is gone, because nothing but errors is polled for. */
static void
on_watch(uv_poll_t *poll, int Py_UNUSED(status), int Py_UNUSED(events))
{
    StreamWatch *watch = watch_of(poll);
    if (!loop_enter(watch->loop) || watch->stream == NULL) {
        return;
    }
    Stream *s = watch->stream;
    stream_unwatch(s);
    if (s->state == STREAM_OPEN && !s->failed && s->ops->on_reset != NULL) {
        s->ops->on_reset(s);
    }
}

static void
watch_close(uv_handle_t *handle)
{
    stream_unwatch(watch_of(handle)->stream);
}

/* In a forked child: the duplicate must not keep the connection open. */
static void
watch_forked(uv_handle_t *handle)
{
    StreamWatch *watch = watch_of(handle);
    (void)uv_poll_stop(&watch->poll);
    (void)fd_replace(uv_backend_fd(handle->loop), watch->fd);
}

static const LoopHandleOps watch_ops = {.close = watch_close, .forked = watch_forked};

/* A watch on `fd`, which it owns; NULL when out of memory or when libuv refuses the descriptor. */
static StreamWatch *
watch_new(Stream *s, int fd)
{
    StreamWatch *watch = PyMem_RawCalloc(1, sizeof(*watch));
    if (watch == NULL || uv_poll_init(loop_uv(s->loop), &watch->poll, fd) != 0) {
        PyMem_RawFree(watch);
        return NULL;
    }
    watch->poll.data = (void *)&watch_ops;
    watch->loop = s->loop;
    watch->stream = s;
    watch->fd = fd;
    return watch;
}

void
stream_watch(Stream *s)
{
    uv_os_fd_t fd;
    if (s->watch != NULL || s->state != STREAM_OPEN || s->failed
        || uv_fileno(&s->uv.handle, &fd) != 0) {
        return;
    }
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        return;
    }
    s->watch = watch_new(s, copy);
    if (s->watch == NULL) {
        (void)close(copy);
        return;
    }
    /* Urgent data can't follow a FIN, so UV_PRIORITIZED itself never occurs. Errors are always
     * reported. */
    (void)uv_poll_start(&s->watch->poll, UV_PRIORITIZED, on_watch);
}
