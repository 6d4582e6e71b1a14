/* Frame headers and masks (see ws_frame.h). Only faults that a header shows by itself are found here;
 * ws_message.c finds those in the order of frames. Pure functions; any thread.
 */
#include "base/py.h"

#include "http/ws/ws_frame.h"

#include "http/ws/ws.h"

/* ---- Headers ----------------------------------------------------------------------------- */

static WsFault
protocol_error(const char *reason)
{
    return ws_fault_make(WS_PROTOCOL_ERROR, reason);
}

/* The payload's length. `*minimal`: whether it is encoded in as few bytes as possible. */
static uint64_t
frame_read_length(const uint8_t *head, bool *minimal)
{
    uint64_t length = head[1] & 127;
    int bytes = length < 126 ? 0 : length == 126 ? 2 : 8;
    if (bytes == 0) {
        *minimal = true;
        return length;
    }
    length = 0;
    for (int i = 0; i < bytes; i++) {
        length = length << 8 | head[2 + i];
    }
    *minimal = length > (bytes == 2 ? 125 : UINT16_MAX);
    return length;
}

WsFault
ws_head_check(const uint8_t *head)
{
    uint8_t opcode = head[0] & 15;
    bool fin = (head[0] & 0x80) != 0, rsv1 = (head[0] & 0x40) != 0;
    if (head[0] & 0x30) {
        return protocol_error("A reserved bit is set");
    }
    if ((opcode & 7) > 2) {
        return protocol_error("The opcode is reserved");
    }
    if (ws_is_control(opcode) && (!fin || rsv1)) {
        return protocol_error(fin ? "A control frame is compressed"
                                  : "A control frame is fragmented");
    }
    if (ws_is_control(opcode) && (head[1] & 127) > WS_CONTROL_MAX) {
        return protocol_error("A control frame is too long");
    }
    if (!(head[1] & 0x80)) {
        return protocol_error("A frame is not masked");
    }
    return ws_fault_make(0, NULL);
}

WsFault
ws_frame_read(WsFrame *frame, const uint8_t *head)
{
    bool minimal;
    frame->fin = (head[0] & 0x80) != 0;
    frame->rsv1 = (head[0] & 0x40) != 0;
    frame->opcode = head[0] & 15;
    frame->len = frame_read_length(head, &minimal);
    memcpy(frame->mask, head + ws_head_size(head) - 4, 4);
    if (!minimal || frame->len > INT64_MAX) {
        return protocol_error("A frame's length is malformed");
    }
    return ws_fault_make(0, NULL);
}

size_t
ws_frame_write(char *out, WsOpcode opcode, bool rsv1, uint64_t len)
{
    out[0] = (char)(0x80 | (rsv1 ? 0x40 : 0) | (int)opcode);
    if (len < 126) {
        out[1] = (char)len;
        return 2;
    }
    int bytes = len <= UINT16_MAX ? 2 : 8;
    out[1] = bytes == 2 ? 126 : 127;
    for (int i = bytes - 1; i >= 0; i--) {
        out[2 + i] = (char)len;
        len >>= 8;
    }
    return 2 + (size_t)bytes;
}

/* ---- Masks ------------------------------------------------------------------------------- */

/* Sixteen bytes at once: a vector type of the compiler, which fits a register on common machines. */
typedef uint64_t Words __attribute__((vector_size(16)));

bool
ws_unmask(char *dst, const char *src, size_t n, const uint8_t mask[4], size_t offset)
{
    uint8_t keys[sizeof(Words)];
    for (size_t i = 0; i < sizeof(keys); i++) {
        keys[i] = mask[(offset + i) & 3];
    }
    Words key, all = {0, 0};
    memcpy(&key, keys, sizeof(key));
    size_t i = 0;
    for (; n - i >= sizeof(Words); i += sizeof(Words)) {
        Words words;
        memcpy(&words, src + i, sizeof(words));
        words ^= key;
        all |= words;
        memcpy(dst + i, &words, sizeof(words));
    }
    uint8_t rest = 0;
    for (; i < n; i++) {
        dst[i] = (char)((uint8_t)src[i] ^ keys[i & 15]);
        rest |= (uint8_t)dst[i];
    }
    return ((all[0] | all[1]) & 0x8080808080808080u) == 0 && rest < 0x80;
}

bool
ws_code_is_valid(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014)
           || (code >= 3000 && code <= 4999);
}
