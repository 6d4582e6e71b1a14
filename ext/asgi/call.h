/* One request to an ASGI app: the object that its task runs, and what `receive` and `send` know.
 *
 *   call.c      the call: when it starts, what its end means for the response
 *   receive.c   events for the app: pieces of the body, the client's end
 *   send.c      events from the app: the response, in the order that the specification asks for
 *   file.c      answers that are files
 *   message.c   what they say
 *   scope.c     the scope
 *   socket.c    the same for WebSockets
 *
 * The app is called when the whole request is there or, if that takes longer than the rest of the
 * loop's iteration, with what there is of it: most bodies arrive together with their heads, and
 * then `receive` has nothing to wait for (ADR 12). Thread: the loop's.
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
    ASGI_BODY,     /* the first http.response.body: nothing is written before */
    ASGI_STREAM,   /* further bodies */
    ASGI_TRAILERS, /* http.response.trailers */
    ASGI_OVER,     /* nothing: the response is complete */
} AsgiStage;

typedef struct AsgiCall AsgiCall;

/* What differs between requests and WebSockets. */
typedef struct AsgiKind {
    PyObject *(*scope)(AsgiApp *app, HttpRequest *req);
    /* `await receive()` (see WaitOps), and `send(message)`: what is to be awaited. */
    WaitOps receive;
    PyObject *(*send)(AsgiCall *call, PyObject *message, const Message *m);
    /* The app has returned: NULL, or what is wrong with that, for the log. */
    const char *(*fault)(AsgiCall *call);
    /* Ends what the app has left open, after a fault or an exception, or without. */
    void (*end)(AsgiCall *call, bool failed);
} AsgiKind;

struct AsgiCall {
    RequestCoro base;
    const AsgiKind *kind; /* static */
    AppServer *server;    /* owned: outlives the requests of its HttpServer */
    AsgiApp *app;         /* owned */
    HttpRequest *req;     /* owned reference; NULL when the call is over */
    /* owned while suspended and the client there; see asgi_call_traverse */
    PyObject *task;
    Ring waiting; /* in AsgiApp.waiting, which owns a reference, before the start */

    /* receive */
    Gather pieces;   /* of the body, not taken yet */
    bool paused;     /* the connection doesn't read, since too much waits */
    bool body_given; /* the app has the event with the body's end */
    bool left;       /* the client has probably gone, see HttpOps.on_left */
    bool gone;       /* the client went away before the response was complete */
    /* the app has had http.disconnect before its response was complete */
    bool told_gone;
    WaitList readers;

    /* send */
    AsgiStage stage;
    int status;        /* from the start on */
    bool has_trailers; /* they are announced */
    bool head_only;    /* the head is out before the first body, see asgi_send_held */
    HttpFields fields; /* owned: of the start, while it is held, and of the trailers */
    WaitList writers;
};

/* Creates AsgiState.asgi_call_type and adds it to the module. 0, or -1 with an exception set. */
int asgi_call_setup(PyObject *module, AsgiState *st);

/* What becomes of requests to an AsgiApp. */
extern const MountOps asgi_mount_ops;

/* ---- Between the files -------------------------------------------------------------------- */

/* Of asgi_mount_ops: what is in receive.c. */
void asgi_body(HttpRequest *req, Slice piece);
void asgi_body_end(HttpRequest *req);

/* `receive` and `send` for the app: new references, or NULL with an exception set. */
PyObject *asgi_receive_new(AsgiCall *call);
PyObject *asgi_send_new(AsgiCall *call);

/* AsgiKind's functions for requests. `kind` is m->kind, or what it is to be taken for. */
WaitStep asgi_http_receive(PyObject *call, PyObject **result, WaitList **list);
PyObject *asgi_http_send(AsgiCall *call, PyObject *message, const Message *m,
                         MessageKind kind);
const char *asgi_http_fault(AsgiCall *call);
void asgi_http_end(AsgiCall *call, bool failed);

/* A new call for the request (of the type `type`, which derives from asgi_call_type or is it);
 * NULL with an exception set. */
AsgiCall *asgi_call_new(PyTypeObject *type, const AsgiKind *kind, HttpRequest *req,
                        AsgiApp *app);
/* RequestCoroOps.release, and tp_traverse and tp_clear. */
void asgi_call_release(RequestCoro *base);
int asgi_call_traverse(PyObject *op, visitproc visit, void *arg);
int asgi_call_clear(PyObject *op);

/* Checks an offer and calls the app. */
void asgi_socket_request(HttpRequest *req, AsgiApp *app);
/* Nothing more comes from the client, and nothing can go to it. */
void asgi_call_gone(HttpRequest *req);
/* The same before a WebSocket was accepted. */
void asgi_socket_gone(AsgiCall *call);
bool asgi_is_socket(const AsgiCall *call);
int asgi_socket_setup(PyObject *module, AsgiState *st);

/* Raises what send() is to raise without a client ("Disconnected Client" in the specification).
 * Returns -1. */
int asgi_raise_gone(const AsgiCall *call);
/* Raises for the result of an http_ function. Returns -1. */
int asgi_raise(const AsgiCall *call, int err);
/* Raises for a message of this type (borrowed) that isn't due. Returns -1. */
int asgi_raise_unexpected(const AsgiCall *call, PyObject *type);

/* Whether the message is due. */
bool asgi_is_expected(const AsgiCall *call, MessageKind kind);
/* The length that the held head states; -1 for none. */
int64_t asgi_stated_length(const AsgiCall *call);
/* Whether a response in one piece has that length, where it matters. 0, or -1 with RuntimeError set. */
int asgi_check_length(const AsgiCall *call, int64_t length);
/* Writes the held head, for a body of `length` bytes; -1: not known. 0, or -1 with an exception set. */
int asgi_stream_begin(AsgiCall *call, int64_t length);

/* Writes the head that is held, if one is: only a write shows whether the client reads on. */
void asgi_send_held(AsgiCall *call);

/* http.response.pathsend, zerocopysend and debug: what is to be awaited. */
PyObject *asgi_send_by_python(AsgiCall *call, PyObject *message);

/* Calls the app now, if that hasn't happened. */
void asgi_call_start(AsgiCall *call);

/* 0 when `name`() may be called here and now; else -1 with RuntimeError set. */
int asgi_call_check(const AsgiCall *call, const char *name);

/* func(arg) was called in another thread, as an `async def` may be: a coroutine that calls it again when
 * the loop runs it, or NULL with an exception set. `func` is stolen and may be NULL, when an exception is
 * set; `arg` is borrowed; NULL: none. */
PyObject *asgi_call_later(AsgiCall *call, PyObject *func, PyObject *arg);

/* Whether this is the thread of the app's loop. */
static inline bool
asgi_call_is_here(const AsgiCall *call)
{
    return likely(call->server != NULL && loop_runs_here(call->server->loop));
}

/* The response is complete, as far as the app is concerned: stage becomes OVER, readers learn that
 * there will be nothing more to do. */
void asgi_call_answered(AsgiCall *call);

#endif
