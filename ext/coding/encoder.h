/* Encoding of one body after the other, piece by piece (see coding.h).
 *
 * Thread: any, one at a time for each Encoder; the GIL isn't needed.
 */
#ifndef FLUVIAL_CODING_ENCODER_H
#define FLUVIAL_CODING_ENCODER_H

#include "base/py.h"
#include "base/buf.h"
#include "coding/coding.h"

typedef enum EncoderEnd {
    ENCODER_FLUSH, /* a decoder has all bytes of the piece once it has what comes out */
    ENCODER_FINISH, /* the body ends */
} EncoderEnd;

typedef struct Encoder Encoder;

/* How one coding is done. Every function but `open` gets what `open` has returned. */
typedef struct EncoderOps {
    Coding coding;
    /* NULL when out of memory. `size`: bytes of the body; -1: not known. */
    Encoder *(*open)(int level, int64_t size);
    /* Appends to `out` what becomes of `in`. 0 or UV_ENOMEM; then only
     * `again` or `close` may follow. */
    int (*put)(Encoder *self, Slice in, EncoderEnd end, Buf *out);
    /* Begins another body of the same size or less. False: it must be opened anew. */
    bool (*again)(Encoder *self, int64_t size);
    void (*close)(Encoder *self);
} EncoderOps;

/* What every encoder begins with. */
struct Encoder {
    const EncoderOps *ops; /* static */
};

/* NULL when out of memory, or when the coding is not built. */
Encoder *encoder_open(Coding coding, int level, int64_t size);

static inline int
encoder_put(Encoder *encoder, Slice in, EncoderEnd end, Buf *out)
{
    return encoder->ops->put(encoder, in, end, out);
}
static inline bool
encoder_again(Encoder *encoder, int64_t size)
{
    return encoder->ops->again(encoder, size);
}
static inline void
encoder_close(Encoder *encoder)
{
    if (encoder != NULL) {
        encoder->ops->close(encoder);
    }
}

/* The codings: encoder_gzip.c, encoder_brotli.c, encoder_zstd.c. */
extern const EncoderOps encoder_gzip_ops;
#ifdef FLUVIAL_BROTLI
extern const EncoderOps encoder_brotli_ops;
#endif
#ifdef FLUVIAL_ZSTD
extern const EncoderOps encoder_zstd_ops;
#endif

#endif
