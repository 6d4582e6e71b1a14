/* A WebSocket as an application talks to it, whatever interface that has: messages wait in a
 * bounded queue until they are asked for, and the end waits behind them. The native WebSocket
 * object and the ASGI bridge embed the struct.
 *
 * Lifetime: from a successful session_accept until the end, the session holds a reference on
 * `owner`, since the connection may call at any time.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_APP_WS_WS_SESSION_H
#define FLUVIAL_APP_WS_WS_SESSION_H

#include "base/py.h"
#include "app/waiting.h"
#include "http/ws/ws.h"

typedef enum SessionState {
    SESSION_WAITING, /* for session_accept, or for another response */
    SESSION_OPEN,
    SESSION_CLOSING, /* session_close was called, the client hasn't answered */
    SESSION_CLOSED,  /* it is over; messages may still be in the queue */
} SessionState;

typedef struct WsSession {
    /* borrowed: the object that embeds this; owned while `ws` is set */
    PyObject *owner;
    HttpRequest *req; /* borrowed; the owner holds it */
    WsConn *ws;       /* borrowed; NULL unless OPEN or CLOSING */
    SessionState state;
    bool by_client; /* the end was not ours */
    /* the application has closed it, though perhaps not as the first */
    bool close_asked;
    bool busy;        /* messages came since the application last waited for one */
    int code;         /* of the end, see WsOps.on_close; 0 before */
    PyObject *reason; /* owned str; NULL before the end */
    PyObject **queue; /* owned: a ring of owned messages */
    uint32_t cap, first, count;
    size_t bytes;     /* of the messages in the queue */
    WaitList readers; /* for messages or the end */
    WaitList writers; /* for room, or the end */
    /* The end has come. May be NULL. */
    void (*ended)(struct WsSession *session);
} WsSession;

void session_init(WsSession *session, PyObject *owner, HttpRequest *req);
/* Only when nothing is open any more, which the reference on the owner makes sure of. */
void session_clear(WsSession *session);
int session_traverse(WsSession *session, visitproc visit, void *arg);

/* As ws_accept. When the client is gone, which UV_ECANCELED tells, the session is CLOSED. */
int session_accept(WsSession *session, Slice subprotocol, const HttpFields *fields);

/* The client went away before the request was answered (HttpOps.on_gone). */
void session_gone(WsSession *session);

/* The next message in *message, a new reference: str or bytes. 0 when none has come yet: wait on
 * `readers`; -1 at the end, without an exception. */
int session_next(WsSession *session, PyObject **message);

/* Sends `data` (borrowed): a str as text, any other bytes-like object as binary. 0; UV_ECANCELED when it
 * is not OPEN; another UV_E*; 1 with an exception set when `data` can't be sent. Wait on `writers`
 * afterwards while session_is_full. */
int session_send(WsSession *session, PyObject *data);
/* The same for UTF-8 text in a bytes object. */
int session_send_utf8(WsSession *session, PyObject *text);
bool session_is_full(const WsSession *session);

/* As ws_close. What is still in the queue is dropped. */
int session_close(WsSession *session, int code, Slice reason);

#endif
