/* See encoder.h. */
#include "base/py.h"

#include "coding/encoder.h"

static const EncoderOps *const encoders[CODINGS] = {
    [CODING_GZIP] = &encoder_gzip_ops,
#ifdef FLUVIAL_BROTLI
    [CODING_BROTLI] = &encoder_brotli_ops,
#endif
#ifdef FLUVIAL_ZSTD
    [CODING_ZSTD] = &encoder_zstd_ops,
#endif
};

Encoder *
encoder_open(Coding coding, int level, int64_t size)
{
    const EncoderOps *ops = encoders[coding];
    return ops != NULL ? ops->open(level, size) : NULL;
}
