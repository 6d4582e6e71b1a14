/* A WebSocket's state, for the files that share it:
 *
 *   ws_handshake.c  the opening handshake
 *   ws_extension.c  negotiation of permessage-deflate
 *   ws_conn.c       from acceptance to the end: states, timeouts, the close handshake
 *   ws_reader.c     bytes to frames, control frames
 *   ws_message.c    payloads to messages
 *   ws_writer.c     messages to bytes
 *   ws_deflate.c    zlib
 *   ws_h2.c         the same on a stream of HTTP/2
 *
 * It lives from ws_accept until the HttpConn, which calls it through UpgradeOps, closes, or until the WebSocket ends.
 * The HttpConn still manages stream, deadlines and unparsed bytes.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_WS_WS_CONN_H
#define FLUVIAL_HTTP_WS_WS_CONN_H

#include "base/py.h"
#include "base/utf8.h"
#include "http/conn.h"
#include "http/ws/ws.h"
#include "http/ws/ws_deflate.h"
#include "http/ws/ws_frame.h"

typedef enum WsState {
    WS_OPEN,
    WS_CLOSE_SENT, /* our close frame is sent, the client's is still to come */
} WsState;

/* The message that is arriving. */
typedef struct WsMessage {
    bool begun; /* a frame of it has begun, the final one hasn't ended */
    bool text, compressed;
    bool ascii;       /* all text so far */
    Utf8 utf8;        /* state of validation, for text */
    PyObject *whole;  /* owned: the message, if it arrived in one piece; or NULL */
    PyObject *buffer; /* owned: the bytes object that is being filled, or NULL */
    size_t len;       /* bytes used of the buffer */
    uint64_t taken;   /* compressed bytes received */
} WsMessage;

/* Payloads of control frames: most have none. */
typedef struct WsControl {
    char payload[WS_CONTROL_MAX]; /* of the current frame */
    char pong[WS_CONTROL_MAX];    /* of the pong that is due */
} WsControl;

/* What one connection may cost in one iteration of the loop, in estimated nanoseconds. Estimates are
 * used because a measured time would depend on how busy the machine is. */
enum {
    WS_TURN = 500 * 1000,
    WS_FRAME_COST = 300, /* of handling one frame */
    WS_INFLATE_COST =
        200, /* of a compressed byte: short blocks with their tables are slow */
    WS_INFLATED_COST = 2,   /* of a decompressed byte */
    WS_INFLATE_STEP = 1024, /* compressed bytes between two checks of WsConn.spent */
};

struct WsConn {
    HttpServer *server; /* borrowed */
    HttpConn *conn;     /* borrowed; HttpConn.upgraded is this; NULL: by HTTP/2 */
    H2Stream *stream;   /* borrowed; by HTTP/2, its tunnel is this; else NULL */
    const WsOps *ops;   /* static */
    void *context;      /* the upper layer's */
    WsDeflate deflate;  /* zeroed when not negotiated */
    WsState state;
    bool paused;            /* ws_pause */
    bool heard;             /* bytes have arrived since DEADLINE_WS_PING was set */
    bool pinged;            /* a ping is sent and nothing has arrived since */
    bool due;               /* by HTTP/2: the fault's turn has come */
    DeadlineKind waits_for; /* by HTTP/2: what for, since `waits_since` (uv_now()) */
    uint64_t waits_since;
    WsFault fault; /* a violation by the client that waits for ws_idle */

    uint64_t turn;  /* uv_now() of the iteration that `spent` belongs to */
    uint32_t spent; /* part of WS_TURN that is used up */

    /* The current frame. */
    WsFrame frame;
    uint64_t left;    /* bytes of its payload still to come */
    bool in_frame;    /* its header is complete */
    uint8_t head_len; /* bytes in `head`: of an incomplete header */
    uint8_t head[WS_HEAD_MAX];
    uint8_t control_len; /* bytes in control->payload */
    uint8_t pong_len;    /* bytes in control->pong */
    bool pong_due;       /* a pong waits until fewer bytes are queued */
    WsControl *control;  /* owned; NULL until a control frame has a payload */

    WsMessage message;
};

static inline const HttpLimits *
ws_limits(const WsConn *ws)
{
    return &ws->server->limits;
}

/* ---- ws_reader.c ------------------------------------------------------------------------- */

/* Reads bytes as UpgradeOps.read does, in the iteration of `turn` (uv_now()). `*place` is `ws` until the WebSocket ends. */
size_t ws_feed(WsConn *ws, void *const *place, uint64_t turn, char *ptr, size_t len,
               bool *yielded);

/* ---- ws_handshake.c ---------------------------------------------------------------------- */

/* Adds the fields of the response that accepts to `out`, which is empty. 0; UV_EINVAL for a subprotocol that is not a token
 * or an offer that ws_check refuses; UV_ENOMEM. `deflate` may be NULL. */
int ws_handshake_fields(HttpRequest *req, const WsAccept *accept,
                        const WsDeflateParams *deflate, HttpFields *out);
/* Appends the 101 response to the server's buffer. The result is the same. */
int ws_handshake_write(HttpRequest *req, const WsAccept *accept,
                       const WsDeflateParams *deflate);

/* ---- ws_extension.c ---------------------------------------------------------------------- */

/* Accepts the first offer of permessage-deflate that can be met. False when there is none. */
bool ws_extension_choose(const HttpRequest *req, WsDeflateParams *out);
enum { WS_EXTENSION_MAX = 160 };
/* Writes the value of Sec-WebSocket-Extensions, at most WS_EXTENSION_MAX bytes. Returns its length. */
size_t ws_extension_write(char *out, const WsDeflateParams *params);

/* ---- ws_conn.c --------------------------------------------------------------------------- */

/* The client has broken a rule or a limit: sends a close frame and ends the connection. */
void ws_fail(WsConn *ws, WsFault fault);
/* The same, after the upper layer has handled the messages before. */
void ws_fail_in_turn(WsConn *ws, WsFault fault);
/* The client's close frame has arrived: replies to it and ends the connection. `code` is WS_NO_CODE
 * when it has none. */
void ws_closed(WsConn *ws, int code, Slice reason);

/* Each of these may end the WebSocket, and then frees it. */
void ws_lost(WsConn *ws, Slice reason);
/* By HTTP/2: the client has ended its stream without a close frame, which is TCP's FIN (RFC 8441 section 5). So does the
 * server. */
void ws_half_closed(WsConn *ws);
void ws_drop_it(WsConn *ws);
void ws_drain_it(WsConn *ws);
bool ws_is_stuck(const WsConn *ws, bool due);
void ws_drained_it(WsConn *ws);
DeadlineKind ws_waits_for(const WsConn *ws);
void ws_waited(WsConn *ws, DeadlineKind kind);

/* ---- ws_h2.c ----------------------------------------------------------------------------- */

/* ws_accept for a request by HTTP/2. `ws` is zeroed but for `deflate`; the caller frees it after an error. */
int ws_h2_open(HttpRequest *req, const WsAccept *accept, WsConn *ws);

/* ---- ws_message.c: each returns the fault, code 0 when there is none --------------------- */

/* A data frame begins. The limits are checked before any of its bytes are kept. */
WsFault ws_message_frame(WsConn *ws);
/* A piece of the frame's payload, still masked; it may be unmasked in place. `offset` is its position
 * in the payload. */
WsFault ws_message_piece(WsConn *ws, char *ptr, size_t len, uint64_t offset);
/* The final frame has ended. *out is the whole message, a new reference. */
WsFault ws_message_end(WsConn *ws, PyObject **out);
void ws_message_clear(WsMessage *message);

/* ---- ws_writer.c ------------------------------------------------------------------------- */

/* Writes a control frame, whatever the state; at most WS_CONTROL_MAX bytes of payload. */
void ws_write_control(WsConn *ws, WsOpcode opcode, Slice payload);

#endif
