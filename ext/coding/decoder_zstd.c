/* zstd by libzstd (see decoder.h). A body may have several frames. A window of more than 8 MiB, for which a few
 * bytes could have as much allocated, is refused (RFC 9659). */
#include "base/py.h"

#include "coding/decoder.h"

#ifdef FLUVIAL_ZSTD

#include <uv.h>
#include <zstd.h>

enum { WINDOW_BITS_MAX = 23 };

typedef struct ZstdDecoder {
    Decoder base;
    ZSTD_DCtx *context; /* owned */
} ZstdDecoder;

static Decoder *
unzstd_open(void)
{
    ZstdDecoder *self = PyMem_RawCalloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    self->base.ops = &decoder_zstd_ops;
    self->context = ZSTD_createDCtx();
    if (self->context == NULL) {
        PyMem_RawFree(self);
        return NULL;
    }
    (void)ZSTD_DCtx_setParameter(self->context, ZSTD_d_windowLogMax, WINDOW_BITS_MAX);
    return &self->base;
}

static int
unzstd_put(Decoder *base, Slice in, size_t most, Buf *out)
{
    ZSTD_DCtx *context = ((ZstdDecoder *)base)->context;
    ZSTD_inBuffer input = {in.ptr, in.len, 0};
    size_t before = out->len;
    size_t wanted, made;
    size_t size;
    do {
        char *room = decoder_room(out, before, most, &size);
        if (room == NULL) {
            return UV_ENOMEM;
        }
        ZSTD_outBuffer output = {room, size, 0};
        wanted = ZSTD_decompressStream(context, &output, &input);
        if (ZSTD_isError(wanted)) {
            return UV_EINVAL;
        }
        made = output.pos;
        out->len += made;
        if (out->len - before > most) {
            return UV_EMSGSIZE;
        }
    } while (input.pos < input.size || (made == size && wanted != 0));
    base->complete = wanted == 0;
    return 0;
}

static void
unzstd_close(Decoder *base)
{
    (void)ZSTD_freeDCtx(((ZstdDecoder *)base)->context);
    PyMem_RawFree(base);
}

const DecoderOps decoder_zstd_ops = {
    .open = unzstd_open,
    .put = unzstd_put,
    .close = unzstd_close,
};

#endif
