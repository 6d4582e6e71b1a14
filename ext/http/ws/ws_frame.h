/* WebSocket frames as bytes (RFC 6455 section 5.2): reading, checking and writing headers, and unmasking
 * payloads. No state.
 * Thread: any.
 */
#ifndef FLUVIAL_HTTP_WS_WS_FRAME_H
#define FLUVIAL_HTTP_WS_WS_FRAME_H

#include "base/py.h"
#include "base/slice.h"

enum {
    WS_HEAD_MAX = 14,      /* bytes: 2, 8 of length, 4 of mask */
    WS_HEAD_SENT_MAX = 10, /* bytes without the mask */
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
    uint8_t opcode; /* a WsOpcode, after ws_frame_read has found no fault */
    bool fin, rsv1;
    uint8_t mask[4];
    uint64_t len; /* bytes of payload */
} WsFrame;

/* Why the connection fails: the close code and the reason for the client. Code 0: no fault. */
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

/* Checks the first two bytes of a client's header. */
WsFault ws_head_check(const uint8_t *head);

/* The length of a client's header that ws_head_check has passed, from its first two bytes. */
static inline size_t
ws_head_size(const uint8_t *head)
{
    size_t length = head[1] & 127;
    return length < 126 ? 6 : length == 126 ? 8 : 14;
}

/* Reads a client's whole header, which ws_head_check has passed. */
WsFault ws_frame_read(WsFrame *frame, const uint8_t *head);

/* Writes a server's header of a final frame, at most WS_HEAD_SENT_MAX bytes. Returns its length. */
size_t ws_frame_write(char *out, WsOpcode opcode, bool rsv1, uint64_t len);

/* Unmasks `n` bytes from `src` into `dst`, starting with byte `offset` of the mask (modulo 4). `src` and
 * `dst` are equal or don't overlap. Whether all unmasked bytes are ASCII. */
bool ws_unmask(char *dst, const char *src, size_t n, const uint8_t mask[4],
               size_t offset);

/* Whether a close frame may carry the code (section 7.4 and IANA's registry). */
bool ws_code_is_valid(int code);

#endif
