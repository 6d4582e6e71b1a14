/* A fuzzer of compressed bodies of requests (ext/http/decoded.c): the first byte chooses the coding, how the body
 * is framed and what the layer above does with it; the rest is the body. It is sent in one piece and then in
 * pieces, must be answered the same, and as a decoder that gets it at once would have it.
 * Mutations are often of what the body stands for (LLVMFuzzerCustomMutator).
 * Thread: see app.h.
 */
#include "base/py.h"

#include "app.h"

#include "base/buf.h"
#include "coding/decoder.h"
#include "coding/encoder.h"

#include <stdio.h>

enum {
    MOST = 16 * 1024, /* bytes of a decoded body */
    CHUNK = 50,
};

/* What the first byte says: two bits each. */
typedef struct Kind {
    Coding coding;
    bool chunked;
    bool streamed;
    unsigned step;
} Kind;

static Reply whole, pieces;
static Buf request, plain, coded;

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

static Kind
kind_of(uint8_t byte)
{
    return (Kind){
        .coding = CODING_GZIP + byte % 3,
        .chunked = (byte & 16) != 0,
        .streamed = (byte & 32) != 0,
        .step = byte >> 6,
    };
}

/* ---- One input --------------------------------------------------------------------------- */

static void
put(Slice bytes)
{
    fuzz_check(buf_append_slice(&request, bytes) == 0, "no memory");
}

static void
request_make(Kind kind, Slice body)
{
    char text[128];
    Slice name = coding_name(kind.coding);
    int n = snprintf(text, sizeof text, "POST /%c HTTP/1.1\r\nHost: h\r\n",
                     kind.streamed ? '.' : '/');
    request.len = 0;
    put(slice_of(text, (size_t)n));
    put(SLICE("Content-Encoding: "));
    put(name);
    if (!kind.chunked) {
        n = snprintf(text, sizeof text, "\r\nContent-Length: %zu\r\n\r\n", body.len);
        put(slice_of(text, (size_t)n));
        put(body);
        return;
    }
    put(SLICE("\r\nTransfer-Encoding: chunked\r\n\r\n"));
    while (body.len != 0) {
        size_t len = body.len < CHUNK ? body.len : CHUNK;
        n = snprintf(text, sizeof text, "%zx\r\n", len);
        put(slice_of(text, (size_t)n));
        put(slice_of(body.ptr, len));
        put(SLICE("\r\n"));
        body = slice_of(body.ptr + len, body.len - len);
    }
    put(SLICE("0\r\n\r\n"));
}

/* Decodes at once into `plain`: whether it is a whole body, and small enough. */
static bool
decode(Coding coding, Slice body)
{
    plain.len = 0;
    Decoder *decoder = decoder_open(coding);
    fuzz_check(decoder != NULL, "no decoder");
    bool good = decoder_put(decoder, body, MOST, &plain) == 0 && decoder->complete;
    decoder_close(decoder);
    return good;
}

/* Whether it is answered as it should be. */
static void
reply_check(const Reply *reply, Kind kind, bool good)
{
    static const char start[] = "HTTP/1.1 200 OK\r\n";
    bool accepted =
        reply->len > sizeof start && memcmp(reply->bytes, start, sizeof start - 1) == 0;
    fuzz_check(accepted == good, good ? "a good body is refused" : "a bad one isn't");
    if (!good) {
        return;
    }
    char text[32];
    int n = snprintf(text, sizeof text, "%zu bytes", plain.len);
    Slice wanted = kind.streamed ? slice_of(text, (size_t)n) : buf_slice(&plain);
    fuzz_check(reply->len > wanted.len
                   && (wanted.len == 0
                       || memcmp(reply->bytes + reply->len - wanted.len, wanted.ptr,
                                 wanted.len)
                              == 0),
               "another body is answered than was sent");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {1, 7, 61, 300};
    if (size == 0) {
        return 0;
    }
    Kind kind = kind_of(data[0]);
    Slice body = slice_of((const char *)data + 1, size - 1);
    bool good = body.len == 0 || decode(kind.coding, body);
    if (body.len == 0) {
        plain.len = 0;
    }
    request_make(kind, body);
    Slice all = buf_slice(&request);
    size_t step = steps[kind.step];
    fuzz_serve(&whole, all, all.len);
    fuzz_serve(&pieces, all, step < all.len / 100 ? all.len / 100 : step);
    reply_check(&whole, kind, good);
    fuzz_compare(&whole, &pieces);
    return 0;
}

/* ---- Mutations --------------------------------------------------------------------------- */

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    bool deep = (seed & 3) != 0;
    if (size == 0 || !deep || most < 64) {
        return LLVMFuzzerMutate(data, size, most);
    }
    (void)decode(kind_of(data[0]).coding, slice_of((const char *)data + 1, size - 1));
    if ((seed & 12) == 0) {
        data[0] = (uint8_t)(seed >> 8);
    }
    size_t room = plain.len + 256;
    fuzz_check(buf_reserve(&plain, room - plain.len) == 0, "no memory");
    plain.len = LLVMFuzzerMutate((uint8_t *)plain.ptr, plain.len, room);
    Coding coding = kind_of(data[0]).coding;
    CodingLevels levels = coding_levels(coding);
    int span = levels.highest < 5 ? levels.highest : 5;
    Encoder *encoder =
        encoder_open(coding, levels.lowest + (int)(seed >> 4) % (span + 1), -1);
    coded.len = 0;
    fuzz_check(encoder != NULL, "no encoder");
    size_t half = (seed & 128) != 0 ? plain.len / 2 : 0;
    int err = half == 0 ? 0
                        : encoder_put(encoder, slice_of(plain.ptr, half), ENCODER_FLUSH,
                                      &coded);
    err = err != 0 ? err
                   : encoder_put(encoder, slice_of(plain.ptr + half, plain.len - half),
                                 ENCODER_FINISH, &coded);
    encoder_close(encoder);
    fuzz_check(err == 0, "nothing is encoded");
    if (coded.len + 1 > most) {
        return LLVMFuzzerMutate(data, size, most);
    }
    memcpy(data + 1, coded.ptr, coded.len);
    return coded.len + 1;
}

/* ---- The beginning ----------------------------------------------------------------------- */

int
LLVMFuzzerInitialize(int *Py_UNUSED(argc), char ***Py_UNUSED(argv))
{
    HttpLimits limits;
    http_limits_default(&limits);
    limits.body = MOST;
    HttpServer *server = fuzz_start(&limits);
    http_server_decode(server, (const bool[CODINGS]){false, true, true, true});
    return 0;
}
