/* zstd by libzstd (see decoder.h). A body may have several frames. A window of more than 8 MiB, for which a few
 * bytes could have as much allocated, is refused (RFC 9659), and so are frames of formats before RFC 8878, for which
 * the library may have decoders of their own. */
#include "base/py.h"

#include "coding/decoder.h"

#ifdef FLUVIAL_ZSTD

#include <uv.h>
#include <zstd.h>

enum { WINDOW_BITS_MAX = 23, MAGIC = 4 };

typedef struct ZstdDecoder {
    Decoder base;
    ZSTD_DCtx *context; /* owned */
    int nmagic; /* bytes of the frame's magic number that have come, up to MAGIC */
    bool
        skippable; /* the frame may be one that has no content; else it is a frame of zstd */
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

/* Looks at bytes with which a frame begins or goes on: false when its magic number is of neither kind of frame. */
static bool
unzstd_begins(ZstdDecoder *self, Slice in)
{
    static const unsigned char zstd[] = {0x28, 0xB5, 0x2F, 0xFD};
    static const unsigned char skipped[] = {0x50, 0x2A, 0x4D, 0x18};
    for (size_t i = 0; self->nmagic < MAGIC && i < in.len; i++) {
        unsigned char byte = (unsigned char)in.ptr[i];
        int n = self->nmagic++;
        if (n == 0) {
            self->skippable = (byte & 0xF0) == skipped[0];
        }
        bool known = self->skippable ? n == 0 || byte == skipped[n] : byte == zstd[n];
        if (!known) {
            return false;
        }
    }
    return true;
}

static int
unzstd_put(Decoder *base, Slice in, size_t most, Buf *out)
{
    ZstdDecoder *self = (ZstdDecoder *)base;
    ZSTD_DCtx *context = self->context;
    ZSTD_inBuffer input = {in.ptr, in.len, 0};
    size_t before = out->len;
    size_t wanted, made;
    size_t size;
    do {
        char *room = decoder_room(out, before, most, &size);
        if (room == NULL) {
            return UV_ENOMEM;
        }
        if (!unzstd_begins(self, slice_of(in.ptr + input.pos, in.len - input.pos))) {
            return UV_EINVAL;
        }
        ZSTD_outBuffer output = {room, size, 0};
        wanted = ZSTD_decompressStream(context, &output, &input);
        if (ZSTD_isError(wanted)) {
            return UV_EINVAL;
        }
        self->nmagic = wanted == 0 ? 0 : self->nmagic; /* it stops at a frame's end */
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
