/* Which bytes of a file a Range field requests (RFC 9110 section 14), and the body that has several of them. No
 * state. Thread: any.
 */
#ifndef FLUVIAL_FILES_BYTE_RANGES_H
#define FLUVIAL_FILES_BYTE_RANGES_H

#include "base/py.h"
#include "base/buf.h"
#include "base/slice.h"

enum {
    RANGES_MOST =
        100, /* in one field; with more it is ignored, since each costs a head and a read */
    RANGE_TEXT = 72,     /* bytes that range_describe needs at most */
    MULTIPART_TYPE = 64, /* bytes that Multipart.type has at most */
};

/* The bytes from `start` on, before `end`. */
typedef struct ByteRange {
    int64_t start, end;
} ByteRange;

/* In ascending order; none overlaps or touches another, so that no byte is sent twice. */
typedef struct ByteRanges {
    unsigned n;
    ByteRange at[RANGES_MOST];
} ByteRanges;

typedef enum RangesFound {
    RANGES_IGNORED, /* the field requests nothing that is known: the whole file is sent */
    RANGES_NONE,    /* no byte that is requested exists: 416 */
    RANGES_SOME,
} RangesFound;

/* What the value of a Range field requests of `size` bytes. */
RangesFound ranges_select(Slice value, int64_t size, ByteRanges *found);

/* Writes the value of Content-Range to `text`, which has room for RANGE_TEXT bytes. {0, 0} stands for a 416
 * response. Valid as long as `text`. */
Slice range_describe(char *text, ByteRange range, int64_t size);

typedef struct MultipartPart {
    size_t lead_end; /* in Multipart.text: where what precedes the bytes ends */
    ByteRange range; /* of the last part, which is the end of the body: empty */
} MultipartPart;

/* A body of multipart/byteranges (section 14.6). */
typedef struct Multipart {
    Buf text;                      /* owned: what precedes each part, in a row */
    char type[MULTIPART_TYPE + 1]; /* the value of Content-Type */
    int64_t length;                /* bytes of the whole body */
    unsigned n, next; /* how many parts there are; the one to be sent next */
    MultipartPart parts[RANGES_MOST + 1];
} Multipart;

/* The body with these ranges of a file of `size` bytes and of this type, which may be empty. To be freed by
 * multipart_free; NULL without memory or random bytes. */
Multipart *multipart_make(const ByteRanges *ranges, int64_t size, Slice media_type);
void multipart_free(Multipart *self); /* may be NULL */

/* The next part, and in *lead what precedes it; NULL after the last. They live as long as the body. */
const MultipartPart *multipart_next(Multipart *self, Slice *lead);

#endif
