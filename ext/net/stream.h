/* A connected byte stream over TCP, a Unix socket or a pipe: one libuv handle, its state
 * machine and its write queue. The owner (an HTTP connection, an asyncio transport) embeds the
 * struct and receives events through one const struct of functions, StreamOps.
 *
 * Thread: the loop's. Callbacks are made with the GIL held (loop_enter has been called).
 * Lifetime: between stream_open_* and on_closed libuv owns the struct's memory; the owner may
 * free it in on_closed and not before. on_closed is always the last call and comes exactly once.
 *
 * A stream may use TLS (stream_secure). Then everything here deals with plain bytes, except `queued`,
 * which counts bytes of records.
 */
#ifndef FLUVIAL_NET_STREAM_H
#define FLUVIAL_NET_STREAM_H

#include "base/py.h"
#include "base/buf.h"
#include "base/slice.h"
#include "loop/loop.h"

#include <uv.h>

enum { STREAM_SLICES = 8 }; /* at most, in one write */

typedef struct Stream Stream;
typedef struct SecureLink SecureLink;
typedef struct StreamWatch StreamWatch;

typedef struct StreamOps {
    /* Bytes have arrived. `data` lies in the loop's shared read buffer (or in the buffer from
     * on_alloc). It is valid only during the call; the callee may overwrite it. The callee may call
     * any stream function, stream_close included. */
    void (*on_data)(Stream *s, Slice data);
    /* The peer will send no more. Writing is still possible. With TLS it may come right after an
     * on_data that has stopped reading. */
    void (*on_eof)(Stream *s);
    /* Reading or writing failed with the negative UV_E* code; called once at most. The owner
     * should close: nothing is read or written any more. */
    void (*on_error)(Stream *s, int err);
    /* The peer has reset the connection, see stream_watch; the next write would fail. May be NULL. */
    void (*on_reset)(Stream *s);
    /* The bytes queued for writing have fallen to `low` or fewer after having been above
     * `high`. May be NULL. */
    void (*on_drain)(Stream *s);
    /* The handle is closed. No callback follows, and the memory is the owner's again. */
    void (*on_closed)(Stream *s);
    /* Provides the buffer for the next read, instead of the loop's shared buffer. May leave `buf`
     * empty after it has closed the stream or stopped reading. The read may yield nothing. May be
     * NULL. */
    void (*on_alloc)(Stream *s, uv_buf_t *buf);
    /* The TLS handshake is complete: data may follow at once. May be NULL. */
    void (*on_secure)(Stream *s);
    /* The first byte of a connection that should use TLS is a capital letter, as of an HTTP request without
     * it: the stream is plain now, and not reading. NULL: that is an error as any other. */
    void (*on_plain)(Stream *s);
} StreamOps;

typedef enum StreamState {
    STREAM_UNUSED,   /* zeroed or after on_closed */
    STREAM_OPEN,     /* reads and writes */
    STREAM_FLUSHING, /* stream_close(flush) was called; queued bytes are being written */
    STREAM_CLOSING,  /* libuv closes the handle; on_closed is to come */
} StreamState;

struct Stream {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    Loop *loop;           /* borrowed; the owner holds the loop */
    const StreamOps *ops; /* static */
    SecureLink *secure;   /* owned; NULL: plain */
    StreamWatch *watch;   /* owned; NULL unless watched, see stream_watch */
    StreamState state;
    bool reading;
    bool read_eof;    /* on_eof was called */
    bool over_high;   /* queued has risen above `high`; on_drain will follow */
    bool want_empty;  /* on_drain will follow when queued is 0: see stream_drain */
    bool shutting;    /* stream_shutdown was called */
    bool failed;      /* on_error was called */
    bool cut;         /* closes without close_notify, see stream_cut */
    bool reset;       /* closes with RST */
    size_t high, low; /* bytes; see on_drain. Defaults 64 KiB and 16 KiB */
    size_t queued;    /* bytes accepted by stream_write* and not yet by the kernel */
};

/* Takes ownership of the connected socket `fd`. `is_unix` selects the handle type. On an error the fd
 * stays the caller's, the struct is unused, and no callback follows. */
int stream_open_fd(Stream *s, Loop *loop, const StreamOps *ops, int fd, bool is_unix);

/* Accepts a pending connection of `listener`. The errors are as above. */
int stream_accept(Stream *s, Loop *loop, const StreamOps *ops, uv_stream_t *listener);

/* Starts the server's side of TLS on a stream that has just been opened and has no on_alloc. Takes
 * ownership of `link`. Nothing can be written before on_secure. A failed handshake or a broken record
 * causes on_error with UV_EPROTO. close_notify is sent by stream_shutdown and by a stream_close that
 * flushes. */
void stream_secure(Stream *s, SecureLink *link);
/* Passes on bytes of records that the owner has read itself before TLS began. The stream must be reading.
 * They are copied. */
void stream_secure_feed(Stream *s, Slice early);
/* Whether the handshake is complete. For streams with TLS. */
bool stream_secure_is_ready(const Stream *s);
/* Why TLS has failed: static text, or NULL. */
const char *stream_secure_reason(const Stream *s);
/* The overhead of TLS: how many bytes the records written so far have more than their contents. 0
 * without TLS. */
uint64_t stream_secure_surplus(const Stream *s);

/* Whether the stream uses TLS and its handshake is not complete. */
static inline bool
stream_is_handshaking(const Stream *s)
{
    return unlikely(s->secure != NULL) && !stream_secure_is_ready(s);
}

int stream_read_start(Stream *s);
void stream_read_stop(Stream *s);

/* Writes `data`: at once as far as the kernel takes it; the rest is copied and queued. Dropped
 * silently when the stream is closing. 0 or a negative UV_E*. Later errors are reported through
 * on_error. */
int stream_write(Stream *s, Slice data);

/* As stream_write for `n` (1 to STREAM_SLICES) slices in one system call, without copying. What the
 * kernel doesn't take stays where it is until it is written; `owner` keeps it alive (borrowed; a
 * reference is taken while needed). Only slices[0] may point to memory that `owner` doesn't keep, such
 * as a header section: its unwritten rest is copied. */
int stream_writev(Stream *s, const Slice *slices, unsigned n, PyObject *owner);

/* As stream_writev, but `owner` keeps all of the slices. */
int stream_write_owned(Stream *s, const Slice *slices, unsigned n, PyObject *owner);

/* As stream_write_owned for any number of buffers. Changes `bufs`. `owner` may be NULL: then
 * what the kernel doesn't take is copied. */
int stream_gather(Stream *s, uv_buf_t *bufs, unsigned n, PyObject *owner);

/* Requests on_drain when nothing is queued any more, regardless of `high` and `low`. */
void stream_drain(Stream *s);

/* After on_eof: watches for a reset by the peer, which causes on_reset once. A TCP peer that has closed
 * its socket sends a reset when it receives more bytes. A Unix socket reports at once that its peer has
 * closed. If no descriptor is free, nothing is watched, and only a write finds out. */
void stream_watch(Stream *s);

/* Sends FIN after the queued bytes. */
void stream_shutdown(Stream *s);

/* The peer hasn't received everything that it should. Makes sure that it can tell when the stream
 * closes: TLS ends without close_notify, and with `reset` the connection ends with RST instead of FIN.
 * A Unix socket has no RST. */
void stream_cut(Stream *s, bool reset);

/* Closes. With `flush` queued bytes are written first. The owner sets its own deadline for that and may
 * call stream_close(s, false) at any time. Without `flush` queued bytes are dropped. */
void stream_close(Stream *s, bool flush);

#endif
