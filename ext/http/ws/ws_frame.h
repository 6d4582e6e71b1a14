/* WebSocket frames as bytes (RFC 6455 section 5.2): their headers read and written, payloads
 * masked and unmasked, and what is wrong with a header by itself. No state.
 * Thread: any.
 */
#ifndef FLUVIAL_HTTP_WS_WS_FRAME_H
#define FLUVIAL_HTTP_WS_WS_FRAME_H

#include "base/py.h"
#include "base/slice.h"

enum {
    WS_HEAD_MAX = 14,      /* bytes: 2, 8 of length, 4 of mask */
    WS_HEAD_SENT_MAX = 10, /* the same without mask */
    WS_CONTROL_MAX = 125,  /* bytes of a control frame's payload */
};

typedef enum WsOpcode {
    WS_OP_CONTINUATION = 0,
    WS_OP_TEXT = 1,
    WS_OP_BINARY = 2,
    WS_OP_CLOSE = 8,
    WS_OP_PING = 9,
    WS_OP_PONG = 10,
} WsOpcode;

typedef struct WsFrame {
    uint8_t opcode; /* WsOpcode, once ws_frame_read had no objection */
    bool fin, rsv1;
    uint8_t mask[4];
    uint64_t len; /* bytes of payload */
} WsFrame;

/* Why the connection fails: the code and the reason that the client is told. Code 0: it doesn't. */
typedef struct WsFault {
    int code;
    const char *reason; /* static */
    const char *limit;  /* static: the field of HttpLimits that was exceeded, or NULL */
} WsFault;

static inline WsFault
ws_fault_make(int code, const char *reason)
{
    return (WsFault){code, reason, NULL};
}

static inline bool
ws_is_control(uint8_t opcode)
{
    return (opcode & 8) != 0;
}

/* What is wrong with a client's header, as far as its first two bytes tell. */
WsFault ws_head_check(const uint8_t *head);

/* The bytes of a header that ws_head_check has passed, by its first two. */
static inline size_t
ws_head_size(const uint8_t *head)
{
    size_t length = head[1] & 127;
    return length < 126 ? 6 : length == 126 ? 8 : 14;
}

/* Reads a client's whole header, which ws_head_check has passed. */
WsFault ws_frame_read(WsFrame *frame, const uint8_t *head);

/* Writes a server's header of a final frame: at most WS_HEAD_SENT_MAX bytes; how many. */
size_t ws_frame_write(char *out, WsOpcode opcode, bool rsv1, uint64_t len);

/* Applies the mask, from its byte `offset` on, to `n` bytes from `src` into `dst`, which are the same
 * place or apart. Whether all that came out is ASCII. */
bool ws_unmask(char *dst, const char *src, size_t n, const uint8_t mask[4],
               size_t offset);

/* Whether a close frame may carry the code (section 7.4 and IANA's registry). */
bool ws_code_is_valid(int code);

#endif
