/* Streams over libuv (see stream.h): opening, reading, writing with a queue, closing.
 *
 * Bytes are offered to the kernel at once; only what it refuses becomes a StreamWrite, a request
 * that libuv owns until its callback. Everything runs on the loop's thread with the GIL.
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
    PUT_KEEP = 256
        * 1024,          /* bytes of memory that stream_put leaves in an empty buffer */
    PUT_COPY = 8 * 1024, /* bytes that are copied rather than their memory taken */
};

/* Bytes that the kernel hasn't taken yet. Freed in the request's callback, which libuv always calls. */
typedef struct StreamWrite {
    uv_write_t req;
    PyObject *owner; /* owned, or NULL: keeps the bytes that are not in `copy` alive */
    char *memory;    /* owned, or NULL: the same, as plain memory */
    size_t size;     /* bytes of the request */
    char copy[];
} StreamWrite;

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

/* Whether libuv already watches `fd`: then somebody has closed the descriptor of another stream without
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

static void
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

/* Sends FIN without a libuv request: when nothing is queued, it can be sent at once. */
static void
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

/* ---- Writing ------------------------------------------------------------------------------ */

static void
stream_drained(Stream *s)
{
    bool low = s->over_high && s->queued <= s->low;
    bool empty = s->want_empty && s->queued == 0;
    s->over_high = s->over_high && !low;
    s->want_empty = s->want_empty && !empty;
    if ((low || empty) && s->ops->on_drain != NULL) {
        s->ops->on_drain(s);
    }
}

static void
stream_wrote(Stream *s, int status)
{
    switch (s->state) {
    case STREAM_OPEN:
        if (status < 0) {
            stream_fail(s, status);
            return;
        }
        if (s->queued == 0 && s->shutting) {
            stream_send_fin(s);
        }
        stream_drained(s);
        break;
    case STREAM_FLUSHING:
        if (status < 0 || s->queued == 0) {
            stream_close_handle(s);
        }
        break;
    case STREAM_CLOSING: /* cancelled by uv_close */
    case STREAM_UNUSED:
        break;
    }
}

static void
on_uv_write(uv_write_t *req, int status)
{
    Stream *s = stream_of(req->handle);
    StreamWrite *write = container_of(req, StreamWrite, req);
    if (!loop_enter(s->loop)) {
        return; /* in a forked child: the request belongs to the parent and is left as it is */
    }
    s->queued -= write->size;
    PyObject *owner = write->owner;
    PyMem_RawFree(write->memory);
    PyMem_RawFree(write);
    stream_wrote(s, status);
    Py_XDECREF(owner);
}

/* Starts a libuv request for `bufs`, `size` bytes that `write` keeps alive. `write` is stolen, also on an
 * error. */
static int
stream_start(Stream *s, StreamWrite *write, const uv_buf_t *bufs, unsigned n,
             size_t size)
{
    int err = uv_write(&write->req, &s->uv.stream, bufs, n, on_uv_write);
    if (err != 0) {
        PyMem_RawFree(write->memory);
        PyMem_RawFree(write);
        return err;
    }
    write->size = size;
    s->queued += size;
    s->over_high = s->over_high || s->queued > s->high;
    return 0;
}

/* Queues `bufs`. The first `copied` of them are copied; `owner` keeps the others alive (borrowed, may
 * be NULL when all are copied). */
static int
stream_queue(Stream *s, uv_buf_t *bufs, unsigned n, unsigned copied, PyObject *owner)
{
    size_t size = 0, copy_size = 0;
    for (unsigned i = 0; i < n; i++) {
        size += bufs[i].len;
        copy_size += i < copied ? bufs[i].len : 0;
    }
    StreamWrite *write = PyMem_RawMalloc(sizeof(*write) + copy_size);
    if (write == NULL) {
        return UV_ENOMEM;
    }
    char *to = write->copy;
    for (unsigned i = 0; i < copied; i++) {
        memcpy(to, bufs[i].base, bufs[i].len);
        bufs[i].base = to;
        to += bufs[i].len;
    }
    write->owner = NULL;
    write->memory = NULL;
    int err = stream_start(s, write, bufs, n, size);
    if (err == 0 && n > copied) {
        write->owner = Py_XNewRef(owner);
    }
    return err;
}

/* Queues the bytes of `out` from `done` on without copying: the request takes over the memory. */
static int
stream_queue_memory(Stream *s, Buf *out, size_t done)
{
    StreamWrite *write = PyMem_RawMalloc(sizeof(*write));
    if (write == NULL) {
        return UV_ENOMEM;
    }
    uv_buf_t buf = {.base = out->ptr + done, .len = out->len - done};
    write->owner = NULL;
    write->memory = out->ptr;
    *out = (Buf){NULL, 0, 0};
    return stream_start(s, write, &buf, 1, buf.len);
}

int
stream_put(Stream *s, Buf *out)
{
    int done = UV_EAGAIN;
    uv_buf_t buf = {.base = out->ptr, .len = out->len};
    if (out->len == 0) {
        return 0;
    }
    if (s->queued == 0) {
        done = uv_try_write(&s->uv.stream, &buf, 1);
        PROBE(write, s, done);
    }
    size_t taken = done < 0 ? 0 : (size_t)done;
    int err = done < 0 && done != UV_EAGAIN ? done : 0;
    if (err == 0 && out->len - taken > PUT_COPY) {
        return stream_queue_memory(s, out, taken);
    }
    if (err == 0 && out->len != taken) {
        buf = (uv_buf_t){.base = out->ptr + taken, .len = out->len - taken};
        err = stream_queue(s, &buf, 1, 1, NULL);
    }
    buf_reset(out, PUT_KEEP);
    return err;
}

/* Drops the first `done` bytes of `bufs`. Returns the index of the first remaining buffer. */
static unsigned
bufs_skip(uv_buf_t *bufs, unsigned n, size_t done)
{
    unsigned i = 0;
    while (i < n && done >= bufs[i].len) {
        done -= bufs[i++].len;
    }
    if (i < n) {
        bufs[i].base += done;
        bufs[i].len -= done;
    }
    return i;
}

/* Writes `bufs` as far as the kernel takes them and queues the rest; `copied` and `owner` are
 * as for stream_queue. Changes `bufs`. */
static int
stream_send(Stream *s, uv_buf_t *bufs, unsigned n, unsigned copied, PyObject *owner)
{
    if (s->state != STREAM_OPEN || s->failed) {
        return 0;
    }
    if (unlikely(s->secure != NULL)) {
        return stream_secure_send(s, bufs, n);
    }
    unsigned first = 0;
    if (s->queued == 0) {
        int done = uv_try_write(&s->uv.stream, bufs, n);
        PROBE(write, s, done);
        if (done < 0 && done != UV_EAGAIN) {
            return done;
        }
        first = bufs_skip(bufs, n, done < 0 ? 0 : (size_t)done);
    }
    if (first == n) {
        return 0;
    }
    copied = copied > first ? copied - first : 0;
    return stream_queue(s, bufs + first, n - first, copied, owner);
}

int
stream_write(Stream *s, Slice data)
{
    if (data.len == 0) {
        return 0;
    }
    uv_buf_t buf = {.base = (char *)data.ptr, .len = data.len};
    return stream_send(s, &buf, 1, 1, NULL);
}

static int
stream_send_slices(Stream *s, const Slice *slices, unsigned n, unsigned copied,
                   PyObject *owner)
{
    assert(n >= 1 && n <= STREAM_SLICES);
    uv_buf_t bufs[STREAM_SLICES];
    for (unsigned i = 0; i < n; i++) {
        bufs[i] = (uv_buf_t){.base = (char *)slices[i].ptr, .len = slices[i].len};
    }
    return stream_send(s, bufs, n, copied, owner);
}

int
stream_writev(Stream *s, const Slice *slices, unsigned n, PyObject *owner)
{
    return stream_send_slices(s, slices, n, 1, owner);
}

int
stream_write_owned(Stream *s, const Slice *slices, unsigned n, PyObject *owner)
{
    return stream_send_slices(s, slices, n, 0, owner);
}

int
stream_gather(Stream *s, uv_buf_t *bufs, unsigned n, PyObject *owner)
{
    return stream_send(s, bufs, n, owner == NULL ? n : 0, owner);
}

void
stream_drain(Stream *s)
{
    s->want_empty = true;
}
