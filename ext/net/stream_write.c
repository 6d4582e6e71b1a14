/* How streams write (see stream.h). Bytes are offered to the kernel at once; only what it refuses becomes a
 * StreamWrite, a request that libuv owns until its callback. Everything runs on the loop's thread with the GIL.
 */
#include "base/py.h"

#include "net/stream_private.h"

#include "base/probe.h"

enum {
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
