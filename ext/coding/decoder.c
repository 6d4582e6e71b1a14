/* See decoder.h. */
#include "base/py.h"

#include "coding/decoder.h"

enum { ROOM_MIN = 16 * 1024 }; /* bytes */

static const DecoderOps *const decoders[CODINGS] = {
    [CODING_GZIP] = &decoder_gzip_ops,
#ifdef FLUVIAL_BROTLI
    [CODING_BROTLI] = &decoder_brotli_ops,
#endif
#ifdef FLUVIAL_ZSTD
    [CODING_ZSTD] = &decoder_zstd_ops,
#endif
};

Decoder *
decoder_open(Coding coding)
{
    const DecoderOps *ops = decoders[coding];
    return ops != NULL ? ops->open() : NULL;
}

char *
decoder_room(Buf *out, size_t before, size_t most, size_t *size)
{
    if (buf_reserve(out, ROOM_MIN) != 0) {
        return NULL;
    }
    size_t made = out->len - before;
    size_t room = out->cap - out->len;
    *size = room <= most - made ? room : most - made + 1;
    return out->ptr + out->len;
}
