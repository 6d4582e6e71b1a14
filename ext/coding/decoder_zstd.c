/* zstd by libzstd (see decoder.h). A body may have several frames. A window of more than 8 MiB, for which a few
 * bytes could have as much allocated, is refused (RFC 9659), and so are frames of formats before RFC 8878, for which
 * the library may have decoders of their own. */
#include "base/py.h"

#include "coding/decoder.h"

#ifdef FLUVIAL_ZSTD

#include <uv.h>
#include <zstd.h>

enum {
    WINDOW_BITS_MAX = 23,
    MAGIC = 4,
    HEAD_MAX = 18, /* bytes of a frame's header (RFC 8878 section 3.1.1) */
};

typedef struct ZstdDecoder {
    Decoder base;
    ZSTD_DCtx *context;  /* owned */
    size_t taken;        /* bytes of the frame that the library has taken */
    uint64_t made;       /* bytes of its content */
    size_t nhead;        /* bytes in `head` */
    char head[HEAD_MAX]; /* the beginning of the frame */
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

/* Keeps the bytes with which a frame begins, of which `in` has those that the library hasn't taken: false when its magic number is neither zstd's nor that of a frame to be
 * skipped. */
static bool
unzstd_begins(ZstdDecoder *self, Slice in)
{
    static const unsigned char zstd[] = {0x28, 0xB5, 0x2F, 0xFD};
    static const unsigned char skipped[] = {0x50, 0x2A, 0x4D, 0x18};
    for (size_t i = self->nhead - self->taken; self->nhead < HEAD_MAX && i < in.len;
         i++) {
        size_t n = self->nhead++;
        self->head[n] = in.ptr[i];
        unsigned char byte = (unsigned char)in.ptr[i];
        bool skippable = ((unsigned char)self->head[0] & 0xF0) == skipped[0];
        bool known =
            skippable ? n == 0 || byte == skipped[n % MAGIC] : byte == zstd[n % MAGIC];
        if (n < MAGIC && !known) {
            return false;
        }
    }
    return true;
}

/* The frame is over: whether it had as many bytes as its header said. The library asks that only of frames that it
 * gets at once, or whose last block isn't empty. */
static bool
unzstd_ends(ZstdDecoder *self)
{
    unsigned long long said = ZSTD_getFrameContentSize(self->head, self->nhead);
    bool right = said == ZSTD_CONTENTSIZE_UNKNOWN || said == self->made;
    self->nhead = self->taken = 0;
    self->made = 0;
    return right;
}

static int
unzstd_put(Decoder *base, Slice in, size_t most, Buf *out)
{
    ZstdDecoder *self = (ZstdDecoder *)base;
    ZSTD_DCtx *context = self->context;
    ZSTD_inBuffer input = {in.ptr, 0, 0};
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
        /* The library has another way for frames that come whole, which takes some malformed ones that this doesn't,
         * and the other way round: so the first byte comes alone. */
        input.size = self->taken == 0 && input.pos < in.len ? input.pos + 1 : in.len;
        ZSTD_outBuffer output = {room, size, 0};
        size_t from = input.pos;
        wanted = ZSTD_decompressStream(context, &output, &input);
        if (ZSTD_isError(wanted)) {
            return UV_EINVAL;
        }
        made = output.pos;
        self->made += made;
        self->taken += input.pos - from;
        if (wanted == 0 && !unzstd_ends(self)) { /* it stops at a frame's end */
            return UV_EINVAL;
        }
        out->len += made;
        if (out->len - before > most) {
            return UV_EMSGSIZE;
        }
    } while (input.pos < in.len || (made == size && wanted != 0));
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
