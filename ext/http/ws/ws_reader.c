/* Bytes to frames: reads headers, which may arrive in pieces, and passes payloads on. Control frames are
 * handled here, also between the fragments of a message (RFC 6455 sections 5.4 and 5.5). The loop's
 * thread.
 *
 * Each call to the layer above may end the connection, which frees the WsConn. After such a call
 * the place that has led to it is looked at to find out.
 */
#include "base/py.h"

#include "base/utf8.h"
#include "http/ws/ws_conn.h"

/* ---- Control frames ---------------------------------------------------------------------- */

static Slice
control_payload(const WsConn *ws)
{
    return slice_of(ws->control == NULL ? "" : ws->control->payload, ws->control_len);
}

static WsFault
control_close(WsConn *ws)
{
    Slice payload = control_payload(ws);
    if (payload.len == 0) {
        ws_closed(ws, WS_NO_CODE, payload);
        return ws_fault_make(0, NULL);
    }
    int code =
        payload.len < 2 ? 0 : (uint8_t)payload.ptr[0] << 8 | (uint8_t)payload.ptr[1];
    if (!ws_code_is_valid(code)) {
        return ws_fault_make(WS_PROTOCOL_ERROR, "The close code is not valid");
    }
    Utf8 utf8 = {0};
    Slice reason = slice_of(payload.ptr + 2, payload.len - 2);
    if (!utf8_feed(&utf8, reason) || !utf8_is_whole(&utf8)) {
        return ws_fault_make(WS_INVALID_DATA, "The close reason is not UTF-8");
    }
    ws_closed(ws, code, reason);
    return ws_fault_make(0, NULL);
}

/* Replies with a pong. When much is queued already, only the last ping gets a pong, later (section
 * 5.5.3). */
static void
control_ping(WsConn *ws)
{
    if (ws->state != WS_OPEN) {
        return;
    }
    Slice payload = control_payload(ws);
    if (!ws_is_full(ws)) {
        ws_write_control(ws, WS_OP_PONG, payload);
        return;
    }
    ws->pong_due = true;
    ws->pong_len = ws->control_len;
    if (payload.len != 0) {
        memcpy(ws->control->pong, payload.ptr, payload.len);
    }
}

static WsFault
control_end(WsConn *ws)
{
    switch ((WsOpcode)ws->frame.opcode) {
    case WS_OP_CLOSE:
        return control_close(ws);
    case WS_OP_PING:
        control_ping(ws);
        break;
    case WS_OP_PONG: /* ws_feed has noted that something has arrived */
        break;
    case WS_OP_CONTINUATION:
    case WS_OP_TEXT:
    case WS_OP_BINARY:
        Py_UNREACHABLE();
    }
    return ws_fault_make(0, NULL);
}

/* ---- Frames ------------------------------------------------------------------------------ */

static WsFault
message_end(WsConn *ws)
{
    PyObject *message;
    WsFault fault = ws_message_end(ws, &message);
    if (message != NULL) {
        ws->ops->on_message(ws, message);
    }
    return fault;
}

/* The payload is complete. */
static WsFault
frame_end(WsConn *ws)
{
    ws->in_frame = false;
    if (ws_is_control(ws->frame.opcode)) {
        return control_end(ws);
    }
    return ws->frame.fin ? message_end(ws) : ws_fault_make(0, NULL);
}

static WsFault
frame_begin(WsConn *ws, const uint8_t *head)
{
    WsFault fault = ws_frame_read(&ws->frame, head);
    if (fault.code == 0 && !ws_is_control(ws->frame.opcode)) {
        fault = ws_message_frame(ws);
    }
    if (fault.code != 0) {
        return fault;
    }
    ws->in_frame = true;
    ws->spent += WS_FRAME_COST;
    ws->left = ws->frame.len;
    ws->control_len = 0;
    return ws->left == 0 ? frame_end(ws) : fault;
}

/* Reads one byte of a header that arrives in pieces. */
static WsFault
frame_read_head_byte(WsConn *ws, uint8_t byte)
{
    ws->head[ws->head_len++] = byte;
    if (ws->head_len == 2) {
        return ws_head_check(ws->head);
    }
    if (ws->head_len > 2 && ws->head_len == ws_head_size(ws->head)) {
        ws->head_len = 0;
        return frame_begin(ws, ws->head);
    }
    return ws_fault_make(0, NULL);
}

/* Reads bytes of a header; `*used` is their number. */
static WsFault
frame_read_head(WsConn *ws, const char *ptr, size_t len, size_t *used)
{
    const uint8_t *head = (const uint8_t *)ptr;
    if (unlikely(ws->head_len != 0 || len < 2 || len < ws_head_size(head))) {
        *used = 1;
        return frame_read_head_byte(ws, head[0]);
    }
    *used = ws_head_size(head);
    WsFault fault = ws_head_check(head);
    return fault.code == 0 ? frame_begin(ws, head) : fault;
}

/* Keeps bytes of a control frame's payload, from its position `offset` on. */
static WsFault
control_piece(WsConn *ws, const char *ptr, size_t len, uint64_t offset)
{
    if (ws->control == NULL) {
        ws->control = PyMem_RawMalloc(sizeof(*ws->control));
        if (ws->control == NULL) {
            return ws_fault_make(WS_INTERNAL_ERROR, "The server is out of memory");
        }
    }
    (void)ws_unmask(ws->control->payload + offset, ptr, len, ws->frame.mask, offset);
    ws->control_len = (uint8_t)(offset + len);
    return ws_fault_make(0, NULL);
}

/* Reads bytes of a payload; `*used` is their number. */
static WsFault
frame_read_payload(WsConn *ws, char *ptr, size_t len, size_t *used)
{
    uint64_t offset = ws->frame.len - ws->left;
    size_t n = len < ws->left ? len : (size_t)ws->left;
    bool control = ws_is_control(ws->frame.opcode);
    WsFault fault;
    if (unlikely(ws->message.compressed) && !control) {
        n = n < WS_INFLATE_STEP ? n : WS_INFLATE_STEP;
        size_t before = ws->message.len;
        fault = ws_message_piece(ws, ptr, n, offset);
        ws->spent += (uint32_t)(n * WS_INFLATE_COST
                                + (ws->message.len - before) * WS_INFLATED_COST);
    } else {
        fault = control ? control_piece(ws, ptr, n, offset)
                        : ws_message_piece(ws, ptr, n, offset);
    }
    *used = n;
    ws->left -= n;
    return fault.code == 0 && ws->left == 0 ? frame_end(ws) : fault;
}

size_t
ws_feed(WsConn *ws, void *const *place, uint64_t turn, char *ptr, size_t len,
        bool *yielded)
{
    size_t used = 0;
    if (unlikely(ws->fault.code != 0)) {
        ws_fail(ws, ws->fault);
        return len;
    }
    ws->heard = true;
    ws->pinged = false;
    if (ws->turn != turn) {
        ws->turn = turn;
        ws->spent = 0;
    }
    while (used < len && !ws->paused) {
        if (unlikely(ws->spent >= WS_TURN)) {
            *yielded = true;
            break;
        }
        size_t n;
        WsFault fault = ws->in_frame
                            ? frame_read_payload(ws, ptr + used, len - used, &n)
                            : frame_read_head(ws, ptr + used, len - used, &n);
        used += n;
        if (*place != ws) {
            return len; /* the WebSocket has ended; the rest is ignored */
        }
        if (fault.code != 0) {
            ws_fail_in_turn(ws, fault);
            return len;
        }
    }
    return used;
}
