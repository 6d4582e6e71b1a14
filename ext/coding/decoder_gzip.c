/* gzip by zlib (see decoder.h). A body may have several members, one after the other, which stand for what they
 * hold together (RFC 1952 section 2.2). */
#include "base/py.h"

#include "coding/decoder.h"
#include "coding/memory.h"

#include <uv.h>
#include <zlib.h>

enum { GZIP_WRAP = 16 }; /* added to the window's bits: gzip's header and checksum */

typedef struct GzipDecoder {
    Decoder base;
    z_stream stream;
} GzipDecoder;

static Decoder *
gunzip_open(void)
{
    GzipDecoder *self = PyMem_RawCalloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    self->base.ops = &decoder_gzip_ops;
    self->stream.zalloc = coding_zalloc;
    self->stream.zfree = coding_free;
    if (inflateInit2(&self->stream, MAX_WBITS + GZIP_WRAP) != Z_OK) {
        PyMem_RawFree(self);
        return NULL;
    }
    return &self->base;
}

/* One call of zlib's. 1 when it can go on, 0 when it has used all input, or an error. */
static int
gunzip_step(GzipDecoder *self, Buf *out, size_t before, size_t most)
{
    z_stream *stream = &self->stream;
    size_t size;
    char *room = decoder_room(out, before, most, &size);
    if (room == NULL) {
        return UV_ENOMEM;
    }
    if (self->base.complete && stream->avail_in != 0) {
        self->base.complete = false; /* another member */
        (void)inflateReset(stream);
    }
    stream->next_out = (Bytef *)room;
    stream->avail_out = size > INT32_MAX ? INT32_MAX : (uInt)size;
    int result = inflate(stream, Z_NO_FLUSH);
    out->len = (size_t)((char *)stream->next_out - out->ptr);
    if (out->len - before > most) {
        return UV_EMSGSIZE;
    }
    if (result == Z_MEM_ERROR) {
        return UV_ENOMEM;
    }
    if (result != Z_OK && result != Z_BUF_ERROR && result != Z_STREAM_END) {
        return UV_EINVAL;
    }
    self->base.complete = result == Z_STREAM_END;
    return stream->avail_in != 0 || (!self->base.complete && stream->avail_out == 0);
}

static int
gunzip_put(Decoder *base, Slice in, size_t most, Buf *out)
{
    GzipDecoder *self = (GzipDecoder *)base;
    size_t before = out->len;
    assert(in.len <= INT32_MAX); /* what one read brings */
    self->stream.next_in = (Bytef *)in.ptr;
    self->stream.avail_in = (uInt)in.len;
    int more;
    do {
        more = gunzip_step(self, out, before, most);
    } while (more > 0);
    return more;
}

static void
gunzip_close(Decoder *base)
{
    (void)inflateEnd(&((GzipDecoder *)base)->stream);
    PyMem_RawFree(base);
}

const DecoderOps decoder_gzip_ops = {
    .open = gunzip_open,
    .put = gunzip_put,
    .close = gunzip_close,
};
