/* br by libbrotlidec (see decoder.h). A body may make it allocate a window of at most 16 MiB, but a larger one is
 * refused: BROTLI_DECODER_PARAM_LARGE_WINDOW is off by default. */
#include "base/py.h"

#include "coding/decoder.h"
#include "coding/memory.h"

#ifdef FLUVIAL_BROTLI

#include <brotli/decode.h>
#include <uv.h>

typedef struct BrotliDecoder {
    Decoder base;
    BrotliDecoderState *state; /* owned */
} BrotliDecoder;

static Decoder *
unbrotli_open(void)
{
    BrotliDecoder *self = PyMem_RawCalloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    self->base.ops = &decoder_brotli_ops;
    self->state = BrotliDecoderCreateInstance(coding_alloc, coding_free, NULL);
    if (self->state == NULL) {
        PyMem_RawFree(self);
        return NULL;
    }
    return &self->base;
}

static int
unbrotli_put(Decoder *base, Slice in, size_t most, Buf *out)
{
    BrotliDecoderState *state = ((BrotliDecoder *)base)->state;
    const uint8_t *next_in = (const uint8_t *)in.ptr;
    size_t before = out->len;
    size_t left = in.len;
    BrotliDecoderResult result;
    do {
        size_t size;
        char *room = decoder_room(out, before, most, &size);
        if (room == NULL) {
            return UV_ENOMEM;
        }
        uint8_t *next_out = (uint8_t *)room;
        result = BrotliDecoderDecompressStream(state, &left, &next_in, &size, &next_out,
                                               NULL);
        out->len = (size_t)((char *)next_out - out->ptr);
        if (out->len - before > most) {
            return UV_EMSGSIZE;
        }
    } while (result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT);
    base->complete = result == BROTLI_DECODER_RESULT_SUCCESS;
    return result == BROTLI_DECODER_RESULT_ERROR || left != 0 ? UV_EINVAL : 0;
}

static void
unbrotli_close(Decoder *base)
{
    BrotliDecoderDestroyInstance(((BrotliDecoder *)base)->state);
    PyMem_RawFree(base);
}

const DecoderOps decoder_brotli_ops = {
    .open = unbrotli_open,
    .put = unbrotli_put,
    .close = unbrotli_close,
};

#endif
