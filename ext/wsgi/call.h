/* One request to a WSGI app (PEP 3333): a job for the pool, and what its worker and the loop tell
 * each other meanwhile.
 *
 *   call.c      the loop's half: when the job starts, the body's pieces, the response's pieces
 *   run.c       the worker's half: calls the app, iterates over what it returns, closes that
 *   response.c    start_response, write(), and the rules for the pieces of the body
 *   input.c     wsgi.input
 *   file.c      wsgi.file_wrapper: files that the kernel copies
 *   environ.c   the environ
 *   app.c       what all requests to the app have in common
 *
 * Threads: the GIL guards everything. A worker that has to wait gives it up (wsgi_wait); it never
 * touches the connection, but leaves orders, which the loop carries out (ADR 11).
 */
#ifndef FLUVIAL_WSGI_CALL_H
#define FLUVIAL_WSGI_CALL_H

#include "base/py.h"
#include "app/call.h"
#include "pool/pool.h"
#include "app/server.h"
#include "wsgi/app.h"
#include "http/response.h"

enum {
    /* Bytes: past it, who sends (client or app) waits. Also, the job starts when the body is
     * complete or so much of it is there: slow clients with small bodies hold no thread. */
    WSGI_HIGH = 64 * 1024,
    WSGI_LOW = 16 * 1024, /* bytes left in `pieces`: the connection reads again */
};

/* What the app has done for its response. Changed by the worker. */
typedef enum WsgiStage {
    WSGI_START,  /* nothing: start_response() is due */
    WSGI_HEAD,   /* start_response() was called; nothing is out */
    WSGI_STREAM, /* the head is out, or on its way; more of the body may come */
    WSGI_OVER, /* the response is complete or given up, or will be once the orders are carried out */
} WsgiStage;

/* Orders to the loop, carried out in this order. */
enum {
    WSGI_RESUME = 1, /* read on from the connection */
    WSGI_WHOLE = 2,  /* the whole response, with the body `whole` */
    WSGI_BEGIN = 4,  /* the head of a streamed one, of `length` bytes */
    WSGI_LENT = 8,   /* `lent_bytes` were written by the worker */
    WSGI_END = 16,   /* after the pieces in `out`: it is complete */
    WSGI_FAIL = 32,  /* 500 or, when something is out, cut it off */
    WSGI_LEND = 64,  /* lend the socket */
};

typedef struct WsgiCall {
    PyObject_HEAD
    PoolJob job;
    AppServer *server; /* owned */
    WsgiApp *app;      /* owned */
    PyObject *environ; /* owned: what the environ begins with; NULL once that is made */
    HttpRequest *req;  /* owned reference; NULL when the call is over */
    bool submitted;    /* the job is the pool's, or has been */
    bool returning;    /* nothing more runs on the worker: job.done will do */
    bool gone;         /* the client is, or nothing can be written any more */

    /* wsgi.input */
    Buf pieces;     /* owned: what has arrived … */
    size_t from;    /* … of which this many bytes are taken */
    uint64_t taken; /* bytes of the body that the app has read */
    bool paused;    /* the connection reads no more of the body */

    /* The response, as the app wants it. */
    WsgiStage stage;
    int status;
    PyObject *status_line; /* owned str: "200 OK" */
    HttpFields fields;     /* owned */
    int64_t left;          /* bytes until the length that was stated; -1: none was */
    bool too_much;         /* it was reported that more came */

    /* The mailbox. */
    /* in the loop's inbox while `posted`, which owns a reference then */
    InboxNode node;
    bool posted;
    unsigned orders;
    int64_t length;  /* for WSGI_BEGIN; -1: not known */
    PyObject *whole; /* owned bytes, or NULL: empty */
    PyObject *out;   /* owned list of bytes, or NULL */
    size_t out_bytes;
    bool full; /* the connection has more to write than it should */
    uint64_t lent_bytes;
    HttpLoan loan;    /* .fd is -1 but while the socket is lent */
    int loan_error;   /* UV_EAGAIN until it is known */
    uv_sem_t *waiter; /* the worker's, while it waits */
} WsgiCall;

extern const MountOps wsgi_mount_ops;

/* Creates WsgiState.wsgi_call_type and adds it to the module. 0, or -1 with an exception set. */
int wsgi_call_setup(PyObject *module, WsgiState *st);

/* ---- For the worker ----------------------------------------------------------------------- */

/* Adds `orders`, which may be 0 for pieces in `out`, to those that the loop is to carry out soon. */
void wsgi_order(WsgiCall *call, unsigned orders);

/* Gives up the GIL until something has changed: bytes or the end of the body have arrived, orders
 * were carried out, the client is gone. 0; -1 with RuntimeError set when another thread waits. */
int wsgi_wait(WsgiCall *call);

/* ---- run.c --------------------------------------------------------------------------- */

/* PoolJob.run */
void wsgi_run(PoolJob *job);

/* Logs what went wrong with the request. `exc` (borrowed) may be NULL. */
void wsgi_report(WsgiCall *call, const char *what, PyObject *exc);

/* ---- response.c ------------------------------------------------------------------------ */

typedef enum WsgiSent {
    WSGI_SENT_FAILED = -1, /* an exception is set */
    WSGI_SENT_MORE,        /* go on */
    WSGI_SENT_ENOUGH,      /* nothing that follows would reach the client */
} WsgiSent;

/* start_response for the app: a new reference, or NULL with an exception set. */
PyObject *wsgi_start_response_new(WsgiCall *call);

/* One piece (borrowed) of the response's body, checked; the next one may wait for a slow client. */
WsgiSent wsgi_send(WsgiCall *call, PyObject *piece);
/* All of them: `pieces` (borrowed) is a list or tuple. */
WsgiSent wsgi_send_all(WsgiCall *call, PyObject *pieces);
/* There are no more pieces. 0, or -1 with an exception set. */
int wsgi_finish(WsgiCall *call);
/* The app can't complete its response. */
void wsgi_fail(WsgiCall *call);

/* Whether the response has no body, whatever the app gives (RFC 9110 section 6.4.1). */
bool wsgi_is_bodyless(const WsgiCall *call);
/* States the length of the body, which follows from what the app returned, if the app hasn't. */
void wsgi_state_length(WsgiCall *call, int64_t length);
/* Puts the head on its way, for a body of `length` bytes; -1: not known. */
void wsgi_begin(WsgiCall *call, int64_t length);

/* ---- file.c -------------------------------------------------------------------------- */

/* Answers with the file in `wrapper` (borrowed), an app->file_type. 1 when it did; 0 when it is
 * none that the kernel could copy; -1 with an exception set. */
int wsgi_send_file(WsgiCall *call, PyObject *wrapper);

#endif
