/* One HTTP/1.1 connection: stream, parser, and the current exchange. One request is handled at a
 * time; what a client sends ahead is kept until the response is complete.
 *
 *   conn.c      states, end of file, closing; conn_read.c: bytes in, bytes kept
 *   greeting.c  the header of the PROXY protocol, before everything else
 *   timeout.c   deadlines; half.c: a client that has sent FIN, does it still read?
 *   h1.c        llhttp's callbacks: bytes to the parts of a request, and the limits on them; h1_fault.c: its errors
 *   request_head.c what RFC 9112 asks of a complete head beyond llhttp
 *   exchange*.c the exchange: calls to the upper layer, its end; refusals; what is logged and counted
 *   out.c       bytes out
 *
 * It hands its bytes to another protocol, through UpgradeOps, after a 101 response (http/ws) and for HTTP/2 (h2.h).
 * This, out.h, h2.h and h2_conn.h are one thing: the last three also close the connection when writing fails.
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
    CONN_IDLE,     /* no request has begun */
    CONN_HEAD,     /* part of a head has arrived */
    CONN_BODY,     /* the body is arriving; the response may be complete already */
    CONN_RESPONSE, /* the request is complete, the response isn't */
    CONN_UPGRADED, /* the bytes are another protocol's: the response was 101, or it is HTTP/2 */
    CONN_LINGER, /* the last response and FIN are out; what arrives is dropped until EOF */
    CONN_CLOSING, /* stream_close was called */
} ConnState;

enum {
    UNREAD_MAX = 64 * 1024, /* bytes of a body that are read after an early response */
    LINGER_DRAINING = 2000, /* ms of lingering at most while the server drains */
    FIRST_REQUEST = 500,    /* ms for the first request when the server drains */
    HALF_CLOSED_LOOK = 500, /* ms between two checks of a client that has sent FIN */
    H2_LOOK = 1000,         /* ms between two looks at the streams of HTTP/2 */
    TRAILER_NAME_MAX = 20,  /* no forbidden trailer field has a longer name */
};

/* The protocol that a connection speaks in CONN_UPGRADED. The connection keeps its object, and still manages
 * stream, deadlines and unparsed bytes. WebSockets stand above this layer. */
typedef struct UpgradeOps {
    /* Reads bytes, which it may change, until they are used up, or the connection is paused or ended.
     * Returns the number of bytes used. */
    size_t (*read)(HttpConn *c, char *ptr, size_t len);
    /* Another iteration of the loop has begun, after one in which HttpConn.yielded was set. */
    void (*next_turn)(HttpConn *c);
    /* Whether it can't use bytes now. */
    bool (*is_blocked)(const HttpConn *c);
    /* The client has sent FIN. */
    void (*eof)(HttpConn *c);
    /* The connection is being closed: lets go of the object. */
    void (*drop)(HttpConn *c);
    /* The write queue has drained. */
    void (*drained)(HttpConn *c);
    /* The server has begun to drain. */
    void (*drain)(HttpConn *c);
    /* The deadline that is to be set, and what happens when it has passed. */
    DeadlineKind (*deadline)(const HttpConn *c);
    void (*expired)(HttpConn *c, DeadlineKind kind);
} UpgradeOps;

typedef struct Greeting Greeting;
typedef struct Coded Coded;     /* see coded.h */
typedef struct Decoded Decoded; /* see decoded.h */

struct HttpConn {
    Stream stream;
    llhttp_t parser;
    HttpServer *server;        /* borrowed; outlives its connections */
    HttpRequest *req;          /* owned; NULL while no request has begun */
    const UpgradeOps *upgrade; /* static; NULL before CONN_UPGRADED */
    void
        *upgraded; /* the protocol's object, which it owns; NULL unless CONN_UPGRADED */
    Ring all;      /* in HttpServer.conns */
    Ring ready;    /* in HttpServer.ready, or unlinked */
    Deadline deadline;

    ConnState state;
    bool eof;    /* the client has sent FIN: see half.c */
    bool broken; /* writing failed; closed before the loop blocks */
    bool paused; /* http_body_pause */
    bool held; /* the parser stopped in the middle and may continue without new bytes */
    bool
        yielded; /* has had its share of this iteration of the loop; continues in the next */
    bool message_done; /* the parser stopped after a message */
    bool becomes_h2;   /* the message asks for HTTP/2 and gets it, see h2_is_offered */
    bool in_field;     /* the name of a field has begun */
    uint8_t rare;      /* of RARE_*: what head_check_rare has to look at */
    uint8_t
        believed; /* of RARE_*: the fields that the peer, a trusted proxy, is believed */
    bool trusted; /* the peer is a trusted proxy */
    bool https;   /* what HttpRequest.https begins with */
    /* owned: the header of the PROXY protocol is still to come; see greeting.c. Else NULL */
    Greeting *greeting;
    Coded *coded;     /* owned: the response that is being compressed; else NULL */
    Decoded *decoded; /* owned: the request's body is being decompressed; else NULL */
    bool lent;        /* the socket is lent, see http_stream_lend */
    bool lent_waits; /* the borrower waits for the client to take what it has written */
    Fault fault;     /* set by a parser callback that refuses */
    const char *piece; /* the parser's current input; borrowed while the parser runs */
    char before[2];    /* of a head: the last two bytes before `piece` */

    Buf kept;         /* owned: bytes not parsed yet */
    size_t kept_from; /* offset of the first of them */

    uint64_t body_received;   /* decoded bytes; in CONN_LINGER the bytes dropped */
    uint64_t body_checked;    /* body_received when the deadline was set */
    uint32_t unread_left;     /* of UNREAD_MAX */
    uint32_t trailer_bytes;   /* names and values */
    uint32_t extension_bytes; /* chunk extensions of this body */
    uint8_t trailer_name_len;
    char trailer_name[TRAILER_NAME_MAX];

    uint8_t probes; /* digits already written of the next chunk's size, see half.c */
    uint32_t
        silent; /* HALF_CLOSED_LOOKs since the last byte of the response, see half.c */
    uint64_t silent_since; /* uv_now() at that byte, if `silent` isn't 0 */
    bool left;             /* on_left was called, perhaps for an earlier request */

    unsigned parked;      /* position in HttpServer.parts, counted from 1; 0: none */
    uint64_t linger_end;  /* uv_now() at which lingering ends; 0: never */
    uint64_t sent;        /* bytes given to the stream */
    uint64_t sent_before; /* those before the response that began a WebSocket */
    uint64_t progress;   /* bytes that the kernel had taken when the deadline was set */
    NetAddr peer, local; /* local: AF_UNSPEC until it is asked for */
    /* uv_now() when it was accepted or, while the server drains, when it had a response that has let the
     * client expect to send another request */
    uint64_t opened;
    bool used; /* a request has begun on it since */
};

/* ---- conn.c ------------------------------------------------------------------------------ */

/* Serves the connected socket `fd`. Takes ownership of it, also on errors. `proxied`: its peer must be a
 * trusted proxy and begin with a header of the PROXY protocol. */
void conn_open(HttpServer *server, int fd, bool is_unix, const NetAddr *peer,
               bool proxied);
void conn_set_state(HttpConn *c, ConnState state);
/* After the last response: sends FIN, then reads until EOF within the linger limits. */
void conn_finish(HttpConn *c);
/* Closes. With `flush` queued bytes are written first. */
void conn_close(HttpConn *c, bool flush);
/* Writing failed. The connection is closed before the loop blocks, not now, because the layer above
 * is in the middle of a call to us. */
void conn_break(HttpConn *c);
/* Closes, and drops the bytes still to be written. */
void conn_abort(HttpConn *c);
/* The streamed response will stay incomplete. Makes sure that the client can tell when the
 * connection closes. */
void conn_cut(HttpConn *c);
/* Brings reading, deadline and readiness in line with the state. Every event ends with it. */
void conn_settle(HttpConn *c);
/* Calls conn_settle before the loop blocks: for callers in the middle of a call from the layer above,
 * or of an event of another connection. */
void conn_settle_later(HttpConn *c);

/* The stream has got so many bytes. */
static inline void
conn_note_sent(HttpConn *c, uint64_t bytes)
{
    c->sent += bytes;
    c->server->stats.sent += bytes;
}

/* Whether the exchange's response isn't complete, or not all of it is compressed yet. */
static inline bool
conn_owes(const HttpConn *c)
{
    return c->req->response != HTTP_RESPONSE_DONE || c->coded != NULL;
}

static inline size_t
conn_kept(const HttpConn *c)
{
    return c->kept.len - c->kept_from;
}

/* ---- conn_read.c ------------------------------------------------------------------------- */

/* Bytes have arrived. */
void conn_read(HttpConn *c, Slice data);
/* Does the work for which the connection waits in HttpServer.ready. */
void conn_resume(HttpConn *c);
/* Whether bytes that have arrived must wait before they are parsed. */
bool conn_is_blocked(const HttpConn *c);
/* Drops the bytes that wait. */
void conn_free_kept(HttpConn *c);

/* ---- drain.c ----------------------------------------------------------------------------- */

/* The server drains. `idle`: connections without a request are closed, see http_server_drain. */
void conn_drain(HttpConn *c, bool idle);
/* Whether a response is being sent whose length isn't known: it may never end. */
bool conn_streams(const HttpConn *c);

/* ---- greeting.c -------------------------------------------------------------------------- */

/* NULL when out of memory. */
Greeting *greeting_new(void);
/* May be NULL. */
void greeting_free(Greeting *greeting);

/* Bytes have arrived on a connection that has a greeting. True when the header is complete: `*rest` then
 * has what follows it and belongs to the caller, also when it is empty. False when more is to come, or
 * when the connection was closed because the header is malformed. */
bool greeting_data(HttpConn *c, Slice data, Buf *rest);

/* ---- timeout.c --------------------------------------------------------------------------- */

/* Sets the deadline that the state requires. Part of conn_settle. */
void conn_settle_deadline(HttpConn *c);
/* The number of bytes that the kernel has taken. */
uint64_t conn_bytes_taken(const HttpConn *c);
void conn_expired(HttpConn *c, DeadlineKind kind);

/* ---- half.c ------------------------------------------------------------------------------ */

/* The client has sent FIN and a response is still to come, whichever happened first. */
void half_closed(HttpConn *c);
/* The client has certainly left: the peer has reset the connection. */
void half_reset(HttpConn *c);
/* DEADLINE_HALF_CLOSED has passed. `moved`: bytes of the response have gone out since it was set. */
void half_expired(HttpConn *c, bool moved);

/* ---- h1.c -------------------------------------------------------------------------------- */

void h1_init(HttpConn *c);
/* Parses up to the end of a message, or until the body is paused. Returns the number of bytes used. */
size_t h1_parse(HttpConn *c, const char *ptr, size_t len);

/* ---- request_head.c ------------------------------------------------------------------------------ */

/* Checks the complete head and fills in the fields of HttpRequest that depend on it. Of one that came by HTTP/2:
 * Host and the target. */
Fault head_check(HttpRequest *req);
/* Then does what HttpConn.rare asks for. */
Fault head_check_rare(HttpConn *c);
/* Whether `host` is a host with or without a port. */
bool head_is_host(Slice host);
/* The host without its port. */
Slice head_host_name(Slice host);

/* ---- exchange.c -------------------------------------------------------------------------- */

/* The three return 0, or a llhttp error that stops the parser. */
int exchange_begin(HttpConn *c);
int exchange_head(HttpConn *c);
int exchange_body(HttpConn *c, Slice piece);
void exchange_message(HttpConn *c);
/* Ends the exchange when both request and response are complete. */
void exchange_advance(HttpConn *c);
/* The request no longer counts as unanswered. */
void exchange_landed(HttpRequest *req);
/* Releases the request. Calls on_gone when its response isn't complete. */
void exchange_drop(HttpConn *c);
/* Sends "100 Continue" when it is due. */
void exchange_continue(HttpConn *c);
/* The 101 response is out. From now on the connection passes its bytes to the protocol `ops` (static), whose
 * object for it is `upgraded`. */
void exchange_upgrade(HttpConn *c, const UpgradeOps *ops, void *upgraded);
/* response.c and response_plain.c call it when a response has grown or is complete. */
void exchange_responded(HttpConn *c);
/* Calls on_writable: writers that wait for room may try again. The connection has a request. */
void exchange_writable(HttpConn *c);
/* The response is complete or given up. Wakes whatever still waits for room to write, or for the rest
 * of the request's body. Part of exchange_responded. */
void exchange_over(HttpConn *c);

/* ---- exchange_refuse.c ------------------------------------------------------------------- */

/* Refuses the request with a response of our own if none has begun, and ends the connection. */
void exchange_reject(HttpConn *c, Fault fault);
/* Refuses a request that is one too many, without telling the layer above. */
void exchange_overload(HttpRequest *req);
/* Whether its Content-Length exceeds the limit, and no response has begun. */
bool exchange_is_too_large(const HttpRequest *req);
/* The fault of a request whose body exceeds its limit. */
Fault exchange_excess(const HttpRequest *req);

/* ---- exchange_log.c ---------------------------------------------------------------------- */

/* Adds the exchange to the log, if that has a format. Sets AccessEntry.took. */
void exchange_log(HttpServer *server, AccessEntry entry);
/* Logs a request with a head: `body` bytes of its response's body, and `received` bytes of its own, if there is an
 * access log with entries. */
void exchange_log_request(HttpRequest *req, int status, uint64_t body,
                          uint64_t received);
/* Adds the exchange that is over to the log, in which its line is still missing unless the layout is plain and the
 * response has begun. `status`: if it hasn't. */
void exchange_log_end(HttpRequest *req, int status, uint64_t received);
/* The same as exchange_log_end for the exchange of a connection that ends, of a request or of a WebSocket. There is
 * an access log, or metrics. */
void exchange_log_drop(HttpConn *c);

#endif
