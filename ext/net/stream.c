/* Streams over libuv (see stream.h): opening, reading, closing. stream_write.c has the writing. Everything
 * runs on the loop's thread with the GIL.
 */
#include "base/py.h"

#include "net/stream_private.h"

#include "base/fd.h"
#include "base/probe.h"
#include "net/server_tls_link.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DEFAULT_HIGH = 64 * 1024,
    DEFAULT_LOW = 16 * 1024,
};

/* ---- Opening ------------------------------------------------------------------------------ */

static void
stream_reset(Stream *s, Loop *loop, const StreamOps *ops)
{
    memset(s, 0, sizeof(*s));
    s->loop = loop;
    s->ops = ops;
    s->high = DEFAULT_HIGH;
    s->low = DEFAULT_LOW;
}

static int
stream_init(Stream *s, bool is_unix)
{
    uv_loop_t *uv = loop_uv(s->loop);
    return is_unix ? uv_pipe_init(uv, &s->uv.pipe, 0) : uv_tcp_init(uv, &s->uv.tcp);
}

/* Undoes stream_init for a handle that never got a descriptor. Such a handle is only a link in the
 * loop's list; libuv itself unlinks it in the same way when uv_tcp_init_ex fails. uv_close would need
 * the owner's memory for another iteration. */
static void
stream_uninit(Stream *s)
{
    struct uv__queue *link = &s->uv.handle.handle_queue;
    link->next->prev = link->prev;
    link->prev->next = link->next;
}

static void
stream_close_at_once(uv_handle_t *handle)
{
    stream_close(stream_of(handle), false);
}

/* In a forked child libuv may still write queued bytes to the parent's socket, if the fork happened in a
 * callback of the stream. So the descriptor is replaced with one that accepts no I/O: a duplicate of the
 * loop's epoll set, which always exists. */
static void
stream_forked(uv_handle_t *handle)
{
    Stream *s = stream_of(handle);
    uv_os_fd_t fd;
    s->failed = true;
    s->reading = false;
    (void)uv_read_stop(&s->uv.stream);
    if (uv_fileno(handle, &fd) == 0) {
        (void)fd_replace(uv_backend_fd(handle->loop), fd);
    }
}

static const LoopHandleOps stream_handle_ops = {
    .close = stream_close_at_once,
    .forked = stream_forked,
};

static void
stream_opened(Stream *s, bool is_unix)
{
    s->state = STREAM_OPEN;
    s->uv.handle.data = (void *)&stream_handle_ops;
    if (!is_unix) {
        (void)uv_tcp_nodelay(
            &s->uv.tcp, 1); /* fails on a socket other than TCP, which does no harm */
    }
}

/* Whether libuv already watches `fd`: then a user has closed the descriptor of another stream without
 * libuv's knowledge, and the number was reused. Opening it again would make libuv abort the process. */
static bool
fd_is_taken(const uv_loop_t *uv, int fd)
{
    return (unsigned)fd < uv->nwatchers && uv->watchers[fd] != NULL;
}

int
stream_open_fd(Stream *s, Loop *loop, const StreamOps *ops, int fd, bool is_unix)
{
    if (fd < 0 || fd_is_taken(loop_uv(loop), fd)) {
        return fd < 0 ? UV_EBADF : UV_EEXIST;
    }
    stream_reset(s, loop, ops);
    int err = stream_init(s, is_unix);
    if (err != 0) {
        return err;
    }
    err = is_unix ? uv_pipe_open(&s->uv.pipe, fd) : uv_tcp_open(&s->uv.tcp, fd);
    if (err != 0) {
        stream_uninit(s);
        return err;
    }
    stream_opened(s, is_unix);
    return 0;
}

int
stream_accept(Stream *s, Loop *loop, const StreamOps *ops, uv_stream_t *listener)
{
    bool is_unix = listener->type == UV_NAMED_PIPE;
    stream_reset(s, loop, ops);
    int err = stream_init(s, is_unix);
    if (err != 0) {
        return err;
    }
    err = uv_accept(listener, &s->uv.stream);
    if (err != 0) {
        stream_uninit(s);
        return err;
    }
    stream_opened(s, is_unix);
    return 0;
}

/* ---- Reading ------------------------------------------------------------------------------ */

void
stream_fail(Stream *s, int err)
{
    if (s->failed || s->state != STREAM_OPEN) {
        return;
    }
    s->failed = true;
    stream_read_stop(s);
    stream_unwatch(s);
    s->ops->on_error(s, err);
}

void
stream_read_ended(Stream *s, ssize_t nread)
{
    if (nread == UV_EOF) {
        stream_read_stop(s);
        s->read_eof = true;
        s->ops->on_eof(s);
    } else if (nread < 0) {
        stream_fail(s, (int)nread);
    }
}

static void on_uv_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf);

static void
on_uv_alloc(uv_handle_t *handle, size_t Py_UNUSED(suggested), uv_buf_t *buf)
{
    Stream *s = stream_of(handle);
    if (s->ops->on_alloc == NULL) {
        *buf = loop_read_buffer(s->loop);
        return;
    }
    *buf = uv_buf_init(NULL, 0);
    if (loop_enter(s->loop)) {
        s->ops->on_alloc(s, buf);
    }
    if (!s->reading) {
        s->uv.stream.read_cb =
            on_uv_read; /* on_alloc has cleared it, but libuv calls it */
    }
}

static void
on_uv_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    Stream *s = stream_of(stream);
    if (!loop_enter(s->loop) || !s->reading) {
        return; /* on_alloc closed or paused the stream */
    }
    if (nread > 0) {
        s->ops->on_data(s, slice_of(buf->base, (size_t)nread));
    } else {
        stream_read_ended(s, nread);
    }
}

int
stream_read_start(Stream *s)
{
    if (s->reading || s->read_eof || s->failed || s->state != STREAM_OPEN) {
        return 0;
    }
    bool plain = s->secure == NULL;
    int err = uv_read_start(&s->uv.stream, plain ? on_uv_alloc : stream_secure_alloc,
                            plain ? on_uv_read : stream_secure_read);
    s->reading = err == 0;
    return err;
}

void
stream_read_stop(Stream *s)
{
    if (s->reading) {
        s->reading = false;
        (void)uv_read_stop(&s->uv.stream);
    }
}

/* ---- Closing ------------------------------------------------------------------------------ */

static void
on_uv_close(uv_handle_t *handle)
{
    Stream *s = stream_of(handle);
    if (loop_enter(s->loop)) {
        s->state = STREAM_UNUSED;
        secure_link_free(s->secure);
        s->secure = NULL;
        s->ops->on_closed(s);
    }
}

/* Makes close() send RST and drop the bytes that the kernel hasn't sent. */
static void
stream_linger_none(Stream *s)
{
    const struct linger none = {.l_onoff = 1, .l_linger = 0};
    uv_os_fd_t fd;
    if (uv_fileno(&s->uv.handle, &fd) == 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
}

void
stream_cut(Stream *s, bool reset)
{
    s->cut = true;
    s->reset = s->reset || reset;
}

void
stream_close_handle(Stream *s)
{
    assert(s->state == STREAM_OPEN || s->state == STREAM_FLUSHING);
    s->state = STREAM_CLOSING;
    if (unlikely(s->reset)) {
        stream_linger_none(s);
    }
    stream_unwatch(s);
    uv_close(&s->uv.handle, on_uv_close);
}

void
stream_close(Stream *s, bool flush)
{
    switch (s->state) {
    case STREAM_OPEN:
        stream_read_stop(s);
        if (unlikely(s->secure != NULL) && flush && !s->failed && !s->cut) {
            stream_secure_end(s);
        }
        if (flush && s->queued != 0 && !s->failed) {
            s->state = STREAM_FLUSHING;
        } else {
            stream_close_handle(s);
        }
        break;
    case STREAM_FLUSHING:
        if (!flush) {
            stream_close_handle(s);
        }
        break;
    case STREAM_CLOSING:
    case STREAM_UNUSED:
        break;
    }
}

void
stream_send_fin(Stream *s)
{
    uv_os_fd_t fd;
    if (uv_fileno(&s->uv.handle, &fd) == 0) {
        (void)shutdown(fd,
                       SHUT_WR); /* ENOTCONN: the peer has gone, which a read reports */
    }
}

void
stream_shutdown(Stream *s)
{
    if (s->shutting || s->state != STREAM_OPEN) {
        return;
    }
    if (unlikely(s->secure != NULL) && !s->failed) {
        stream_secure_end(s);
    }
    s->shutting = true;
    if (s->queued == 0) {
        stream_send_fin(s);
    }
}
