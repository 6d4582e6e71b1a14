/* A growable run of bytes in raw memory.
 *
 * A zeroed Buf is empty and valid. The owner calls buf_free once; buf_clear keeps the memory
 * for the next use. Functions that can grow the buffer return 0, or UV_ENOMEM with the content
 * unchanged.
 * Thread: any, one at a time; the GIL is not needed.
 */
#ifndef FLUVIAL_BASE_BUF_H
#define FLUVIAL_BASE_BUF_H

#include "base/slice.h"

typedef struct Buf {
    char *ptr;
    size_t len; /* bytes in use */
    size_t cap; /* bytes allocated */
} Buf;

/* Makes room for `more` bytes after the content. */
int buf_reserve_slow(Buf *buf, size_t more);
void buf_free(Buf *buf);
/* Empties the buffer; frees its memory if that is more than `keep` bytes. */
void buf_reset(Buf *buf, size_t keep);
/* Drops the first `n` bytes of the content. */
void buf_consume(Buf *buf, size_t n);

static inline int
buf_reserve(Buf *buf, size_t more)
{
    return likely(buf->cap - buf->len >= more) ? 0 : buf_reserve_slow(buf, more);
}

static inline int
buf_append(Buf *buf, const char *ptr, size_t len)
{
    int err = buf_reserve(buf, len);
    if (unlikely(err != 0)) {
        return err;
    }
    if (len != 0) {
        memcpy(buf->ptr + buf->len, ptr, len);
        buf->len += len;
    }
    return 0;
}

static inline int
buf_append_slice(Buf *buf, Slice s)
{
    return buf_append(buf, s.ptr, s.len);
}

static inline void
buf_clear(Buf *buf)
{
    buf->len = 0;
}

static inline Slice
buf_slice(const Buf *buf)
{
    return (Slice){buf->ptr, buf->len};
}

#endif
