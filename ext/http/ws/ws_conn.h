/* A WebSocket's state, for the files that share it:
 *
 *   ws_handshake.c  the offer of an upgrade and the answer to it
 *   ws_extension.c  what permessage-deflate shall be like
 *   ws.c            from acceptance to the end: states, timeouts, the close handshake
 *   ws_reader.c     bytes to frames, control frames
 *   ws_message.c    payloads to messages
 *   ws_writer.c     messages to bytes
 *   ws_deflate.c    zlib
 *
 * The HttpConn owns it, from ws_accept on; it keeps stream, deadlines and unparsed bytes.
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
    WS_CLOSE_SENT, /* ours is out, the client's close frame is to come */
} WsState;

/* The message that is coming in. */
typedef struct WsMessage {
    bool begun; /* frames of it have come, the final one hasn't ended */
    bool text, compressed;
    bool ascii;       /* all text so far */
    Utf8 utf8;        /* of text */
    PyObject *whole;  /* owned: the message that came in one piece, or NULL */
    PyObject *buffer; /* owned bytes object that is being filled, or NULL */
    size_t len;       /* bytes used in it */
    uint64_t taken;   /* compressed bytes that have come */
} WsMessage;

/* Payloads of control frames: most have none. */
typedef struct WsControl {
    char payload[WS_CONTROL_MAX]; /* of the frame under way */
    char pong[WS_CONTROL_MAX];
} WsControl;

/* What one connection may cost in one turn of the loop, in nanoseconds by estimate: estimates don't
 * depend on how busy the machine is. */
enum {
    WS_TURN = 500 * 1000,
    WS_FRAME_COST = 300, /* of a frame with what it says */
    WS_INFLATE_COST =
        200, /* of a compressed byte; the tables of short blocks cost that much */
    WS_INFLATED_COST = 2, /* of a byte that came of it */
    WS_INFLATE_STEP =
        1024, /* compressed bytes between two looks at what has been spent */
};

struct WsConn {
    HttpConn *conn;    /* borrowed: the owner */
    const WsOps *ops;  /* static */
    void *context;     /* the upper layer's */
    WsDeflate deflate; /* zeroed when not negotiated */
    WsState state;
    bool paused;   /* ws_pause */
    bool heard;    /* something came since the ping timer was set */
    bool pinged;   /* our ping is out and nothing came since */
    WsFault fault; /* the client's; waits for ws_idle */

    uint64_t turn;  /* uv_now() of the loop's turn that `spent` belongs to */
    uint32_t spent; /* of WS_TURN */

    /* The frame under way. */
    WsFrame frame;
    uint64_t left;    /* bytes of its payload to come */
    bool in_frame;    /* its header is complete */
    uint8_t head_len; /* bytes in `head`: of an incomplete header */
    uint8_t head[WS_HEAD_MAX];
    uint8_t control_len; /* bytes in control->payload */
    uint8_t pong_len;    /* bytes in control->pong */
    bool pong_due;       /* a pong waits until less is queued for writing */
    WsControl *control;  /* owned; NULL until a control frame has a payload */

    WsMessage message;
};

static inline const HttpLimits *
ws_limits(const WsConn *ws)
{
    return &ws->conn->server->limits;
}

/* ---- For conn.c and exchange.c ----------------------------------------------------------- */

/* Takes bytes in, which it may change, until they are used up, the connection is paused or at its end.
 * How many were used. */
size_t ws_read(HttpConn *c, char *ptr, size_t len);
/* The client sends nothing more, without having closed. */
void ws_eof(HttpConn *c);
/* The connection is being closed under the WebSocket. */
void ws_drop(HttpConn *c);
/* Less is queued for writing. */
void ws_drained(HttpConn *c);
/* The server drains. */
void ws_drain(HttpConn *c);
DeadlineKind ws_deadline(const HttpConn *c);
void ws_expired(HttpConn *c, DeadlineKind kind);
bool ws_is_blocked(const HttpConn *c);

/* ---- ws_handshake.c ---------------------------------------------------------------------- */

/* Appends the answer 101 to the server's buffer. 0; UV_EINVAL for a subprotocol that is no token
 * or an offer that ws_check refuses; UV_ENOMEM. `deflate` may be NULL. */
int ws_handshake_write(HttpRequest *req, const WsAccept *accept,
                       const WsDeflateParams *deflate);

/* ---- ws_extension.c ---------------------------------------------------------------------- */

/* Picks the first offer of permessage-deflate that can be met. False when there is none. */
bool ws_extension_choose(const HttpRequest *req, WsDeflateParams *out);
enum { WS_EXTENSION_MAX = 160 };
/* Writes the value of Sec-WebSocket-Extensions, at most WS_EXTENSION_MAX bytes; how many. */
size_t ws_extension_write(char *out, const WsDeflateParams *params);

/* ---- ws.c -------------------------------------------------------------------------------- */

/* The client broke a rule or a limit: sends a close frame and ends the connection. */
void ws_fail(WsConn *ws, WsFault fault);
/* The same, once the upper layer has dealt with the messages before. */
void ws_fail_in_turn(WsConn *ws, WsFault fault);
/* The client's close frame came: answers it and ends the connection. `code` is WS_NO_CODE when
 * it has none. */
void ws_closed(WsConn *ws, int code, Slice reason);

/* ---- ws_message.c: each returns the fault, code 0 when there is none --------------------- */

/* A data frame begins; the message's limit is checked before anything of it is kept. */
WsFault ws_message_frame(WsConn *ws);
/* A piece of its payload, as sent: it is unmasked in place. `offset` is its place in the frame. */
WsFault ws_message_piece(WsConn *ws, char *ptr, size_t len, uint64_t offset);
/* The final frame is over: *out is the whole message, a new reference. */
WsFault ws_message_end(WsConn *ws, PyObject **out);
void ws_message_clear(WsMessage *message);

/* ---- ws_writer.c ------------------------------------------------------------------------- */

/* Writes a control frame, whatever the state; at most WS_CONTROL_MAX bytes of payload. */
void ws_write_control(WsConn *ws, WsOpcode opcode, Slice payload);

#endif
