/* The type `_core.WebSocket` (see ws_type.h). A send method sends when it is called. The awaitable
 * that it returns raises what went wrong, or waits when too much is queued. A receive method takes
 * a message from the session's queue, and suspends only when that is empty.
 */
#include "base/py.h"

#include "app/ws/ws_type.h"

#include "app/call.h"
#include "app/coro.h"
#include "app/header_pairs.h"
#include "app/request_type.h"
#include "app/request_object.h"
#include "app/server.h"
#include "app/ws/ws_object.h"
#include "base/err.h"
#include "http/server.h"

#include <structmember.h>
#include <uv.h>

/* An awaitable that raises the exception which is set: what methods return when they fail. */
static PyObject *
websocket_failure(PyObject *op)
{
    const AppServer *server = websocket_server(op);
    return waiting_failed(server->st, server->loop);
}

/* Whether this is the loop's thread. */
static bool
websocket_is_here(PyObject *op)
{
    return likely(((WebSocketObject *)op)->thread == PyThread_get_thread_ident());
}

/* For a method that was called on another thread, which is allowed for an `async def`: a coroutine
 * that calls it again when the loop runs it. `args` and `kwargs` are borrowed, and may be NULL. */
static PyObject *
websocket_call_later(PyObject *op, const char *name, PyObject *args, PyObject *kwargs)
{
    const AppServer *server = websocket_server(op);
    /* Our own method and not the attribute of `op`: a subclass may have overridden that and called us. */
    PyObject *head = NULL, *all = NULL, *coro = NULL;
    PyObject *method =
        PyObject_GetAttrString((PyObject *)server->st->websocket_type, name);
    if (method == NULL) {
        goto done;
    }
    head = PyTuple_Pack(3, (PyObject *)server->loop, method, op);
    if (head == NULL) {
        goto done;
    }
    all = args == NULL ? Py_NewRef(head) : PySequence_Concat(head, args);
    if (all == NULL) {
        goto done;
    }
    coro = PyObject_Call(server->websockets.later, all, kwargs);
done:
    Py_XDECREF(all);
    Py_XDECREF(head);
    Py_XDECREF(method);
    return coro;
}

/* As websocket_call_later, for a method with one argument. */
static PyObject *
websocket_call_later_with(PyObject *op, const char *name, PyObject *arg)
{
    PyObject *args = PyTuple_Pack(1, arg);
    PyObject *coro = args == NULL ? NULL : websocket_call_later(op, name, args, NULL);
    Py_XDECREF(args);
    return coro;
}

/* ---- Receiving --------------------------------------------------------------------------- */

/* Takes the next message, text or binary. */
static WaitStep
websocket_attempt_any(PyObject *op, PyObject **result, WaitList **list)
{
    WsSession *session = websocket_session(op);
    int found = session->state == SESSION_WAITING ? -1 : session_next(session, result);
    if (found > 0) {
        return WAIT_DONE;
    }
    if (found == 0) {
        *list = &session->readers;
        return WAIT_BLOCKED;
    }
    if (session->state == SESSION_WAITING) {
        (void)websocket_raise_error(op, UV_ECANCELED);
    } else {
        websocket_raise_disconnect(op);
    }
    return WAIT_FAILED;
}

/* Refuses a message of a kind that the application doesn't expect, with close code 1003. */
static WaitStep
websocket_refuse_kind(PyObject *op, PyObject **result, const char *detail)
{
    Py_CLEAR(*result);
    PyObject *reason = PyUnicode_FromString(detail);
    if (reason != NULL) {
        websocket_raise_with_code(websocket_server(op)->websockets.exception,
                                  WS_UNSUPPORTED_DATA, reason);
        Py_DECREF(reason);
    }
    return WAIT_FAILED;
}

static WaitStep
websocket_attempt_text(PyObject *op, PyObject **result, WaitList **list)
{
    WaitStep step = websocket_attempt_any(op, result, list);
    return step == WAIT_DONE && !PyUnicode_Check(*result)
               ? websocket_refuse_kind(op, result, "Text was expected, not bytes")
               : step;
}

static WaitStep
websocket_attempt_bytes(PyObject *op, PyObject **result, WaitList **list)
{
    WaitStep step = websocket_attempt_any(op, result, list);
    return step == WAIT_DONE && !PyBytes_Check(*result)
               ? websocket_refuse_kind(op, result, "Bytes were expected, not text")
               : step;
}

static const WaitOps any_ops = {.attempt = websocket_attempt_any};
static const WaitOps text_ops = {.attempt = websocket_attempt_text};
static const WaitOps bytes_ops = {.attempt = websocket_attempt_bytes};

static PyObject *
websocket_receive(PyObject *op, const char *name, const WaitOps *ops)
{
    const AppServer *server = websocket_server(op);
    return websocket_is_here(op) ? waiting_new(server->st, server->loop, ops, op)
                                 : websocket_call_later(op, name, NULL, NULL);
}

static PyObject *
websocket_receive_data(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return websocket_receive(op, "receive_data", &any_ops);
}

static PyObject *
websocket_receive_text(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return websocket_receive(op, "receive_text", &text_ops);
}

static PyObject *
websocket_receive_bytes(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return websocket_receive(op, "receive_bytes", &bytes_ops);
}

/* ---- Sending ----------------------------------------------------------------------------- */

static WaitStep
websocket_attempt_drain(PyObject *op, PyObject **result, WaitList **list)
{
    WsSession *session = websocket_session(op);
    if (session_is_full(session)) {
        *list = &session->writers;
        return WAIT_BLOCKED;
    }
    if (session->state == SESSION_CLOSED && session->by_client) {
        websocket_raise_disconnect(op);
        return WAIT_FAILED;
    }
    *result = Py_NewRef(Py_None);
    return WAIT_DONE;
}

static const WaitOps drain_ops = {.attempt = websocket_attempt_drain};

/* What a send method returns, given the result of the session's function. */
static PyObject *
websocket_sent(PyObject *op, int err)
{
    const AppServer *server = websocket_server(op);
    if (unlikely(err != 0)) {
        (void)websocket_raise_error(op, err);
        return websocket_failure(op);
    }
    if (likely(!session_is_full(websocket_session(op)))) {
        return Py_NewRef(server->st->waiting_done);
    }
    return waiting_new(server->st, server->loop, &drain_ops, op);
}

static PyObject *
websocket_send_text(PyObject *op, PyObject *data)
{
    if (!websocket_is_here(op)) {
        return websocket_call_later_with(op, "send_text", data);
    }
    if (!PyUnicode_Check(data)) {
        PyErr_Format(PyExc_TypeError, "send_text() takes a str, not %.100s",
                     Py_TYPE(data)->tp_name);
        return websocket_failure(op);
    }
    return websocket_sent(op, session_send(websocket_session(op), data));
}

static PyObject *
websocket_send_bytes(PyObject *op, PyObject *data)
{
    if (!websocket_is_here(op)) {
        return websocket_call_later_with(op, "send_bytes", data);
    }
    if (!PyObject_CheckBuffer(data)) {
        PyErr_Format(PyExc_TypeError, "send_bytes() takes bytes, not %.100s",
                     Py_TYPE(data)->tp_name);
        return websocket_failure(op);
    }
    return websocket_sent(op, session_send(websocket_session(op), data));
}

static PyObject *
websocket_send_utf8(PyObject *op, PyObject *data)
{
    if (!websocket_is_here(op)) {
        return websocket_call_later_with(op, "send_utf8", data);
    }
    if (!PyBytes_Check(data)) {
        PyErr_Format(PyExc_TypeError, "send_utf8() takes bytes, not %.100s",
                     Py_TYPE(data)->tp_name);
        return websocket_failure(op);
    }
    return websocket_sent(op, session_send_utf8(websocket_session(op), data));
}

/* ---- Accepting and closing --------------------------------------------------------------- */

static void
websocket_raise_unaccepted(PyObject *op, int err)
{
    const WsSession *session = websocket_session(op);
    if (err == UV_EINVAL) {
        PyErr_SetString(PyExc_ValueError, "the subprotocol is not a token");
    } else if (err == UV_ECANCELED && session->state == SESSION_CLOSED
               && session->by_client) {
        websocket_raise_disconnect(op);
    } else if (err == UV_ECANCELED) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the WebSocket has already been accepted or closed");
    } else {
        (void)websocket_raise_error(op, err);
    }
}

static PyObject *
websocket_accept(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"subprotocol", "headers", NULL};
    Slice subprotocol = {NULL, 0};
    Py_ssize_t len = 0;
    PyObject *headers = Py_None; /* borrowed */
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|z#O:accept", (char **)names,
                                     &subprotocol.ptr, &len, &headers)) {
        return NULL;
    }
    if (!websocket_is_here(op)) {
        return websocket_call_later(op, "accept", args, kwargs);
    }
    HttpFields fields = {.has_date = false};
    if (headers != Py_None && fields_from_pairs(&fields, headers) < 0) {
        http_fields_free(&fields);
        return websocket_failure(op);
    }
    subprotocol.len = (size_t)len;
    int err = session_accept(websocket_session(op), subprotocol, &fields);
    http_fields_free(&fields);
    if (err != 0) {
        websocket_raise_unaccepted(op, err);
        return websocket_failure(op);
    }
    return Py_NewRef(websocket_server(op)->st->waiting_done);
}

/* Closing a WebSocket that is closed already is no error, since the application can't know that the
 * client was first. */
static PyObject *
websocket_close(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"code", "reason", NULL};
    int code = WS_NORMAL;
    Slice reason = {"", 0};
    Py_ssize_t len = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|iz#:close", (char **)names, &code,
                                     &reason.ptr, &len)) {
        return NULL;
    }
    if (!websocket_is_here(op)) {
        return websocket_call_later(op, "close", args, kwargs);
    }
    reason.len = (size_t)len;
    WsSession *session = websocket_session(op);
    int err = session_close(session, code, reason);
    if (err == UV_EINVAL) {
        PyErr_Format(PyExc_ValueError,
                     "a close code is 1000 to 1003, 1007 to 1014 or 3000 to 4999, "
                     "not %d, and its reason has at most %d bytes, not %zd",
                     code, WS_REASON_MAX, len);
        return websocket_failure(op);
    }
    session->close_asked = true;
    if (session->state == SESSION_WAITING) {
        (void)http_respond_error(session->req, 403);
        session->state = SESSION_CLOSED;
    }
    return Py_NewRef(websocket_server(op)->st->waiting_done);
}

void
websocket_gone(PyObject *websocket)
{
    session_gone(websocket_session(websocket));
}

/* The connection won't wake the handler's task any more, so it needn't be kept alive. */
static void
websocket_ended(WsSession *session)
{
    coro_let_go(session->req);
}

/* ---- Attributes -------------------------------------------------------------------------- */

static PyObject *
websocket_get_reason(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *reason = websocket_session(op)->reason;
    return Py_NewRef(reason == NULL ? Py_None : reason);
}

static PyObject *
websocket_get_state(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(websocket_session(op)->state);
}

static PyObject *
websocket_get_subprotocols(PyObject *op, void *Py_UNUSED(closure))
{
    WsOffers offers = {.begun = false};
    Slice offer;
    PyObject *list = PyList_New(0);
    int err = list == NULL ? -1 : 0;
    while (err == 0
           && ws_next_subprotocol(websocket_session(op)->req, &offers, &offer)) {
        PyObject *text = PyUnicode_DecodeLatin1(offer.ptr, (Py_ssize_t)offer.len, NULL);
        err = text == NULL ? -1 : PyList_Append(list, text);
        Py_XDECREF(text);
    }
    if (err < 0) {
        Py_CLEAR(list);
    }
    return list;
}

/* ---- The type ---------------------------------------------------------------------------- */

static int
websocket_traverse(PyObject *op, visitproc visit, void *arg)
{
    int err = session_traverse(websocket_session(op), visit, arg);
    return err != 0 ? err : request_traverse(op, visit, arg);
}

static void
websocket_dealloc(PyObject *op)
{
    PyObject_GC_UnTrack(op);
    session_clear(websocket_session(op));
    request_dealloc(op);
}

static PyMethodDef websocket_methods[] = {
    {"accept", (PyCFunction)(void (*)(void))websocket_accept,
     METH_VARARGS | METH_KEYWORDS, "Completes the opening handshake."},
    {"receive_data", websocket_receive_data, METH_NOARGS, "The next message."},
    {"receive_text", websocket_receive_text, METH_NOARGS, "The next message, a str."},
    {"receive_bytes", websocket_receive_bytes, METH_NOARGS, "The next message, bytes."},
    {"send_text", websocket_send_text, METH_O, "Sends a str."},
    {"send_bytes", websocket_send_bytes, METH_O, "Sends any bytes-like object."},
    {"send_utf8", websocket_send_utf8, METH_O, "Sends UTF-8 bytes as text."},
    {"close", (PyCFunction)(void (*)(void))websocket_close,
     METH_VARARGS | METH_KEYWORDS,
     "Begins the close handshake, or declines the offer."},
    {NULL, NULL, 0, NULL},
};

#define SESSION(member)                                                                \
    (offsetof(WebSocketObject, session) + offsetof(WsSession, member))

static PyMemberDef websocket_members[] = {
    {"close_code", T_INT, SESSION(code), READONLY, NULL},
    {"by_client", T_BOOL, SESSION(by_client), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef websocket_getset[] = {
    {"close_reason", websocket_get_reason, NULL, NULL, NULL},
    {"session_state", websocket_get_state, NULL, NULL, NULL},
    {"subprotocols", websocket_get_subprotocols, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot websocket_slots[] = {
    {Py_tp_doc, "One WebSocket; made by the server."},
    {Py_tp_traverse, websocket_traverse},
    {Py_tp_clear, request_clear},
    {Py_tp_dealloc, websocket_dealloc},
    {Py_tp_methods, websocket_methods},
    {Py_tp_members, websocket_members},
    {Py_tp_getset, websocket_getset},
    {0, NULL},
};

static PyType_Spec websocket_spec = {
    .name = "fluvial._core.WebSocket",
    .basicsize = sizeof(WebSocketObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = websocket_slots,
};

int
websocket_setup(PyObject *module, AppState *st)
{
    st->websocket_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &websocket_spec, (PyObject *)st->request_type);
    return st->websocket_type == NULL ? -1
                                      : PyModule_AddType(module, st->websocket_type);
}

PyObject *
websocket_new(HttpRequest *req)
{
    AppServer *server = call_server(req);
    PyObject *op = request_new(server->websockets.type, req, server->app);
    if (op != NULL) {
        session_init(websocket_session(op), op, req);
        websocket_session(op)->ended = websocket_ended;
        ((WebSocketObject *)op)->thread = PyThread_get_thread_ident();
    }
    return op;
}
