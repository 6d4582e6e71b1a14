/* One HTTP/1.1 connection: stream, parser, and the exchange that is under way. At most one
 * request is handled at a time; what a client sends ahead is kept until the answer is complete.
 *
 *   conn.c      bytes in, bytes kept, end of file, closing
 *   timeout.c   deadlines
 *   half.c      a client that sends nothing more: does it read on?
 *   h1.c        llhttp's callbacks: bytes to the parts of a request, and the limits on them
 *   request_head.c      what RFC 9112 asks of a complete head beyond llhttp
 *   exchange.c  the exchange: what the upper layer is told, and when it is over
 *   out.c       bytes out
 *   ws*.c       what becomes of it after an upgrade, see ws_conn.h
 *
 * Thread: the loop's, with the GIL. Lifetime: from conn_open to the stream's on_closed.
 */
#ifndef FLUVIAL_HTTP_CONN_H
#define FLUVIAL_HTTP_CONN_H

#include "base/py.h"
#include "base/buf.h"
#include "base/ring.h"
#include "http/deadline.h"
#include "http/server_private.h"
#include "net/stream.h"

#include <llhttp.h>

typedef enum ConnState {
    CONN_IDLE, /* no request has begun */
    CONN_HEAD, /* part of a head has arrived */
    CONN_BODY, /* a head with a body: the rest arrives; the answer may be complete already */
    CONN_ANSWER,   /* the request is complete, the answer isn't */
    CONN_UPGRADED, /* the answer was 101: the bytes are the WebSocket's */
    CONN_LINGER, /* the last answer and FIN are out; what arrives is dropped until EOF */
    CONN_CLOSING, /* stream_close was called */
} ConnState;

enum {
    UNREAD_MAX = 64 * 1024, /* bytes of a body that are read after an early answer */
    LINGER_DRAINING = 2000, /* ms for all of it while the server drains */
    HALF_CLOSED_LOOK = 500, /* ms between two looks at a client that has sent FIN */
    TRAILER_NAME_MAX = 20,  /* longer names need not be recognised */
};

typedef struct WsConn WsConn;

struct HttpConn {
    Stream stream;
    llhttp_t parser;
    HttpServer *server; /* borrowed; outlives its connections */
    HttpRequest *req;   /* owned; NULL while no request has begun */
    WsConn *ws;         /* owned; NULL unless CONN_UPGRADED */
    Ring all;           /* in HttpServer.conns */
    Ring ready;         /* in HttpServer.ready, or unlinked */
    Deadline deadline;

    ConnState state;
    bool eof;    /* the client sends no more: see half.c */
    bool broken; /* writing failed; closed before the loop blocks */
    bool paused; /* http_body_pause */
    bool held;   /* the parser stopped in the middle and may go on without new bytes */
    bool
        yielded; /* it has worked enough for this turn of the loop and goes on in the next */
    bool message_done; /* the parser stopped behind a message */
    bool in_field;     /* the name of a field has begun */
    bool expect;       /* the head has an Expect field */
    bool lent;         /* the socket is, see http_stream_lend */
    bool lent_waits; /* the borrower waits for the client to take what it has written */
    Fault fault;     /* set by a parser callback that refuses */
    const char *piece; /* borrowed, while the parser runs: the bytes that it has */
    char before[2];    /* of a head: the last two bytes before them */

    Buf kept;         /* owned: bytes not parsed yet */
    size_t kept_from; /* offset of the first of them */

    uint64_t body_received;   /* bytes, decoded; of what lingering has dropped */
    uint64_t body_checked;    /* body_received when the deadline was set */
    uint32_t unread_left;     /* of UNREAD_MAX */
    uint32_t trailer_bytes;   /* names and values */
    uint32_t extension_bytes; /* chunk extensions of this body */
    uint8_t trailer_name_len;
    char trailer_name[TRAILER_NAME_MAX];

    uint8_t probes;  /* digits that stand before the next chunk, see half.c */
    uint32_t silent; /* looks since the last byte of the answer, see half.c */
    bool left;       /* on_left was called, perhaps for an earlier request */

    unsigned parked;     /* its place in HttpServer.parts, counted from 1; 0: none */
    uint64_t linger_end; /* uv_now() at which lingering ends; 0: never */
    uint64_t sent;       /* bytes given to the stream */
    uint64_t progress;   /* bytes that the kernel had taken when the deadline was set */
    NetAddr peer, local; /* local: AF_UNSPEC until it is asked for */
};

/* ---- conn.c ------------------------------------------------------------------------------ */

/* Serves the connected socket `fd`, which is the connection's from now on, also on errors. */
void conn_open(HttpServer *server, int fd, bool is_unix, const NetAddr *peer);
void conn_set_state(HttpConn *c, ConnState state);
/* The last answer is out: FIN, then read until EOF within bounds. */
void conn_finish(HttpConn *c);
/* Closes; what is queued is written first when `flush`. */
void conn_close(HttpConn *c, bool flush);
/* Writing failed: the connection is closed soon, not now, since the layer above is in the middle
 * of a call to us. */
void conn_break(HttpConn *c);
/* Closes, and drops what waits to be written. */
void conn_abort(HttpConn *c);
/* The streamed answer stays incomplete: closing shall show that to the client. */
void conn_cut(HttpConn *c);
/* Brings reading, deadline and readiness in line with the state. Last thing in each event. */
void conn_settle(HttpConn *c);
/* The same before the loop blocks: for those who are in the middle of a call from above, or of
 * something that concerns another connection. */
void conn_settle_later(HttpConn *c);
/* Does now what waits in HttpServer.ready. */
void conn_resume(HttpConn *c);
/* The server drains. */
void conn_drain(HttpConn *c);

static inline size_t
conn_kept(const HttpConn *c)
{
    return c->kept.len - c->kept_from;
}

/* ---- timeout.c --------------------------------------------------------------------------- */

/* Sets the deadline that the state asks for. Part of conn_settle. */
void conn_settle_deadline(HttpConn *c);
void conn_expired(HttpConn *c, DeadlineKind kind);

/* ---- half.c ------------------------------------------------------------------------------ */

/* The client has sent FIN while an answer is owed, or one has come to be owed since. */
void half_closed(HttpConn *c);
/* It has turned out to have left. */
void half_reset(HttpConn *c);
/* DEADLINE_HALF_CLOSED has passed; `moved`: bytes of the answer have gone out since it was set. */
void half_expired(HttpConn *c, bool moved);

/* ---- h1.c -------------------------------------------------------------------------------- */

void h1_init(HttpConn *c);
/* Parses up to the end of a message or to where the body is paused. The bytes used. */
size_t h1_parse(HttpConn *c, const char *ptr, size_t len);

/* ---- request_head.c ------------------------------------------------------------------------------ */

/* Checks the complete head and fills in what follows from it. */
Fault head_check(HttpConn *c);

/* ---- exchange.c -------------------------------------------------------------------------- */

/* The three return 0, or a llhttp error that stops the parser. */
int exchange_begin(HttpConn *c);
int exchange_head(HttpConn *c);
int exchange_body(HttpConn *c, Slice piece);
void exchange_message(HttpConn *c);
/* Ends the exchange when both request and answer are complete. */
void exchange_advance(HttpConn *c);
/* Refuses the request with an answer of our own if none has begun; the connection ends. */
void exchange_reject(HttpConn *c, Fault fault);
/* Why a request is refused whose body exceeds its limit. */
Fault exchange_excess(const HttpRequest *req);
/* Lets go of the request; the upper layer is told when its answer isn't complete. */
void exchange_drop(HttpConn *c);
/* Sends "100 Continue" when it is due. */
void exchange_continue(HttpConn *c);
/* The answer 101 is out: the connection is the WebSocket's, which it owns from now on. */
void exchange_upgrade(HttpConn *c, WsConn *ws);
/* response.c calls it when an answer has grown or is complete. */
void exchange_answered(HttpConn *c);
/* Tells the upper layer that those who wait for room to write may look again. The connection has a
 * request. */
void exchange_writable(HttpConn *c);
/* The answer is complete or given up: nobody waits for room any more, or for the rest of the request's
 * body. Part of exchange_answered. */
void exchange_over(HttpConn *c);

#endif
