/* br by libbrotlienc (see encoder.h). Its encoders can't be used again: the library has no function for it.
 * What the first piece of a body leaves in the window, later ones refer to. */
#include "base/py.h"

#include "coding/encoder.h"
#include "coding/memory.h"

#ifdef FLUVIAL_BROTLI

#include <brotli/encode.h>
#include <uv.h>

enum {
    WINDOW_BITS = 19, /* 512 KiB: more gains little on pages, and costs memory */
    ROOM_MIN = 1024,
};

typedef struct BrotliEncoder {
    Encoder base;
    BrotliEncoderState *state; /* owned */
} BrotliEncoder;

static Encoder *
brotli_open(int level, int64_t size)
{
    BrotliEncoder *self = PyMem_RawCalloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    self->base.ops = &encoder_brotli_ops;
    self->state = BrotliEncoderCreateInstance(coding_alloc, coding_free, NULL);
    if (self->state == NULL) {
        PyMem_RawFree(self);
        return NULL;
    }
    uint32_t hint = size > 0 && size < (1 << 30) ? (uint32_t)size : 0;
    (void)BrotliEncoderSetParameter(self->state, BROTLI_PARAM_QUALITY, (uint32_t)level);
    (void)BrotliEncoderSetParameter(self->state, BROTLI_PARAM_LGWIN, WINDOW_BITS);
    (void)BrotliEncoderSetParameter(self->state, BROTLI_PARAM_SIZE_HINT, hint);
    return &self->base;
}

static int
brotli_put(Encoder *base, Slice in, EncoderEnd end, Buf *out)
{
    BrotliEncoderState *state = ((BrotliEncoder *)base)->state;
    BrotliEncoderOperation operation =
        end == ENCODER_FINISH ? BROTLI_OPERATION_FINISH : BROTLI_OPERATION_FLUSH;
    const uint8_t *next_in = (const uint8_t *)in.ptr;
    size_t left = in.len;
    do {
        int err = buf_reserve(out, ROOM_MIN);
        if (err != 0) {
            return err;
        }
        size_t room = out->cap - out->len;
        uint8_t *next_out = (uint8_t *)(out->ptr + out->len);
        if (!BrotliEncoderCompressStream(state, operation, &left, &next_in, &room,
                                         &next_out, NULL)) {
            return UV_ENOMEM; /* its only failure: the calls are legal */
        }
        out->len = (size_t)((char *)next_out - out->ptr);
    } while (left != 0 || BrotliEncoderHasMoreOutput(state));
    return 0;
}

static bool
brotli_again(Encoder *Py_UNUSED(base), int64_t Py_UNUSED(size))
{
    return false;
}

static void
brotli_close(Encoder *base)
{
    BrotliEncoderDestroyInstance(((BrotliEncoder *)base)->state);
    PyMem_RawFree(base);
}

const EncoderOps encoder_brotli_ops = {
    .coding = CODING_BROTLI,
    .open = brotli_open,
    .put = brotli_put,
    .again = brotli_again,
    .close = brotli_close,
};

#endif
