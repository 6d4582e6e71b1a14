/* A WebSocket as an application uses it, independent of the application's interface. Messages are
 * kept in a bounded queue until the application receives them; it learns of the end after the last
 * one. The native WebSocket object and the ASGI bridge embed the struct.
 *
 * Lifetime: from a successful session_accept until the end the session holds a reference on
 * `owner`, because the connection may call it at any time.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_APP_WS_WS_SESSION_H
#define FLUVIAL_APP_WS_WS_SESSION_H

#include "base/py.h"
#include "app/waiting.h"
#include "http/ws/ws.h"

typedef enum SessionState {
    SESSION_WAITING, /* until session_accept, or a response that declines */
    SESSION_OPEN,
    SESSION_CLOSING, /* session_close was called; the client's close frame is due */
    SESSION_CLOSED,  /* the end has come; messages may still be in the queue */
} SessionState;

typedef struct WsSession {
    /* the object that embeds this: borrowed, but owned while `ws` is set */
    PyObject *owner;
    HttpRequest *req; /* borrowed; the owner holds it */
    WsConn *ws;       /* borrowed; NULL unless OPEN or CLOSING */
    SessionState state;
    bool by_client; /* the client, or a lost connection, ended it */
    /* the application called close(), maybe after the client did */
    bool close_asked;
    bool busy;        /* messages came since the application last waited for one */
    int code;         /* of the end, see WsOps.on_close; 0 before */
    PyObject *reason; /* owned str; NULL before the end */
    PyObject **queue; /* owned: a ring of owned messages */
    uint32_t cap, first, count;
    size_t bytes;     /* of the messages in the queue */
    WaitList readers; /* waiting for messages or the end */
    WaitList writers; /* waiting for room or the end */
    /* Called at the end. May be NULL. */
    void (*ended)(struct WsSession *session);
} WsSession;

void session_init(WsSession *session, PyObject *owner, HttpRequest *req);
/* Only when `ws` is NULL. The reference on the owner makes sure of that. */
void session_clear(WsSession *session);
int session_traverse(WsSession *session, visitproc visit, void *arg);

/* As ws_accept. UV_ECANCELED means that the client has gone: the session is CLOSED then. */
int session_accept(WsSession *session, Slice subprotocol, const HttpFields *fields);

/* The client went away before the handshake was complete (HttpOps.on_gone). */
void session_gone(WsSession *session);

/* Takes the next message. 1 with *message set, a new reference to str or bytes; 0 when none has
 * come yet, so wait on `readers`; -1 without an exception at the end. */
int session_next(WsSession *session, PyObject **message);

/* Sends `data` (borrowed): a str as text, any bytes-like object as binary. 0; UV_ECANCELED when the
 * session isn't OPEN; another UV_E*; 1 with an exception set when `data` can't be sent. While
 * session_is_full, wait on `writers` afterwards. */
int session_send(WsSession *session, PyObject *data);
/* The same for UTF-8 text in a bytes object. */
int session_send_utf8(WsSession *session, PyObject *text);
bool session_is_full(const WsSession *session);

/* As ws_close. Messages that are still in the queue are dropped. */
int session_close(WsSession *session, int code, Slice reason);

#endif
