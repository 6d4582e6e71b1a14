/* One request to a WSGI app (PEP 3333): a job for the pool, and the mailbox between its worker and
 * the loop.
 *
 *   on_loop.c         the loop's half: starts the job, takes in the body, writes the response
 *   run.c             the worker's half: calls the app, iterates over its result, closes that
 *   start_response.c  status and headers
 *   response.c        write(), and the rules for the pieces of the body
 *   input.c           wsgi.input
 *   file.c            wsgi.file_wrapper: files that the kernel copies
 *   environ.c         makes the environ
 *   app_type.c        what all requests to the app have in common
 *
 * Threads: the GIL guards everything. A worker that must wait releases it (wsgi_wait). A worker
 * never touches the connection: it leaves orders, which the loop carries out (ADR 11).
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
    /* Bytes. Past this the sender (client or app) has to wait. It also decides when the job starts:
     * when the body is complete, or this much of it has arrived. So slow clients with small bodies
     * occupy no thread. */
    WSGI_HIGH = 64 * 1024,
    WSGI_LOW = 16
        * 1024, /* bytes: when `pieces` has at most these, the connection reads again */
};

/* How far the app has got with its response. Changed by the worker. */
typedef enum WsgiStage {
    WSGI_START,  /* start_response() must come next */
    WSGI_HEAD,   /* start_response() was called; nothing has been written */
    WSGI_STREAM, /* the head was written or ordered; more of the body may come */
    WSGI_OVER, /* the response is complete or broken off, or will be after the orders */
} WsgiStage;

/* Orders to the loop, carried out in this order. */
enum {
    WSGI_RESUME = 1, /* let the connection read again */
    WSGI_WHOLE = 2,  /* write the whole response, with the body `whole` */
    WSGI_BEGIN = 4,  /* write the head of a streamed response of `length` bytes */
    WSGI_LENT = 8,   /* the worker has written `lent_bytes` to the lent socket */
    WSGI_END = 16,   /* complete the response after the pieces in `out` */
    WSGI_FAIL = 32,  /* respond with 500; or break the response off, if it has begun */
    WSGI_LEND = 64,  /* lend the socket to the worker */
};

typedef struct WsgiCall {
    PyObject_HEAD
    PoolJob job;
    OverdueEntry late; /* of the job, while it waits for a thread */
    AppServer *server; /* owned */
    WsgiApp *app;      /* owned */
    /* owned: the template of the environ; NULL once the environ was made */
    PyObject *environ;
    PyObject *given; /* borrowed: the environ while the app is called; NULL otherwise */
    PyObject *
        route; /* owned: str, what route_of has returned; NULL: nothing, or it was noted */
    HttpRequest *req; /* owned reference; NULL when the call is over */
    bool submitted;   /* the job was given to the pool */
    /* the worker is about to finish: job.done carries out the orders, no post needed */
    bool returning;
    bool gone; /* the client has gone, or nothing can be written any more */

    /* wsgi.input */
    Buf pieces;     /* owned: what has arrived; … */
    size_t from;    /* … the app has read the bytes before this offset */
    uint64_t taken; /* bytes of the body that the app has read */
    bool paused;    /* the connection has stopped reading the body */

    /* The response, as the app has stated it. */
    WsgiStage stage;
    int status;
    PyObject *status_line; /* owned str: "200 OK" */
    HttpFields fields;     /* owned */
    /* bytes that are missing to the Content-Length; -1: none was stated */
    int64_t left;
    bool too_much; /* that there are too many bytes has been logged */

    /* The mailbox. */
    /* in the loop's inbox while `posted`; it owns a reference then */
    InboxNode node;
    bool posted;
    unsigned orders;
    int64_t length;  /* for WSGI_BEGIN; -1: unknown */
    PyObject *whole; /* owned bytes; NULL: an empty body */
    PyObject *out;   /* owned list of bytes, or NULL */
    size_t out_bytes;
    bool full; /* the connection has more to write than its high-water mark */
    uint64_t lent_bytes;
    HttpLoan loan;    /* .fd is -1 except while the socket is lent */
    int loan_error;   /* of WSGI_LEND; UV_EAGAIN until it is known */
    uv_sem_t *waiter; /* on the stack of the worker that waits; NULL when none does */
} WsgiCall;

extern const MountOps wsgi_mount_ops;

/* Creates WsgiState.wsgi_call_type and adds it to the module. 0, or -1 with an exception set. */
int wsgi_call_setup(PyObject *module, WsgiState *st);

/* ---- For the worker ----------------------------------------------------------------------- */

/* Adds `orders` to those that the loop will carry out soon. 0 is enough for pieces in `out`. */
void wsgi_order(WsgiCall *call, unsigned orders);

/* Releases the GIL and waits until something has changed: a piece or the end of the body has
 * arrived, orders were carried out, or the client has gone. 0; -1 with RuntimeError set when
 * another thread waits already. */
int wsgi_wait(WsgiCall *call);

/* ---- run.c --------------------------------------------------------------------------- */

/* PoolJob.run: calls the app. */
void wsgi_run(PoolJob *job);

/* Keeps the path of the route that the app has found, for those who count requests. `result` (borrowed) is what the
 * app has returned, None before. */
void wsgi_find_route(WsgiCall *call, PyObject *env, PyObject *result);

/* Logs what went wrong with the request. `exc` (borrowed) may be NULL. */
void wsgi_report(WsgiCall *call, const char *what, PyObject *exc);

/* ---- start_response.c ------------------------------------------------------------------ */

/* start_response for the app: a new reference, or NULL with an exception set. */
PyObject *wsgi_start_response_new(WsgiCall *call);

/* ---- response.c ------------------------------------------------------------------------ */

typedef enum WsgiSent {
    WSGI_SENT_FAILED = -1, /* an exception is set */
    WSGI_SENT_MORE,        /* continue with the next piece */
    WSGI_SENT_ENOUGH,      /* stop: nothing that follows would reach the client */
} WsgiSent;

/* write() for the app: a new reference, or NULL with an exception set. */
PyObject *wsgi_write_new(WsgiCall *call);

/* Checks and sends one piece (borrowed) of the body; then waits if the client is slow. */
WsgiSent wsgi_send(WsgiCall *call, PyObject *piece);
/* The same for all pieces of the body: `pieces` (borrowed) is a list or tuple. Doesn't wait. */
WsgiSent wsgi_send_all(WsgiCall *call, PyObject *pieces);
/* Completes the response after the last piece. 0, or -1 with an exception set. */
int wsgi_finish(WsgiCall *call);
/* Ends the response that the app can't complete. */
void wsgi_fail(WsgiCall *call);

/* Whether the response has no body, whatever the app gives (RFC 9110 section 6.4.1). */
bool wsgi_is_bodyless(const WsgiCall *call);
/* Sets the Content-Length, known from what the app returned, unless the app has stated it. */
void wsgi_state_length(WsgiCall *call, int64_t length);
/* Orders the head of a streamed response, for a body of `length` bytes (-1: unknown). */
void wsgi_begin(WsgiCall *call, int64_t length);

/* ---- file.c -------------------------------------------------------------------------- */

/* Responds with the file in `wrapper` (borrowed), an app->file_type. 1 when that is done; 0 when
 * the kernel can't copy that file, so the caller must read it; -1 with an exception set. */
int wsgi_send_file(WsgiCall *call, PyObject *wrapper);

#endif
