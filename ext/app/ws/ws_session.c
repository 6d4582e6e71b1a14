/* The queue between a WebSocket and its application (see ws_session.h). Its count and its size are
 * bounded. Past either bound the connection stops reading, until the application has taken half of
 * the queue. Thread: the loop's.
 */
#include "base/py.h"

#include "app/ws/ws_session.h"

#include "app/header_pairs.h"
#include "http/server.h"

#include <uv.h>

enum {
    QUEUE_BYTES = 128
        * 1024,      /* of messages: from here on the connection stops reading */
    QUEUE_FIRST = 4, /* places */
};

/* ---- The queue --------------------------------------------------------------------------- */

static size_t
message_size(PyObject *message)
{
    return PyUnicode_Check(message)
               ? (size_t)PyUnicode_GET_LENGTH(message) * PyUnicode_KIND(message)
               : (size_t)PyBytes_GET_SIZE(message);
}

static int
queue_grow(WsSession *s)
{
    uint32_t cap = s->cap == 0 ? QUEUE_FIRST : s->cap * 2;
    PyObject **queue = PyMem_RawMalloc(cap * sizeof(*queue));
    if (queue == NULL) {
        return UV_ENOMEM;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        queue[i] = s->queue[(s->first + i) % s->cap];
    }
    PyMem_RawFree(s->queue);
    s->queue = queue;
    s->cap = cap;
    s->first = 0;
    return 0;
}

static void
queue_put(WsSession *s, PyObject *message)
{
    s->queue[(s->first + s->count++) % s->cap] = message;
    s->bytes += message_size(message);
}

static PyObject *
queue_take(WsSession *s)
{
    PyObject *message = s->queue[s->first];
    s->first = (s->first + 1) % s->cap;
    s->count--;
    s->bytes -= message_size(message);
    return message;
}

static void
queue_clear(WsSession *s)
{
    while (s->count != 0) {
        Py_DECREF(queue_take(s));
    }
    PyMem_RawFree(s->queue);
    s->queue = NULL;
    s->cap = 0;
}

static bool
queue_is_full(const WsSession *s)
{
    uint32_t most = http_server_limits(s->req->server)->ws_queue;
    return s->bytes >= QUEUE_BYTES || (most != 0 && s->count >= most);
}

static bool
queue_has_room(const WsSession *s)
{
    uint32_t most = http_server_limits(s->req->server)->ws_queue;
    return s->bytes <= QUEUE_BYTES / 2 && (most == 0 || s->count <= most / 2);
}

/* ---- Called by the connection ------------------------------------------------------------ */

static void
session_on_message(WsConn *ws, PyObject *data)
{
    WsSession *s = ws_context(ws);
    if (s->count == s->cap && queue_grow(s) != 0) {
        Py_DECREF(data);
        (void)ws_close(ws, WS_INTERNAL_ERROR, SLICE("The server is out of memory"));
        return;
    }
    queue_put(s, data);
    s->busy = true;
    if (queue_is_full(s)) {
        ws_pause(ws);
    }
    waiting_wake(&s->readers);
}

static void
session_on_drain(WsConn *ws)
{
    waiting_wake(&((WsSession *)ws_context(ws))->writers);
}

static bool
session_is_busy(WsConn *ws)
{
    return ((WsSession *)ws_context(ws))->busy;
}

/* Ends the session. `reason` is stolen; NULL, with MemoryError set, stands for "". */
static void
session_end(WsSession *s, int code, PyObject *reason)
{
    if (reason == NULL) {
        PyErr_Clear(); /* MemoryError: the session ends without its reason */
        reason = PyUnicode_New(0, 0);
    }
    s->by_client = s->state != SESSION_CLOSING;
    s->state = SESSION_CLOSED;
    s->ws = NULL;
    s->code = code;
    Py_XSETREF(s->reason, reason);
    waiting_wake(&s->readers);
    waiting_wake(&s->writers);
    if (s->ended != NULL) {
        s->ended(s);
    }
}

static void
session_on_close(WsConn *ws, int code, Slice reason, bool clean)
{
    (void)clean;
    WsSession *s = ws_context(ws);
    PyObject *owner = s->owner;
    session_end(s, code,
                PyUnicode_DecodeUTF8(reason.ptr, (Py_ssize_t)reason.len, "replace"));
    Py_DECREF(owner); /* perhaps the last reference */
}

static const WsOps session_ops = {
    .on_message = session_on_message,
    .on_drain = session_on_drain,
    .is_busy = session_is_busy,
    .on_close = session_on_close,
};

/* ---- Called for the application ---------------------------------------------------------- */

void
session_init(WsSession *s, PyObject *owner, HttpRequest *req)
{
    *s = (WsSession){.owner = owner, .req = req};
}

void
session_clear(WsSession *s)
{
    assert(s->ws == NULL);
    queue_clear(s);
    Py_CLEAR(s->reason);
}

int
session_traverse(WsSession *s, visitproc visit, void *arg)
{
    Py_VISIT(s->reason);
    return 0;
}

int
session_accept(WsSession *s, Slice subprotocol, const HttpFields *fields)
{
    if (s->state != SESSION_WAITING) {
        return UV_ECANCELED;
    }
    WsAccept accept = {subprotocol, fields, &session_ops, s};
    int err = ws_accept(s->req, &accept, &s->ws);
    if (err == 0) {
        s->state = SESSION_OPEN;
        Py_INCREF(s->owner);
    } else if (err == UV_ECANCELED) {
        session_gone(s);
    }
    return err;
}

void
session_gone(WsSession *s)
{
    if (s->state == SESSION_WAITING) {
        session_end(s, WS_ABNORMAL, PyUnicode_New(0, 0));
    }
}

int
session_next(WsSession *s, PyObject **message)
{
    if (s->count == 0) {
        s->busy = false;
        if (s->ws != NULL) {
            ws_idle(s->ws);
        }
        return s->state == SESSION_CLOSED ? -1 : 0;
    }
    *message = queue_take(s);
    if (s->ws != NULL && queue_has_room(s)) {
        ws_resume(s->ws);
    }
    return 1;
}

static int
session_send_text(WsSession *s, PyObject *data)
{
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(data, &len);
    return text == NULL ? 1 : ws_send_text(s->ws, slice_of(text, (size_t)len), data);
}

/* Sends any other object with a buffer. Its memory may change as soon as this returns, so it is copied. */
static int
session_send_buffer(WsSession *s, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return 1;
    }
    /* Getting the buffer may have run Python code, which may have closed the session. */
    int err = s->state != SESSION_OPEN
                  ? UV_ECANCELED
                  : ws_send_binary(s->ws, slice_of(view.buf, (size_t)view.len), NULL);
    PyBuffer_Release(&view);
    return err;
}

int
session_send(WsSession *s, PyObject *data)
{
    if (s->state != SESSION_OPEN) {
        return UV_ECANCELED;
    }
    if (PyUnicode_Check(data)) {
        return session_send_text(s, data);
    }
    return PyBytes_CheckExact(data) ? ws_send_binary(s->ws, bytes_slice(data), data)
                                    : session_send_buffer(s, data);
}

int
session_send_utf8(WsSession *s, PyObject *text)
{
    return s->state != SESSION_OPEN ? UV_ECANCELED
                                    : ws_send_text(s->ws, bytes_slice(text), text);
}

bool
session_is_full(const WsSession *s)
{
    return s->state == SESSION_OPEN && ws_is_full(s->ws);
}

int
session_close(WsSession *s, int code, Slice reason)
{
    if (s->state != SESSION_OPEN) {
        return UV_ECANCELED;
    }
    int err = ws_close(s->ws, code, reason);
    if (err == 0) {
        s->state = SESSION_CLOSING;
        queue_clear(s);
        waiting_wake(&s->readers);
        waiting_wake(&s->writers);
    }
    return err;
}
