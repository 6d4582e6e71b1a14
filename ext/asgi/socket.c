/* A WebSocket of an ASGI app: its events and messages, on top of a WsSession. Until it is accepted,
 * the app can also decline it with a response of its own (websocket.http.response), which send.c
 * writes. Thread: the loop's.
 */
#include "base/py.h"

#include "asgi/call.h"

#include "asgi/scope.h"
#include "app/ws/ws_session.h"
#include "base/dict.h"
#include "base/err.h"
#include "http/ws/ws.h"

#include <uv.h>

typedef struct AsgiSocket {
    AsgiCall call;
    WsSession session;
    HttpRequest *held;  /* owned reference for `session`, as long as the object lives */
    bool connect_given; /* the app has received websocket.connect */
    bool declined;      /* by websocket.close, or by a response that has begun */
    bool closed;        /* by the app */
} AsgiSocket;

static AsgiSocket *
socket_of(AsgiCall *call)
{
    return (AsgiSocket *)call;
}

/* ---- receive ------------------------------------------------------------------------------ */

/* A new dict {"type": type, key: value}; only {"type": type} when `key` is NULL. `value` is stolen. */
static PyObject *
socket_event_new(const AsgiState *st, PyObject *type, PyObject *key, PyObject *value)
{
    PyObject *event = PyDict_New();
    int err = event == NULL ? -1 : PyDict_SetItem(event, st->str_type, type);
    if (err < 0) {
        Py_XDECREF(value);
    } else if (key != NULL) {
        err = dict_put(event, key, value);
    }
    if (err < 0) {
        Py_CLEAR(event);
    }
    return event;
}

static PyObject *
socket_event_disconnect(const AsgiState *st, const WsSession *session)
{
    int code = session->code != 0 ? session->code : WS_ABNORMAL;
    PyObject *reason =
        session->reason == NULL ? PyUnicode_New(0, 0) : Py_NewRef(session->reason);
    PyObject *event = socket_event_new(st, st->str_websocket_disconnect, st->str_code,
                                       PyLong_FromLong(code));
    if (event == NULL) {
        Py_XDECREF(reason);
    } else if (dict_put(event, st->str_reason, reason) < 0) {
        Py_CLEAR(event);
    }
    return event;
}

static PyObject *
socket_event_receive(const AsgiState *st, PyObject *message)
{
    PyObject *key = PyUnicode_Check(message) ? st->str_text : st->str_bytes;
    return socket_event_new(st, st->str_websocket_receive, key, message);
}

static WaitStep
socket_receive_attempt(PyObject *owner, PyObject **result, WaitList **list)
{
    AsgiSocket *self = (AsgiSocket *)owner;
    const AsgiState *st = self->call.app->st;
    WsSession *session = &self->session;
    PyObject *message;
    if (!self->connect_given) {
        self->connect_given = true;
        *result = socket_event_new(st, st->str_websocket_connect, NULL, NULL);
    } else if (self->declined) {
        *result = socket_event_disconnect(st, session);
    } else {
        int found = session_next(session, &message);
        if (found == 0) {
            *list = &session->readers;
            return WAIT_BLOCKED;
        }
        *result = found > 0 ? socket_event_receive(st, message)
                            : socket_event_disconnect(st, session);
    }
    return *result == NULL ? WAIT_FAILED : WAIT_DONE;
}

/* ---- send --------------------------------------------------------------------------------- */

/* Raises for a message that isn't allowed now. Returns -1. */
static int
socket_raise_unexpected(const AsgiSocket *self, const Message *m)
{
    const char *wanted = "expected websocket.accept, websocket.close or "
                         "websocket.http.response.start";
    if (self->declined && self->call.stage < ASGI_OVER) {
        wanted = "expected websocket.http.response.body";
    } else if (self->declined) {
        wanted = "the WebSocket was declined";
    } else if (self->closed) {
        wanted = "websocket.close was sent before";
    } else if (self->session.state != SESSION_WAITING) {
        wanted = "expected websocket.send or websocket.close";
    }
    PyErr_Format(PyExc_RuntimeError, "unexpected ASGI message %R: %s", m->type, wanted);
    return -1;
}

/* Raises for the result of a session_ function. Returns -1. */
static int
socket_raise(const AsgiSocket *self, int err)
{
    if (err == 1) { /* an exception is set */
        return -1;
    }
    if (err == UV_ENOMEM || err == UV_EINVAL) {
        (void)err_set(err);
        return -1;
    }
    return asgi_raise_gone(&self->call); /* the session is over, or writing failed */
}

/* The entry `value` as UTF-8 in *out, which is valid as long as the entry; empty when that is
 * absent or None. 0, or -1 with TypeError set. */
static int
socket_text(PyObject *value, const char *what, Slice *out)
{
    *out = slice_of("", 0);
    if (value == NULL || value == Py_None) {
        return 0;
    }
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "'%s' must be a str, not %.100s", what,
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    Py_ssize_t len;
    out->ptr = PyUnicode_AsUTF8AndSize(value, &len);
    out->len = out->ptr == NULL ? 0 : (size_t)len;
    return out->ptr == NULL ? -1 : 0;
}

static int
socket_send_accept(AsgiSocket *self, const Message *m)
{
    Slice subprotocol;
    HttpFields fields = {.has_date = false};
    int err = -1;
    asgi_note_route(&self->call);
    if (socket_text(m->subprotocol, "subprotocol", &subprotocol) == 0
        && message_headers(m, &fields) == 0) {
        err = session_accept(&self->session, subprotocol, &fields);
        if (err == UV_EINVAL) {
            PyErr_Format(PyExc_ValueError, "'subprotocol' must be a token, not %R",
                         m->subprotocol);
        } else if (err != 0) {
            (void)socket_raise(self, err);
        }
    }
    http_fields_free(&fields);
    return err == 0 ? 0 : -1;
}

/* websocket.send: sends the entry "text" or "bytes". 0, or -1 with an exception set. */
static int
socket_send_data(AsgiSocket *self, const Message *m)
{
    bool has_text = m->text != NULL && m->text != Py_None;
    bool has_bytes = m->bytes != NULL && m->bytes != Py_None;
    if (has_text == has_bytes) {
        PyErr_SetString(PyExc_ValueError,
                        "websocket.send needs either 'text' or 'bytes'");
        return -1;
    }
    if (has_text ? !PyUnicode_Check(m->text) : !PyObject_CheckBuffer(m->bytes)) {
        PyErr_Format(PyExc_TypeError, "'text' must be a str and 'bytes' bytes, not %R",
                     has_text ? m->text : m->bytes);
        return -1;
    }
    int err = session_send(&self->session, has_text ? m->text : m->bytes);
    return err == 0 ? 0 : socket_raise(self, err);
}

static int
close_code(PyObject *value)
{
    if (value == NULL || value == Py_None) {
        return WS_NORMAL;
    }
    long code = PyLong_AsLong(value);
    return code == -1 && PyErr_Occurred() ? -1
           : code < 0 || code > 4999      ? 0
                                          : (int)code;
}

static int
socket_send_close(AsgiSocket *self, const Message *m)
{
    Slice reason;
    int code = close_code(m->code);
    if (code < 0 || socket_text(m->reason, "reason", &reason) < 0) {
        return -1;
    }
    int err = session_close(&self->session, code, reason);
    if (err == UV_EINVAL) {
        PyErr_Format(PyExc_ValueError,
                     "a close code is 1000 to 1003, 1007 to 1014 or 3000 to 4999, and "
                     "its reason has at most %d bytes; not %R and %zu bytes",
                     WS_REASON_MAX, m->code == NULL ? Py_None : m->code, reason.len);
        return -1;
    }
    self->closed = true;
    return err == 0 ? 0 : socket_raise(self, err);
}

/* websocket.close instead of websocket.accept: responds with 403. */
static int
socket_send_decline(AsgiSocket *self)
{
    asgi_note_route(
        &self->call); /* perhaps a property of the route's, so Python code */
    int err =
        self->call.req == NULL ? UV_ECANCELED : http_respond_error(self->call.req, 403);
    self->declined = true;
    asgi_call_responded(&self->call);
    waiting_wake(&self->session.readers);
    return err == 0 ? 0 : socket_raise(self, err);
}

/* websocket.http.response.start or body, instead of websocket.accept. */
static PyObject *
socket_send_response(AsgiSocket *self, PyObject *message, const Message *m)
{
    bool start = m->kind == MESSAGE_WS_START;
    AsgiStage stage = self->call.stage;
    if (start ? stage != ASGI_START : stage != ASGI_BODY && stage != ASGI_STREAM) {
        (void)socket_raise_unexpected(self, m);
        return NULL;
    }
    PyObject *sent =
        asgi_http_send(&self->call, message, m, start ? MESSAGE_START : MESSAGE_BODY);
    self->declined = self->declined || (start && sent != NULL);
    waiting_wake(&self->session.readers);
    return sent;
}

/* Whether the client has ended the WebSocket, or the connection was lost. */
static bool
socket_is_ended(const AsgiSocket *self)
{
    const WsSession *session = &self->session;
    return self->call.gone || (session->state == SESSION_CLOSED && session->by_client);
}

static WaitStep
socket_room_attempt(PyObject *owner, PyObject **result, WaitList **list)
{
    AsgiSocket *self = (AsgiSocket *)owner;
    if (session_is_full(&self->session)) {
        *list = &self->session.writers;
        return WAIT_BLOCKED;
    }
    if (socket_is_ended(self)) {
        (void)asgi_raise_gone(&self->call);
        return WAIT_FAILED;
    }
    *result = Py_NewRef(Py_None);
    return WAIT_DONE;
}

static const WaitOps room_ops = {.attempt = socket_room_attempt};

/* What to await after a message was sent through the session. */
static PyObject *
socket_room(AsgiSocket *self)
{
    const AppState *st = self->call.server->st;
    if (likely(!session_is_full(&self->session))) {
        return Py_NewRef(st->waiting_done);
    }
    return waiting_new(st, self->call.server->loop, &room_ops, (PyObject *)self);
}

/* A message before the handshake is complete. */
static PyObject *
socket_send_waiting(AsgiSocket *self, PyObject *message, const Message *m)
{
    int err;
    if (m->kind == MESSAGE_WS_START || m->kind == MESSAGE_WS_BODY) {
        return socket_send_response(self, message, m);
    }
    if (m->kind == MESSAGE_WS_ACCEPT && !self->declined) {
        err = socket_send_accept(self, m);
    } else if (m->kind == MESSAGE_WS_CLOSE && !self->declined) {
        err = socket_send_decline(self);
    } else {
        err = socket_raise_unexpected(self, m);
    }
    return err < 0 ? NULL : Py_NewRef(self->call.server->st->waiting_done);
}

static PyObject *
socket_send(AsgiCall *call, PyObject *message, const Message *m)
{
    AsgiSocket *self = socket_of(call);
    int err = -1;
    if (self->session.state == SESSION_WAITING && call->req != NULL) {
        return socket_send_waiting(self, message, m);
    }
    if (socket_is_ended(self) && m->kind == MESSAGE_WS_CLOSE) {
        err = 0; /* no error: the app can't know that the client was first */
    } else if (socket_is_ended(self)) {
        (void)asgi_raise_gone(call);
    } else if (self->closed || self->declined
               || (m->kind != MESSAGE_WS_SEND && m->kind != MESSAGE_WS_CLOSE)) {
        (void)socket_raise_unexpected(self, m);
    } else if (m->kind == MESSAGE_WS_SEND) {
        err = socket_send_data(self, m);
    } else {
        err = socket_send_close(self, m);
    }
    return err < 0                 ? NULL
           : socket_is_ended(self) ? Py_NewRef(call->server->st->waiting_done)
                                   : socket_room(self);
}

/* ---- The end ------------------------------------------------------------------------------ */

static const char *
socket_fault(AsgiCall *call)
{
    AsgiSocket *self = socket_of(call);
    if (self->session.state != SESSION_WAITING || call->gone) {
        return NULL;
    }
    if (self->declined) {
        return asgi_http_fault(call);
    }
    return "the app returned without having accepted or closed the WebSocket";
}

static void
socket_end(AsgiCall *call, bool failed)
{
    AsgiSocket *self = socket_of(call);
    if (self->session.state == SESSION_WAITING) {
        asgi_http_end(call, failed);
        return;
    }
    int code = failed ? WS_INTERNAL_ERROR : WS_NORMAL;
    (void)session_close(&self->session, code, slice_of("", 0));
}

void
asgi_socket_gone(AsgiCall *call)
{
    session_gone(&socket_of(call)->session);
}

/* WsSession.ended: releases the task. If it waits for something that can no longer happen, the
 * garbage collector may destroy it now. */
static void
socket_ended(WsSession *session)
{
    AsgiSocket *self = container_of(session, AsgiSocket, session);
    Py_CLEAR(self->call.task);
}

/* ---- The start ---------------------------------------------------------------------------- */

static const AsgiKind socket_kind = {
    .scope = asgi_scope_websocket,
    .receive = {.attempt = socket_receive_attempt},
    .send = socket_send,
    .fault = socket_fault,
    .end = socket_end,
};

void
asgi_socket_request(HttpRequest *req, AsgiApp *app)
{
    if (!ws_check(req)) {
        return;
    }
    PyTypeObject *type = app->st->asgi_socket_type;
    AsgiSocket *self = (AsgiSocket *)asgi_call_new(type, &socket_kind, req, app);
    if (self == NULL) {
        loop_report(call_server(req)->loop, "A WebSocket could not be handled");
        (void)http_respond_error(req, 500);
        return;
    }
    http_request_ref(req);
    self->held = req;
    session_init(&self->session, (PyObject *)self, req);
    self->session.ended = socket_ended;
    asgi_call_start(&self->call);
    Py_DECREF((PyObject *)self);
}

bool
asgi_is_socket(const AsgiCall *call)
{
    return call->kind == &socket_kind;
}

/* ---- The type ----------------------------------------------------------------------------- */

static int
socket_traverse(PyObject *op, visitproc visit, void *arg)
{
    int err = session_traverse(&((AsgiSocket *)op)->session, visit, arg);
    return err != 0 ? err : asgi_call_traverse(op, visit, arg);
}

static int
socket_clear(PyObject *op)
{
    AsgiSocket *self = (AsgiSocket *)op;
    int err = asgi_call_clear(op);
    session_clear(&self->session);
    if (self->held != NULL) {
        HttpRequest *held = self->held;
        self->held = NULL;
        http_request_unref(held);
    }
    return err;
}

static PyType_Slot socket_slots[] = {
    {Py_tp_doc, "A WebSocket of an ASGI app."},
    {Py_tp_traverse, socket_traverse},
    {Py_tp_clear, socket_clear},
    {Py_tp_dealloc, request_coro_dealloc},
    {Py_am_send, request_coro_send},
    {0, NULL},
};

static PyType_Spec socket_spec = {
    .name = "fluvial._core.AsgiSocket",
    .basicsize = sizeof(AsgiSocket),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = socket_slots,
};

int
asgi_socket_setup(PyObject *module, AsgiState *st)
{
    st->asgi_socket_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &socket_spec, (PyObject *)st->asgi_call_type);
    return st->asgi_socket_type == NULL
               ? -1
               : PyModule_AddType(module, st->asgi_socket_type);
}
