/* zlib's streams for permessage-deflate (see ws_deflate.h). Raw deflate, flushed to a byte
 * boundary at each message's end.
 */
#include "base/py.h"

#include "http/ws/ws_deflate.h"

#include "coding/memory.h"

#include <uv.h>

enum {
    LEVEL = 6,
    MEMORY_LEVEL = 5, /* 16 KiB for the hash table and the symbols of a block */
    SMALL_WINDOW = 11,
    SMALL_MEMORY_LEVEL = 4,
    CHUNK = 4096, /* least bytes of room for output */
    TAIL = 4,     /* bytes of WS_DEFLATE_TAIL */
};

static z_stream *
stream_new(void)
{
    z_stream *stream = PyMem_RawCalloc(1, sizeof(*stream));
    if (stream != NULL) {
        stream->zalloc = coding_zalloc;
        stream->zfree = coding_free;
    }
    return stream;
}

/* As much of `len` as zlib's 32-bit counters can hold. */
static uInt
part_of(size_t len)
{
    return len > INT32_MAX ? INT32_MAX : (uInt)len;
}

/* ---- Out --------------------------------------------------------------------------------- */

static int
deflate_open(WsDeflate *self)
{
    if (self->deflate != NULL) {
        return 0;
    }
    z_stream *stream = stream_new();
    int bits = self->params.server_bits;
    int memory = bits < SMALL_WINDOW ? SMALL_MEMORY_LEVEL : MEMORY_LEVEL;
    if (stream == NULL
        || deflateInit2(stream, LEVEL, Z_DEFLATED, -bits, memory, Z_DEFAULT_STRATEGY)
               != Z_OK) {
        PyMem_RawFree(stream);
        return UV_ENOMEM;
    }
    self->deflate = stream;
    return 0;
}

static void
deflate_close(WsDeflate *self)
{
    if (self->deflate != NULL) {
        (void)deflateEnd(self->deflate);
        PyMem_RawFree(self->deflate);
        self->deflate = NULL;
    }
}

/* Compresses and flushes `data`. While zlib fills all of the room, it has more output. */
static int
deflate_run(z_stream *stream, Slice data, Buf *out)
{
    stream->next_in = (z_const Bytef *)data.ptr;
    do {
        stream->avail_in = part_of(data.len);
        data.len -= stream->avail_in;
        do {
            if (buf_reserve(out, CHUNK + stream->avail_in / 4) != 0) {
                return UV_ENOMEM;
            }
            uInt room = part_of(out->cap - out->len);
            stream->next_out = (Bytef *)out->ptr + out->len;
            stream->avail_out = room;
            (void)deflate(stream, data.len == 0 ? Z_SYNC_FLUSH : Z_NO_FLUSH);
            out->len += room - stream->avail_out;
        } while (stream->avail_out == 0);
    } while (data.len != 0);
    return 0;
}

int
ws_deflate_message(WsDeflate *self, Slice data, Buf *out)
{
    int err = deflate_open(self);
    if (err == 0) {
        err = deflate_run(self->deflate, data, out);
    }
    if (err == 0) {
        assert(memcmp(out->ptr + out->len - TAIL, WS_DEFLATE_TAIL.ptr, TAIL) == 0);
        out->len -= TAIL;
    }
    if (self->params.server_no_context || err != 0) {
        deflate_close(self);
    }
    return err;
}

/* ---- In ---------------------------------------------------------------------------------- */

static int
inflate_open(WsDeflate *self)
{
    if (self->inflate != NULL) {
        return 0;
    }
    z_stream *stream = stream_new();
    if (stream == NULL
        || inflateInit2(stream, -(int)self->params.client_bits) != Z_OK) {
        PyMem_RawFree(stream);
        return UV_ENOMEM;
    }
    self->inflate = stream;
    return 0;
}

static void
inflate_close(WsDeflate *self)
{
    if (self->inflate != NULL) {
        (void)inflateEnd(self->inflate);
        PyMem_RawFree(self->inflate);
        self->inflate = NULL;
    }
}

WsInflated
ws_inflate(WsDeflate *self, Slice *in, char *out, size_t room, size_t *written)
{
    *written = 0;
    if (inflate_open(self) != 0) {
        return WS_INFLATE_NOMEM;
    }
    z_stream *stream = self->inflate;
    uInt offered = part_of(in->len), free_room = part_of(room);
    stream->next_in = (z_const Bytef *)in->ptr;
    stream->avail_in = offered;
    stream->next_out = (Bytef *)out;
    stream->avail_out = free_room;
    int err = inflate(stream, Z_SYNC_FLUSH);
    /* After a block that is marked as the last one (RFC 7692 section 7.2.3.4), the stream starts anew
     * with the same window. A message may consist of such blocks of two bytes each, so this must be
     * cheap: inflateResetKeep copies nothing. */
    while (err == Z_STREAM_END) {
        err = inflateResetKeep(stream);
        if (err == Z_OK && stream->avail_in != 0 && stream->avail_out != 0) {
            err = inflate(stream, Z_SYNC_FLUSH);
        }
    }
    *written = free_room - stream->avail_out;
    size_t used = offered - stream->avail_in;
    *in = slice_of(in->ptr + used, in->len - used);
    if (err == Z_MEM_ERROR) {
        return WS_INFLATE_NOMEM;
    }
    if (err != Z_OK && err != Z_BUF_ERROR) {
        return WS_INFLATE_BAD;
    }
    return stream->avail_out == 0 || in->len != 0 ? WS_INFLATE_FULL : WS_INFLATE_MORE;
}

bool
ws_inflate_end(WsDeflate *self)
{
    /* zlib's data_type tells what it expects next: here a block's header, at a byte boundary. */
    bool whole = self->inflate != NULL && (self->inflate->data_type & 255) == 128;
    if (self->params.client_no_context) {
        inflate_close(self);
    }
    return whole;
}

void
ws_deflate_free(WsDeflate *self)
{
    deflate_close(self);
    inflate_close(self);
}
