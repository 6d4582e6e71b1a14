/* The two zlib streams of a connection that has negotiated permessage-deflate (RFC 7692). Each is
 * created when first needed. It is freed after each message if its context isn't kept.
 *
 * Memory: with the windows that ws_extension.c asks for, both streams together take less than
 * 60 KiB. Owned by the WsConn.
 * Thread: the loop's.
 */
#ifndef FLUVIAL_HTTP_WS_WS_DEFLATE_H
#define FLUVIAL_HTTP_WS_WS_DEFLATE_H

#include "base/py.h"
#include "base/buf.h"

#include <zlib.h>

typedef struct WsDeflateParams {
    bool on;
    bool server_no_context, client_no_context; /* the context ends with each message */
    uint8_t server_bits, client_bits;          /* of the windows: 9 to 15, 8 to 15 */
    bool client_bits_offered; /* the client understands client_max_window_bits */
} WsDeflateParams;

/* A zeroed struct: compression is off. */
typedef struct WsDeflate {
    WsDeflateParams params;
    z_stream *deflate, *inflate; /* owned; NULL until needed */
} WsDeflate;

void ws_deflate_free(WsDeflate *deflate);

/* Appends `data`, compressed as a whole message, to `out`. 0 or UV_ENOMEM. */
int ws_deflate_message(WsDeflate *deflate, Slice data, Buf *out);

typedef enum WsInflated {
    WS_INFLATE_MORE, /* all input is used, there is room left */
    WS_INFLATE_FULL, /* the room is used up: call again with the same input and new room */
    WS_INFLATE_BAD,   /* not a compressed message */
    WS_INFLATE_NOMEM, /* out of memory */
} WsInflated;

/* Decompresses from `*in` into `room` bytes at `out`. Advances `*in` past the bytes used, and sets
 * `*written` to the number of bytes produced. */
WsInflated ws_inflate(WsDeflate *deflate, Slice *in, char *out, size_t room,
                      size_t *written);
/* After WS_DEFLATE_TAIL has been decompressed: whether the message was complete. */
bool ws_inflate_end(WsDeflate *deflate);

/* The bytes that end a compressed message. They aren't sent (RFC 7692 section 7.2.1). */
#define WS_DEFLATE_TAIL ((Slice){"\0\0\xff\xff", 4})

#endif
