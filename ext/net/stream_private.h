/* What the files stream.c, stream_write.c, stream_watch.c and stream_tls.c, which adds TLS to a stream, need
 * of each other: with stream.h they are one thing.
 * Thread: the loop's.
 */
#ifndef FLUVIAL_NET_STREAM_PRIVATE_H
#define FLUVIAL_NET_STREAM_PRIVATE_H

#include "base/py.h"
#include "net/stream.h"

static inline Stream *
stream_of(void *handle)
{
    return container_of(handle, Stream, uv);
}

/* ---- stream.c ---------------------------------------------------------------------------- */

/* Handles a read that returned no bytes: `nread` is UV_EOF, another error, or 0 for nothing. */
void stream_read_ended(Stream *s, ssize_t nread);
/* Stops reading and calls on_error, once. */
void stream_fail(Stream *s, int err);
/* Sends FIN without a libuv request: when nothing is queued, it can be sent at once. */
void stream_send_fin(Stream *s);
/* Closes the handle now, whatever is queued. */
void stream_close_handle(Stream *s);

/* ---- stream_write.c ---------------------------------------------------------------------- */

/* Writes `out` as far as the kernel takes it and queues the rest. `out` is empty afterwards; its
 * memory may have been taken over. 0 or a negative UV_E*. */
int stream_put(Stream *s, Buf *out);

/* ---- stream_watch.c ---------------------------------------------------------------------- */

void stream_unwatch(Stream *s);

/* ---- stream_tls.c: s->secure is not NULL ---------------------------------------------- */

void stream_secure_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
void stream_secure_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf);
/* As stream_send. */
int stream_secure_send(Stream *s, const uv_buf_t *bufs, unsigned n);
/* Sends close_notify. */
void stream_secure_end(Stream *s);

#endif
