/* A fuzzer of HTTP and WebSocket connections: what libFuzzer makes up is sent over a socket pair to a
 * connection of a real server on a real loop, in one piece and then in pieces. Both times the server
 * must answer the same and end the connection; the sanitizers and the core's assertions watch.
 * Thread: see app.h.
 */
#include "base/py.h"

#include "app.h"

static Reply whole, pieces;

/* Small ones, so that small inputs reach them. */
static void
limits_set(HttpLimits *limits)
{
    http_limits_default(limits);
    limits->request_line = 256;
    limits->header_block = 1024;
    limits->header_fields = 12;
    limits->body = 1024;
    limits->trailer_block = 128;
    limits->chunk_extensions = 64;
    limits->pipelined = 512;
    limits->ws_message = 512;
    limits->ws_frame = 256;
    limits->ws_deflate_threshold = 8;
}

/* Whether the connection went on with HTTP/2, which h2.c is for: which frames there are depends on what has arrived by
 * then. */
static bool
reply_is_h2(const Reply *reply)
{
    static const char http1[] = "HTTP/1.", upgraded[] = "\r\nupgrade: h2c\r\n";
    size_t some = reply->len < sizeof http1 - 1 ? reply->len : sizeof http1 - 1;
    return memcmp(reply->bytes, http1, some) != 0
           || memmem(reply->bytes, reply->len, upgraded, sizeof upgraded - 1) != NULL;
}

int
LLVMFuzzerInitialize(int *Py_UNUSED(argc), char ***Py_UNUSED(argv))
{
    HttpLimits limits;
    limits_set(&limits);
    (void)fuzz_start(&limits);
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {1, 2, 3, 5, 7, 16, 61, 200};
    Slice all = slice_of((const char *)data, size);
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum = sum * 31 + data[i];
    }
    fuzz_timed = false;
    fuzz_serve(&whole, all, size);
    size_t step = steps[sum >> 4 & 7];
    fuzz_serve(&pieces, all, step < size / 200 ? size / 200 : step);
    if (!reply_is_h2(&whole) && !reply_is_h2(&pieces)) {
        fuzz_compare(&whole, &pieces);
    }
    return 0;
}
