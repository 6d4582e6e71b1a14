/* zstd by libzstd (see encoder.h), by functions that are stable since its version 1.4. An encoder that knows how
 * long the body is takes memory by that. */
#include "base/py.h"

#include "coding/encoder.h"

#ifdef FLUVIAL_ZSTD

#include <uv.h>
#include <zstd.h>

enum {
    WINDOW_BITS =
        19, /* 512 KiB; more than 8 MiB would be refused by clients (RFC 9659) */
    ROOM_MIN = 1024,
};

typedef struct ZstdEncoder {
    Encoder base;
    ZSTD_CCtx *context; /* owned */
} ZstdEncoder;

static bool
zstd_again(Encoder *base, int64_t size)
{
    ZSTD_CCtx *context = ((ZstdEncoder *)base)->context;
    unsigned long long pledged =
        size >= 0 ? (unsigned long long)size : ZSTD_CONTENTSIZE_UNKNOWN;
    return !ZSTD_isError(ZSTD_CCtx_reset(context, ZSTD_reset_session_only))
           && !ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(context, pledged));
}

static Encoder *
zstd_open(int level, int64_t size)
{
    ZstdEncoder *self = PyMem_RawCalloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    self->base.ops = &encoder_zstd_ops;
    self->context = ZSTD_createCCtx();
    if (self->context == NULL) {
        PyMem_RawFree(self);
        return NULL;
    }
    (void)ZSTD_CCtx_setParameter(self->context, ZSTD_c_compressionLevel, level);
    (void)ZSTD_CCtx_setParameter(self->context, ZSTD_c_windowLog, WINDOW_BITS);
    (void)zstd_again(&self->base, size);
    return &self->base;
}

static int
zstd_put(Encoder *base, Slice in, EncoderEnd end, Buf *out)
{
    ZSTD_CCtx *context = ((ZstdEncoder *)base)->context;
    ZSTD_EndDirective directive = end == ENCODER_FINISH ? ZSTD_e_end : ZSTD_e_flush;
    ZSTD_inBuffer input = {in.ptr, in.len, 0};
    size_t left;
    do {
        int err = buf_reserve(out, ROOM_MIN);
        if (err != 0) {
            return err;
        }
        ZSTD_outBuffer output = {out->ptr, out->cap, out->len};
        left = ZSTD_compressStream2(context, &output, &input, directive);
        if (ZSTD_isError(left)) {
            return UV_ENOMEM; /* its only failure: the calls are legal */
        }
        out->len = output.pos;
    } while (left != 0);
    return 0;
}

static void
zstd_close(Encoder *base)
{
    (void)ZSTD_freeCCtx(((ZstdEncoder *)base)->context);
    PyMem_RawFree(base);
}

const EncoderOps encoder_zstd_ops = {
    .coding = CODING_ZSTD,
    .open = zstd_open,
    .put = zstd_put,
    .again = zstd_again,
    .close = zstd_close,
};

#endif
