/* Decoding of one body, piece by piece (see coding.h).
 *
 * Thread: any, one at a time for each Decoder; the GIL isn't needed.
 */
#ifndef FLUVIAL_CODING_DECODER_H
#define FLUVIAL_CODING_DECODER_H

#include "base/py.h"
#include "base/buf.h"
#include "coding/coding.h"

typedef struct Decoder Decoder;

/* How one coding is undone. Every function but `open` gets what `open` has returned. */
typedef struct DecoderOps {
    Decoder *(*open)(void); /* NULL when out of memory */
    /* Appends to `out` what `in` stands for, but not more than `most` bytes. 0; UV_EMSGSIZE when there is more;
     * UV_EINVAL when it isn't this coding; UV_ENOMEM. After an error nothing but `close` may follow. */
    int (*put)(Decoder *self, Slice in, size_t most, Buf *out);
    void (*close)(Decoder *self);
} DecoderOps;

/* What every decoder begins with. */
struct Decoder {
    const DecoderOps *ops; /* static */
    bool complete;         /* what was decoded is a whole body */
};

/* NULL when out of memory, or when the coding is not built. */
Decoder *decoder_open(Coding coding);

static inline int
decoder_put(Decoder *decoder, Slice in, size_t most, Buf *out)
{
    return decoder->ops->put(decoder, in, most, out);
}
static inline void
decoder_close(Decoder *decoder)
{
    if (decoder != NULL) {
        decoder->ops->close(decoder);
    }
}

/* Makes room for output: where it begins, and its size. One byte more than `most` allows shows that there is
 * more. `before` is out->len at the first call. NULL when out of memory. */
char *decoder_room(Buf *out, size_t before, size_t most, size_t *size);

/* The codings: decoder_gzip.c, decoder_brotli.c, decoder_zstd.c. */
extern const DecoderOps decoder_gzip_ops;
#ifdef FLUVIAL_BROTLI
extern const DecoderOps decoder_brotli_ops;
#endif
#ifdef FLUVIAL_ZSTD
extern const DecoderOps decoder_zstd_ops;
#endif

#endif
