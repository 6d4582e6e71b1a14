/* One HTTP/2 connection and its streams, as h2.h declares it. Each stream is one exchange: an
 * HttpRequest from its first HEADERS frame to the end of its response.
 *   h2.c        the connection: bytes to nghttp2 and back, deadlines; h2_life.c how it begins and ends
 *   h2_in.c     nghttp2's callbacks: frames to the parts of a request
 *   h2_head.c   header fields to an HttpRequest, and their limits; h2_check.c which requests are malformed
 *   h2_stream.c a stream: its beginning and end; h2_exchange.c the calls to the upper layer, and when a response is over
 *   h2_fields.c header fields of responses, as nghttp2 takes them
 *   h2_tunnel.c streams of another protocol: WebSockets
 *   h2_out.c    responses: their heads, pieces of the body, trailers
 *   h2_mem.c    memory that one request leaves for the next; h2_upgrade.c how one of HTTP/1.1 becomes a stream
 *   h2_guard.c  bounds on what a client may do without asking for anything, and on how slowly it reads
 * Ownership: the HttpConn owns the H2Conn, which owns the nghttp2 session and its H2Streams. nghttp2 calls back; the upper layer is
 * called when it has returned, except for pieces of a body. That may close the connection: then the H2Conn is detached (`conn` is NULL).
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_H2_CONN_H
#define FLUVIAL_HTTP_H2_CONN_H

#include "base/py.h"
#include "base/buf.h"
#include "base/ring.h"
#include "http/h2.h"
#include "http/h2_mem.h"
#include "http/response_head.h"

#include <nghttp2/nghttp2.h>

enum {
    H2_HIGH = 64
        * 1024, /* bytes of a response that wait: the writer should wait, too */
    H2_LOW = 16 * 1024,
    H2_CLOSED = 16,
    H2_CONN_WINDOWS = 4, /* a connection's window, in windows of a stream */
    H2_DECODED_TIMES =
        4, /* of HttpLimits.header_block, decoded: more ends the connection */
};

/* Why a connection ends whose client lets replies wait. */
#define H2_UNREAD "it sends frames and doesn't read the replies"

typedef struct H2Conn H2Conn;
typedef struct H2Stream H2Stream;

/* A piece of a response's body. Its bytes follow the struct, unless `owner` keeps them. */
typedef struct H2Piece H2Piece;
struct H2Piece {
    H2Piece *next;
    PyObject *owner; /* owned; NULL: the bytes follow */
    Slice left;
    char bytes[];
};

struct H2Stream {
    Ring all;         /* in H2Conn.streams, until its memory is freed */
    H2Stream *dead;   /* the next of H2Conn.leaving, then of H2Conn.dead */
    Ring writable;    /* in H2Conn.writable, or unlinked */
    H2Conn *h2;       /* borrowed; outlives its streams */
    HttpRequest *req; /* owned; NULL: its exchange is over */
    int32_t id;
    char *text; /* owned: what the head of the response refers to until it is sent */

    /* The head, while it arrives. */
    nghttp2_rcbuf *path, *authority, *method, *protocol; /* owned; NULL: not there */
    Buf cookie;       /* owned: the fields joined (RFC 9113 section 8.2.3) */
    uint64_t decoded; /* bytes of names and values */
    bool begun;       /* the pseudo-header fields are in HttpRequest.head */
    bool trailing;    /* the head is complete: fields are trailers */
    bool malformed;   /* h2_check.c has found it; the stream is reset */
    uint16_t seen;    /* SEEN_…: what h2_check.c has met */
    uint64_t stated;  /* Content-Length, if `seen` says so */
    Fault fault;

    /* Extended CONNECT (h2_tunnel.c). */
    bool connect;   /* that is what the request is */
    bool tunnelled; /* and it was accepted */
    bool drain_due; /* while the server was draining already */
    bool yielded;   /* the tunnel continues in the next iteration */
    bool served; /* it has had some of this turn: the others come first in the next */
    const H2TunnelOps *tunnel_ops; /* static; NULL: not accepted */
    void *tunnel;                  /* owned; NULL: there is none, or it has ended */

    /* The request's body. */
    Buf held; /* owned: bytes that wait for http_body_resume */
    bool paused;
    bool over;     /* nghttp2 has closed it */
    bool ended_in; /* END_STREAM or RST_STREAM has arrived */
    bool end_told; /* and the upper layer knows */
    uint64_t received;
    uint64_t checked; /* `received` at `checked_at` */
    uint64_t checked_at;
    uint64_t
        unread_left;  /* of HttpLimits.linger_bytes, once the response is complete */
    Decoded *decoder; /* owned: the body is being decompressed; else NULL */

    /* The response. */
    H2Piece *first, **last; /* owned: what nghttp2 hasn't taken */
    size_t queued;          /* bytes of them */
    bool submitted;         /* nghttp2 has the head */
    bool ended_out;         /* the body is complete */
    bool deferred;          /* nghttp2 waits for nghttp2_session_resume_data */
    bool over_high;
    bool sent_end; /* END_STREAM has left, at `sent_end_at` */
    uint64_t sent_end_at;
    bool reset;             /* RST_STREAM is submitted */
    Buf trailers;           /* owned: "name: value\r\n" … */
    Coded *coded;           /* owned: the response is being compressed; else NULL */
    uint64_t taken;         /* bytes that nghttp2 has framed */
    uint64_t taken_checked; /* `taken` at `taken_at` */
    uint64_t conn_taken_checked; /* and H2Conn.taken */
    uint64_t taken_at;
};

/* The head of the frame that is arriving, read beside nghttp2, which keeps some frames to itself. */
typedef struct H2Frame {
    unsigned char head[13]; /* and of PRIORITY the stream that it depends on */
    uint8_t have;           /* bytes of it */
    uint8_t type, flags;
    int32_t id;
    int32_t depends; /* PRIORITY */
    uint32_t length; /* of the payload */
    uint32_t skip;   /* bytes of it that are still to come */
} H2Frame;

/* A count of events within a second. */
typedef struct H2Count {
    uint64_t since;
    int64_t left;
} H2Count;

struct H2Conn {
    HttpConn *conn;           /* borrowed; NULL: detached */
    H2Mem *mem;               /* owned: the server's */
    nghttp2_session *session; /* owned */
    Ring streams;
    Ring writable; /* streams whose writers may go on */
    H2Piece *done; /* owned: pieces to be freed once nghttp2 has returned */
    H2Stream
        *leaving; /* owned: streams that nghttp2 has closed: see h2_streams_leave */
    H2Stream
        *dead; /* owned: streams that are over, until nobody can have them at hand */
    H2Stream
        *came; /* whose head or end nghttp2 has just read, or NULL: see h2_hand_over */
    bool came_head, came_end;
    uint32_t nstreams;
    unsigned busy;    /* calls of h2_read, and of others that need the streams */
    bool in_nghttp2;  /* it is running, and can't be asked for frames */
    Buf nv, text;     /* owned: a field section, while it is submitted */
    char *room;       /* borrowed: where its next name or value goes */
    uint8_t nv_flags; /* NGHTTP2_NV_FLAG_… */
    H2Stream *at; /* borrowed: the stream of the current frame, most likely; or NULL */

    bool again;        /* a turn is due: something was submitted */
    bool unsent;       /* something was submitted since nghttp2 was last asked */
    bool resumed;      /* http_body_resume was called */
    bool yielded;      /* a tunnel continues in the next iteration */
    uint64_t turn;     /* uv_now() of the iteration that `spent` belongs to */
    uint32_t spent;    /* see H2TunnelOps.read */
    bool draining;     /* the first GOAWAY is submitted */
    bool last_goaway;  /* and the one that names the last stream */
    bool goaway_due;   /* it isn't submitted yet */
    bool refused;      /* the connection is to end: `error` says why */
    uint32_t error;    /* NGHTTP2_… */
    const char *limit; /* the field of HttpLimits that was exceeded, or NULL */
    const char *detail;
    uint64_t drain_at;  /* uv_now() when it began to drain */
    uint64_t head_at;   /* uv_now() when the head that is arriving began; 0: none */
    unsigned continued; /* CONTINUATION frames of it */
    H2Frame frame;
    H2Count resets, controls;
    int32_t newest;            /* the last stream that the client has opened */
    uint64_t opened;           /* bit n: it has opened newest - 2n, too */
    int32_t closed[H2_CLOSED]; /* streams that the client itself has ended, of late */
    unsigned nclosed;          /* where the next of them goes */
    uint64_t taken;            /* bytes of all responses that nghttp2 has framed */
    uint64_t wrote;            /* bytes that the kernel had taken at `wrote_at` */
    uint64_t wrote_at;         /* uv_now() */
};

static inline const HttpLimits *
h2_limits(const H2Stream *s)
{
    return &s->req->server->limits;
}

/* ---- h2.c -------------------------------------------------------------------------------- */

/* Something was submitted: it is written before the loop blocks, or at the end of the current read. */
void h2_wake(H2Conn *h2);
/* Other code is about to run, perhaps for long: what was submitted leaves within WATCH_NS (ADR 16). Does nothing
 * while nghttp2 runs. */
void h2_offer(H2Conn *h2);
/* Ends the connection with GOAWAY once nghttp2 has returned. */
void h2_refuse(H2Conn *h2, uint32_t error, const char *detail, const char *limit);
uint64_t h2_now(const H2Conn *h2);
/* Refuses new streams, and ends the connection after those that there are. */
void h2_last_goaway(H2Conn *h2);

/* ---- h2_life.c --------------------------------------------------------------------------- */

/* Without a connection yet; NULL when out of memory. */
H2Conn *h2_new(HttpServer *server);
/* Takes back one of `busy`. The last one frees a detached connection, or has what was submitted sent. */
void h2_release(H2Conn *h2);
/* Frees the streams that are over. */
void h2_bury(H2Conn *h2);
/* Detaches it from its connection. The exchanges that aren't over end with on_gone. */
void h2_drop(HttpConn *c);
/* Frees one that is detached and that nobody uses. */
void h2_free(H2Conn *h2);
/* Ends the connection: FIN, and what still arrives is dropped for a while. */
void h2_finish(H2Conn *h2);
/* Ends the connection with GOAWAY. */
void h2_fail(H2Conn *h2);

/* ---- h2_in.c ----------------------------------------------------------------------------- */

/* Sets the callbacks. 0 or an error of nghttp2's. */
int h2_in_callbacks(nghttp2_session_callbacks **out);
/* The options of a session. The same. */
int h2_in_options(nghttp2_option **out);

/* ---- h2_check.c -------------------------------------------------------------------------- */

/* Whether requests are checked here, since the library would end their connections; else nothing below is called. */
bool h2_checks(void);
/* Notes a field of the head or a trailer; false: the request is malformed. */
bool h2_check_field(H2Stream *s, Slice name, Slice value);
/* Whether the head, which is complete, has what a request needs. */
bool h2_check_head(const H2Stream *s);
/* Whether the body may have `more` bytes, and end there. */
bool h2_check_body(const H2Stream *s, uint64_t more, bool end);

/* ---- h2_head.c --------------------------------------------------------------------------- */

/* Adds a field of the request's head. */
void h2_head_field(H2Stream *s, nghttp2_rcbuf *name, nghttp2_rcbuf *value);
/* The head is complete: checks it, and fills in HttpRequest. Sets H2Stream.fault. */
void h2_head_end(H2Stream *s, bool end_stream);
void h2_head_clear(H2Stream *s);

/* ---- h2_stream.c ------------------------------------------------------------------------- */

/* NULL when out of memory. */
H2Stream *h2_stream_new(H2Conn *h2, int32_t id);
/* The same for a request that exists; it is stolen. */
H2Stream *h2_stream_adopt(H2Conn *h2, int32_t id, HttpRequest *req);
/* nghttp2 has closed it: nothing more happens to it. The exchange, if it isn't over, ends in h2_streams_leave. The
 * memory stays until H2Conn.busy is 0. */
void h2_stream_over(H2Stream *s);
/* Ends the exchanges of the streams that nghttp2 has closed, so on_gone and the like may be called. Must not
 * be called within a write: the object that writes could be freed by it. */
void h2_streams_leave(H2Conn *h2);
/* Submits RST_STREAM, once. */
void h2_stream_reset(H2Stream *s, uint32_t error);

/* ---- h2_exchange.c ------------------------------------------------------------------------ */

/* The parts of the request, in order. Each may call the upper layer. */
void h2_exchange_head(H2Stream *s);
void h2_exchange_body(H2Stream *s, Slice piece);
void h2_exchange_end(H2Stream *s);
/* The response is complete: wakes who waits, and releases the request. */
void h2_exchange_over(H2Stream *s);
/* Releases the request; on_gone follows when its response isn't complete. */
void h2_exchange_drop(H2Stream *s);
/* Refuses the request with a response of our own if none has begun. */
void h2_exchange_reject(H2Stream *s, Fault fault);
/* Passes on what waits for http_body_resume. */
void h2_exchange_flow(H2Stream *s);

/* ---- h2_tunnel.c ------------------------------------------------------------------------- */

/* Bytes for the tunnel, and whatever it can use of those that wait. */
void h2_tunnel_data(H2Stream *s, Slice piece);
void h2_tunnel_flow(H2Stream *s);
/* The exchange is over: lets go of the object. */
void h2_tunnel_drop(H2Stream *s);
void h2_tunnel_log(H2Stream *s);
/* Another iteration of the loop has begun. */
void h2_tunnels_go_on(H2Conn *h2);
/* The server has begun to drain. */
void h2_tunnels_drain(H2Conn *h2);

/* ---- h2_fields.c ------------------------------------------------------------------------- */

/* What h2_nv_begin and the others have added: H2Conn.nv. */
nghttp2_nv *h2_nv(const H2Conn *h2);
size_t h2_nv_count(const H2Conn *h2);
/* Begins a field section that nghttp2 copies: makes room for the fields of `raw`, and a few more. 0 or UV_ENOMEM. */
int h2_nv_begin(H2Conn *h2, Slice raw);
void h2_nv_add_status(H2Conn *h2, int status);
/* Adds the fields "name: value\r\n" …, their names in lower case. */
void h2_nv_add_raw(H2Conn *h2, Slice raw);
/* Puts the head of the stream's response into H2Conn.nv. 0 or UV_ENOMEM. */
int h2_nv_head(H2Stream *s, const ResponseHead *head);
/* Notes for the access log what the head says. */
void h2_log_head(H2Stream *s, int status);

/* ---- h2_out.c ---------------------------------------------------------------------------- */

void h2_out_free(H2Stream *s);
/* Submits the head; nghttp2 then asks for the body, unless there is none. */
int h2_submit(H2Stream *s, const HttpHead *head, int64_t length, bool whole);
/* Adds a piece; `owner` is borrowed. 0 or UV_ENOMEM. */
int h2_out_add(H2Stream *s, Slice bytes, PyObject *owner);
/* The body goes on: nghttp2 asks for it again. */
void h2_out_resume(H2Stream *s);
/* Frees pieces that nghttp2 has used. May run Python code. */
void h2_out_release(H2Conn *h2);
/* nghttp2's callback that copies bytes of a stream to the connection. */
int h2_out_send_data(nghttp2_session *session, nghttp2_frame *frame,
                     const uint8_t *head, size_t len, nghttp2_data_source *source,
                     void *user);
/* The whole response {"detail": fault.detail}. Returns the bytes of its body. */
size_t h2_out_refusal(H2Stream *s, Fault fault);

/* ---- h2_guard.c -------------------------------------------------------------------------- */

/* A stream was reset, by whichever side. */
void h2_guard_reset(H2Conn *h2);
/* A frame has arrived that asks for nothing. */
void h2_guard_control(H2Conn *h2);
/* Something useful has happened, which goes with a few such frames. */
void h2_guard_useful(H2Conn *h2);
/* A stream that the client has ended is over. */
void h2_guard_closed(H2Conn *h2, int32_t id);
/* Reads a frame's head, as far as it has come, or skips its payload. Returns the bytes used, at least one;
 * `*whole`: the head is complete. */
size_t h2_frame_read(H2Frame *frame, Slice bytes, bool *whole);
/* Whether the frame has come, and ended a header section. */
bool h2_frame_ends_head(const H2Frame *frame);
/* Whether the frame may come now; if not, the connection is refused. */
bool h2_guard_frame(H2Conn *h2, const H2Frame *frame);
/* H2_LOOK has passed: looks at each stream. */
void h2_guard_look(H2Conn *h2);

#endif
