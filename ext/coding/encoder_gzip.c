/* gzip by zlib (see encoder.h). An encoder takes 268 KiB, whatever the size of the body, so it is worth keeping
 * for the next one. */
#include "base/py.h"

#include "coding/encoder.h"
#include "coding/memory.h"

#include <uv.h>
#include <zlib.h>

enum {
    GZIP_WRAP = 16,  /* added to the window's bits: with gzip's header and checksum */
    ROOM_MIN = 1024, /* bytes; zlib needs more than six of them to flush only once */
};

typedef struct GzipEncoder {
    Encoder base;
    z_stream stream;
} GzipEncoder;

static Encoder *
gzip_open(int level, int64_t Py_UNUSED(size))
{
    GzipEncoder *self = PyMem_RawCalloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    self->base.ops = &encoder_gzip_ops;
    self->stream.zalloc = coding_zalloc;
    self->stream.zfree = coding_free;
    if (deflateInit2(&self->stream, level, Z_DEFLATED, MAX_WBITS + GZIP_WRAP,
                     MAX_MEM_LEVEL - 1, Z_DEFAULT_STRATEGY)
        != Z_OK) {
        PyMem_RawFree(self);
        return NULL;
    }
    return &self->base;
}

/* Appends what zlib gives for the input that it has, until there is no more. */
static int
gzip_drain(z_stream *stream, int flush, Buf *out)
{
    do {
        int err = buf_reserve(out, ROOM_MIN);
        if (err != 0) {
            return err;
        }
        size_t room = out->cap - out->len;
        stream->avail_out = room > INT32_MAX ? INT32_MAX : (uInt)room;
        stream->next_out = (Bytef *)(out->ptr + out->len);
        (void)deflate(stream, flush); /* Z_BUF_ERROR: nothing was left to do */
        out->len = (size_t)((char *)stream->next_out - out->ptr);
    } while (stream->avail_out == 0);
    return 0;
}

static int
gzip_put(Encoder *base, Slice in, EncoderEnd end, Buf *out)
{
    z_stream *stream = &((GzipEncoder *)base)->stream;
    stream->next_in = (Bytef *)in.ptr;
    int err = 0;
    do {
        stream->avail_in = in.len > INT32_MAX ? INT32_MAX : (uInt)in.len;
        in.len -= stream->avail_in;
        int flush = in.len != 0             ? Z_NO_FLUSH
                    : end == ENCODER_FINISH ? Z_FINISH
                                            : Z_SYNC_FLUSH;
        err = gzip_drain(stream, flush, out);
    } while (err == 0 && in.len != 0);
    return err;
}

static bool
gzip_again(Encoder *base, int64_t Py_UNUSED(size))
{
    return deflateReset(&((GzipEncoder *)base)->stream) == Z_OK;
}

static void
gzip_close(Encoder *base)
{
    (void)deflateEnd(&((GzipEncoder *)base)->stream);
    PyMem_RawFree(base);
}

const EncoderOps encoder_gzip_ops = {
    .coding = CODING_GZIP,
    .open = gzip_open,
    .put = gzip_put,
    .again = gzip_again,
    .close = gzip_close,
};
