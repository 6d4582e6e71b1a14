/* One request to an ASGI app: the object that its task runs, with the state of `receive` and `send`.
 *
 *   call.c      the call: when it starts, and what its end means for the response
 *   receive.c   events for the app: pieces of the body, the client's end
 *   send.c      messages from the app: the response, in the order that the specification demands
 *   file.c      responses that are files
 *   message.c   reads the messages
 *   scope.c     makes the scope
 *   socket.c    all of this for WebSockets
 *
 * The app is called when the whole request has arrived. If that takes longer than the rest of the loop's
 * iteration, it is called with what is there. Most bodies arrive together with their heads, so `receive`
 * seldom has to wait (ADR 12). Thread: the loop's.
 */
#ifndef FLUVIAL_ASGI_CALL_H
#define FLUVIAL_ASGI_CALL_H

#include "base/py.h"
#include "base/gather.h"
#include "base/ring.h"
#include "asgi/app.h"
#include "asgi/message.h"
#include "app/call.h"
#include "app/request_coro.h"
#include "app/server.h"
#include "app/waiting.h"
#include "http/response.h"

/* What `send` expects next. */
typedef enum AsgiStage {
    ASGI_START,    /* http.response.start */
    ASGI_BODY,     /* the first http.response.body; the head is held until then */
    ASGI_STREAM,   /* further bodies */
    ASGI_TRAILERS, /* http.response.trailers */
    ASGI_OVER,     /* nothing more: the response is complete */
} AsgiStage;

typedef struct AsgiCall AsgiCall;

/* What differs between requests and WebSockets. */
typedef struct AsgiKind {
    PyObject *(*scope)(AsgiApp *app, HttpRequest *req);
    /* `receive` does the work of `await receive()`; `send` returns what `await send(message)` awaits. */
    WaitOps receive;
    PyObject *(*send)(AsgiCall *call, PyObject *message, const Message *m);
    /* Called when the app has returned: NULL, or for the log what is wrong with that. */
    const char *(*fault)(AsgiCall *call);
    /* Ends what the app has left open. `failed`: after a fault or an exception. */
    void (*end)(AsgiCall *call, bool failed);
} AsgiKind;

struct AsgiCall {
    RequestCoro base;
    const AsgiKind *kind; /* static */
    AppServer *server;    /* owned: outlives the requests of its HttpServer */
    AsgiApp *app;         /* owned */
    HttpRequest *req;     /* owned reference; NULL when the call is over */
    /* owned while suspended and the client is there, see asgi_call_traverse */
    PyObject *task;
    PyObject
        *scope; /* owned until the response begins, only while requests are counted */
    /* linked in AsgiApp.waiting, which owns a reference then, before the start */
    Ring waiting;

    /* receive */
    Gather pieces;   /* of the body, not received by the app yet */
    bool paused;     /* the connection has stopped reading, because `pieces` is full */
    bool body_given; /* the app has received the event with the end of the body */
    bool left;       /* the client has probably gone, see HttpOps.on_left */
    bool gone;       /* the client went away before the response was complete */
    /* the app received http.disconnect before its response was complete */
    bool told_gone;
    bool
        hears_gone; /* it was waiting in receive() when the client left, or has called it since */
    bool cancelled;  /* the task: a second time would interrupt its clean-up */
    uint8_t dropped; /* messages since then that raised nothing */
    WaitList readers;

    /* send */
    AsgiStage stage;
    int status;        /* since http.response.start */
    bool has_trailers; /* the app has announced trailers */
    bool head_only; /* the head was written before the first body, see asgi_send_held */
    bool
        unneeded; /* the response is complete without the body that the app is sending */
    HttpFields fields; /* owned: of the head while it is held, then of the trailers */
    WaitList writers;
};

/* Creates AsgiState.asgi_call_type and adds it to the module. 0, or -1 with an exception set. */
int asgi_call_setup(PyObject *module, AsgiState *st);

/* How requests to an AsgiApp are handled. */
extern const MountOps asgi_mount_ops;

/* ---- Between the files -------------------------------------------------------------------- */

/* The members of asgi_mount_ops that are in receive.c. */
void asgi_body(HttpRequest *req, Slice piece);
void asgi_body_end(HttpRequest *req);

/* `receive` and `send` for the app: new references, or NULL with an exception set. */
PyObject *asgi_receive_new(AsgiCall *call);
PyObject *asgi_send_new(AsgiCall *call);

/* AsgiKind's functions for requests. `kind` is m->kind; a WebSocket that is declined passes the kind of the
 * corresponding http message instead. */
WaitStep asgi_http_receive(PyObject *call, PyObject **result, WaitList **list);
PyObject *asgi_http_send(AsgiCall *call, PyObject *message, const Message *m,
                         MessageKind kind);
const char *asgi_http_fault(AsgiCall *call);
void asgi_http_end(AsgiCall *call, bool failed);

/* A new call for the request: a new reference, or NULL with an exception set. `type` is
 * asgi_call_type or derives from it. */
AsgiCall *asgi_call_new(PyTypeObject *type, const AsgiKind *kind, HttpRequest *req,
                        AsgiApp *app);
/* RequestCoroOps.release, tp_traverse and tp_clear. */
void asgi_call_release(RequestCoro *base);
int asgi_call_traverse(PyObject *op, visitproc visit, void *arg);
int asgi_call_clear(PyObject *op);

/* Checks the offer of a WebSocket and calls the app. */
void asgi_socket_request(HttpRequest *req, AsgiApp *app);
/* MountOps.gone: nothing more comes from the client, and nothing can be sent to it. */
void asgi_call_gone(HttpRequest *req);
/* The same before a WebSocket was accepted. */
void asgi_socket_gone(AsgiCall *call);
bool asgi_is_socket(const AsgiCall *call);
int asgi_socket_setup(PyObject *module, AsgiState *st);

/* Raises what send() raises when the client has gone ("Disconnected Client" in the specification).
 * Returns -1. */
int asgi_raise_gone(const AsgiCall *call);
/* Raises for the result of an http_ function. Returns -1. */
int asgi_raise(const AsgiCall *call, int err);
/* Raises for a message of this type (borrowed) that isn't allowed now. Returns -1. */
int asgi_raise_unexpected(const AsgiCall *call, PyObject *type);

/* The response begins: notes the route that the app has found for the request, for the metrics. */
void asgi_note_route(AsgiCall *call);
/* Whether a message of this kind is allowed now. */
bool asgi_is_expected(const AsgiCall *call, MessageKind kind);
/* The Content-Length of the held head; -1 when it has none. */
int64_t asgi_stated_length(const AsgiCall *call);
/* Checks the length of a response in one piece against the stated one, unless the response has no
 * body. 0, or -1 with RuntimeError set. */
int asgi_check_length(const AsgiCall *call, int64_t length);
/* Writes the held head, for a body of `length` bytes (-1: unknown). 0, or -1 with an exception set. */
int asgi_stream_begin(AsgiCall *call, int64_t length);

/* Writes the head if one is held. Used after the client's FIN: only a write can show whether it
 * still reads. */
void asgi_send_held(AsgiCall *call);

/* What to await for http.response.pathsend, zerocopysend and debug, which Python code handles, and for
 * what is unneeded. */
PyObject *asgi_send_by_python(AsgiCall *call, PyObject *message);

/* Calls the app, unless that has happened already. */
void asgi_call_start(AsgiCall *call);

/* 0 when this is the thread of the app's loop; else -1 with a RuntimeError that names the function
 * `name`. */
int asgi_call_check(const AsgiCall *call, const char *name);

/* For func(arg) that was called on another thread, which is allowed for an `async def`: a coroutine
 * that calls it again when the loop runs it, or NULL with an exception set. `func` is stolen; if it
 * is NULL an exception is set already. `arg` is borrowed; NULL: no argument. */
PyObject *asgi_call_later(AsgiCall *call, PyObject *func, PyObject *arg);

/* Whether this is the thread of the app's loop. */
static inline bool
asgi_call_is_here(const AsgiCall *call)
{
    return likely(call->server != NULL && loop_runs_here(call->server->loop));
}

/* The app has sent its whole response: `stage` becomes ASGI_OVER, and tasks that wait in receive()
 * are woken, since they get http.disconnect now. */
void asgi_call_responded(AsgiCall *call);

/* ---- call_end.c --------------------------------------------------------------------------- */

extern const RequestCoroOps asgi_call_ops;

/* The app has raised the exception that is set, which is cleared. True when `coro` is now a coroutine that
 * sends the response. */
bool asgi_call_raised(AsgiCall *self);

#endif
