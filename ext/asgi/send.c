/* `await send(message)`: the response of an ASGI app. The head is held until the first body, so
 * that a response in one piece is one write. A message takes effect when send() is called. The
 * awaitable that send() returns raises what is wrong with the message, or waits when too much is
 * queued. Thread: the loop's.
 */
#include "base/py.h"

#include "asgi/call.h"

#include "app/header_pairs.h"
#include "base/err.h"

#include <uv.h>

enum {
    DROPPED_MAX = 16, /* messages after the client has left that raise nothing */
};

/* ---- Errors ------------------------------------------------------------------------------- */

int
asgi_raise_gone(const AsgiCall *call)
{
    PyErr_SetString(call->app->gone_error, "the client has gone away");
    return -1;
}

int
asgi_raise_unexpected(const AsgiCall *call, PyObject *type)
{
    /* An app that gives up a response because the client has gone may begin another one, an error page. */
    if (call->told_gone) {
        return asgi_raise_gone(call);
    }
    static const char *const wanted[] = {
        [ASGI_START] = "expected http.response.start",
        [ASGI_BODY] = "expected http.response.body",
        [ASGI_STREAM] = "expected http.response.body",
        [ASGI_TRAILERS] = "expected http.response.trailers",
        [ASGI_OVER] = "the response is complete",
    };
    PyErr_Format(PyExc_RuntimeError, "unexpected ASGI message %R: %s", type,
                 wanted[call->stage]);
    return -1;
}

int
asgi_raise(const AsgiCall *call, int err)
{
    switch (err) {
    case UV_ECANCELED:
    case UV_ECONNRESET:
        return asgi_raise_gone(call);
    case UV_EMSGSIZE:
        PyErr_SetString(PyExc_RuntimeError,
                        "the response has more bytes than its Content-Length says");
        return -1;
    case UV_EPROTO:
        PyErr_SetString(PyExc_RuntimeError,
                        "the response has fewer bytes than its Content-Length says");
        return -1;
    case UV_EBUSY:
        PyErr_SetString(PyExc_RuntimeError, "a file is still being sent");
        return -1;
    default:
        (void)err_set(err);
        return -1;
    }
}

/* ---- http.response.start ------------------------------------------------------------------ */

/* Takes the server's scratch buffer, so that requests needn't allocate one. */
static HttpFields
fields_borrow(AsgiCall *call)
{
    HttpFields fields = call->server->fields;
    call->server->fields = (HttpFields){.has_date = false};
    http_fields_clear(&fields);
    return fields;
}

static void
fields_give_back(AsgiCall *call, HttpFields *fields)
{
    HttpFields *scratch = &call->server->fields;
    if (scratch->raw.ptr == NULL) {
        *scratch = *fields;
        *fields = (HttpFields){.has_date = false};
    } else {
        http_fields_free(fields);
    }
}

static void
fields_return(AsgiCall *call)
{
    fields_give_back(call, &call->fields);
}

/* Reading a message may run the app's code, which may send another message. Checks that this one is still
 * allowed. 0, or -1 with an exception set. */
static int
send_check_due(const AsgiCall *call, const Message *m, MessageKind kind)
{
    if (likely(call->req != NULL && asgi_is_expected(call, kind))) {
        return 0;
    }
    return asgi_raise_unexpected(call, m->type);
}

static int
send_start(AsgiCall *call, const Message *m)
{
    int status = message_status(m);
    int trailers = status < 0 ? -1 : message_flag(m->trailers);
    if (trailers < 0) {
        return -1;
    }
    asgi_note_route(call);
    HttpFields fields = fields_borrow(call);
    if (message_headers(m, &fields) < 0 || send_check_due(call, m, MESSAGE_START) < 0) {
        fields_give_back(call, &fields);
        return -1;
    }
    http_fields_free(&call->fields);
    call->fields = fields;
    call->status = status;
    call->has_trailers = trailers != 0;
    call->stage = ASGI_BODY;
    return 0;
}

/* ---- http.response.body ------------------------------------------------------------------- */

int64_t
asgi_stated_length(const AsgiCall *call)
{
    return call->fields.has_content_length ? call->fields.content_length : -1;
}

static bool
is_bodyless(const AsgiCall *call)
{
    return call->req->is_head || http_status_is_bodyless(call->status);
}

int
asgi_check_length(const AsgiCall *call, int64_t length)
{
    int64_t stated = asgi_stated_length(call);
    if (stated < 0 || is_bodyless(call) || stated == length) {
        return 0;
    }
    return asgi_raise(call, stated < length ? UV_EMSGSIZE : UV_EPROTO);
}

/* Writes the whole response. 0, or -1 with an exception set. */
static int
send_write_whole(AsgiCall *call, PyObject *body)
{
    const HttpHead head = {.status = call->status, .fields = &call->fields};
    if (asgi_check_length(call, (int64_t)PyBytes_GET_SIZE(body)) < 0) {
        return -1;
    }
    HttpConn *conn = http_request_conn(call->req);
    int err = http_respond(call->req, &head, bytes_slice(body), body);
    if (conn != NULL) {
        http_offer(conn); /* the app may go on for long */
    }
    fields_return(call);
    asgi_call_responded(call);
    return err == 0 ? 0 : asgi_raise(call, err);
}

int
asgi_stream_begin(AsgiCall *call, int64_t length)
{
    const HttpHead head = {.status = call->status, .fields = &call->fields};
    int err = http_stream_begin(call->req, &head, length);
    fields_return(call);
    call->stage = ASGI_STREAM;
    return err == 0 ? 0 : asgi_raise(call, err);
}

void
asgi_send_held(AsgiCall *call)
{
    if (call->stage != ASGI_BODY || call->req == NULL) {
        return;
    }
    if (asgi_stream_begin(call, asgi_stated_length(call)) < 0) {
        PyErr_Clear(); /* send() raises for the app's next message */
    }
    call->head_only = true;
}

static int
send_write_end(AsgiCall *call)
{
    if (call->has_trailers) {
        call->stage = ASGI_TRAILERS;
        return 0;
    }
    int err = http_stream_end(call->req);
    asgi_call_responded(call);
    return err == 0 ? 0 : asgi_raise(call, err);
}

/* Whether the length of `body` is the Content-Length. For HEAD an empty body says nothing about the
 * length that a GET would have had (RFC 9110 section 8.6). */
static bool
length_is_known(const AsgiCall *call, PyObject *body)
{
    return !call->req->is_head || PyBytes_GET_SIZE(body) != 0
           || asgi_stated_length(call) >= 0;
}

/* Ends a response without a body whose app streams one, which may have no end. The client has all that it
 * gets, so its connection goes on to the next request; receive() gives http.disconnect, by which frameworks
 * cancel their streams. */
static int
send_end_early(AsgiCall *call)
{
    int err = http_stream_end(call->req);
    call->unneeded = true;
    asgi_call_responded(call);
    return err == 0 ? 0 : asgi_raise(call, err);
}

/* What `await send(message)` awaits when the message isn't needed: one turn of the loop, in which the tasks
 * that wait in receive() hear of it. An app that goes on without end gets an exception. */
static PyObject *
send_unneeded(AsgiCall *call, PyObject *message)
{
    if (call->dropped >= DROPPED_MAX) {
        PyErr_SetString(call->app->gone_error,
                        "the response is complete: it has no body");
        return NULL;
    }
    call->dropped++;
    return asgi_send_by_python(call, message);
}

/* Writes a piece of the body (borrowed), with the head if that is held. 0, or -1 with an exception set. */
static int
send_write_piece(AsgiCall *call, PyObject *body, bool more)
{
    if (call->stage == ASGI_BODY) {
        if (!more && !call->has_trailers && length_is_known(call, body)) {
            return send_write_whole(call, body);
        }
        if (asgi_stream_begin(call, asgi_stated_length(call)) < 0) {
            return -1;
        }
    }
    if (more && is_bodyless(call)) {
        return send_end_early(call);
    }
    call->head_only = false;
    int err = http_stream_write(call->req, bytes_slice(body), body);
    if (err != 0) {
        return asgi_raise(call, err);
    }
    return more ? 0 : send_write_end(call);
}

static int
send_body(AsgiCall *call, const Message *m)
{
    PyObject *body = message_body(m);
    int more = body == NULL ? -1 : message_flag(m->more_body);
    int err = more < 0 || send_check_due(call, m, MESSAGE_BODY) < 0
                  ? -1
                  : send_write_piece(call, body, more != 0);
    Py_XDECREF(body);
    return err;
}

/* ---- Extensions --------------------------------------------------------------------------- */

/* http.response.trailers: collects the fields; the last message ends the response. */
static int
send_trailers(AsgiCall *call, const Message *m)
{
    int more = message_flag(m->more_trailers);
    if (more < 0 || message_headers(m, &call->fields) < 0
        || send_check_due(call, m, MESSAGE_TRAILERS) < 0) {
        return -1;
    }
    if (more > 0) {
        return 0;
    }
    int err = http_stream_end_with(call->req, &call->fields);
    asgi_call_responded(call);
    return err == 0 ? 0 : asgi_raise(call, err);
}

/* http.response.early_hint */
static int
send_early_hint(AsgiCall *call, const Message *m)
{
    HttpFields fields = {.has_date = false};
    int err = message_links(m, &fields);
    err = err == 0 ? send_check_due(call, m, MESSAGE_EARLY_HINT) : err;
    if (err == 0) {
        HttpConn *conn = http_request_conn(call->req);
        err = http_inform(call->req, 103, &fields);
        if (conn != NULL) {
            http_offer(conn);
        }
        err = err == 0 ? 0 : asgi_raise(call, err);
    }
    http_fields_free(&fields);
    return err;
}

/* ---- send --------------------------------------------------------------------------------- */

/* Whether a message is dropped in silence: the client has left in the middle of a response, and the app is
 * being notified by receive(). Frameworks then cancel what sends, and under version 2.3 of the
 * specification no server raises in between. Only the first few messages: an app that goes on without end
 * gets an exception. */
static bool
send_drops(AsgiCall *call)
{
    bool drops =
        call->hears_gone && call->stage > ASGI_START && call->dropped < DROPPED_MAX;
    call->dropped += drops;
    return drops;
}

/* WaitOps.attempt: waits for room to write. */
static WaitStep
send_attempt(PyObject *owner, PyObject **result, WaitList **list)
{
    AsgiCall *call = (AsgiCall *)owner;
    if (call->gone && !send_drops(call)) {
        (void)asgi_raise_gone(call);
        return WAIT_FAILED;
    }
    if (call->req != NULL && !call->gone && http_stream_full(call->req)) {
        *list = &call->writers;
        return WAIT_BLOCKED;
    }
    *result = Py_NewRef(Py_None);
    return WAIT_DONE;
}

static const WaitOps send_ops = {.attempt = send_attempt};

bool
asgi_is_expected(const AsgiCall *call, MessageKind kind)
{
    switch (kind) {
    case MESSAGE_START:
    case MESSAGE_EARLY_HINT:
        return call->stage == ASGI_START;
    case MESSAGE_DEBUG:
        return call->stage == ASGI_START && call->app->debug;
    case MESSAGE_BODY:
    case MESSAGE_ZEROCOPYSEND:
        return call->stage == ASGI_BODY || call->stage == ASGI_STREAM;
    case MESSAGE_PATHSEND:
        return call->stage == ASGI_BODY || call->head_only;
    case MESSAGE_TRAILERS:
        return call->stage == ASGI_TRAILERS;
    case MESSAGE_WS_ACCEPT:
    case MESSAGE_WS_SEND:
    case MESSAGE_WS_CLOSE:
    case MESSAGE_WS_START:
    case MESSAGE_WS_BODY:
    case MESSAGE_UNKNOWN:
        return false;
    }
    Py_UNREACHABLE();
}

/* What `await send(message)` waits for. */
static PyObject *
send_room(AsgiCall *call)
{
    if (likely(call->req == NULL || !http_stream_full(call->req))) {
        return Py_NewRef(call->server->st->waiting_done);
    }
    return waiting_new(call->server->st, call->server->loop, &send_ops,
                       (PyObject *)call);
}

/* Whether it is a further part of a response that has begun. */
static bool
is_of_body(MessageKind kind)
{
    return kind == MESSAGE_BODY || kind == MESSAGE_ZEROCOPYSEND
           || kind == MESSAGE_TRAILERS;
}

/* Carries out a message that is allowed now. 0, or -1 with an exception set. */
static int
send_due(AsgiCall *call, const Message *m, MessageKind kind)
{
    switch (kind) {
    case MESSAGE_START:
        return send_start(call, m);
    case MESSAGE_BODY:
        return send_body(call, m);
    case MESSAGE_TRAILERS:
        return send_trailers(call, m);
    case MESSAGE_EARLY_HINT:
        return send_early_hint(call, m);
    case MESSAGE_PATHSEND:
    case MESSAGE_ZEROCOPYSEND:
    case MESSAGE_DEBUG:
    case MESSAGE_WS_ACCEPT:
    case MESSAGE_WS_SEND:
    case MESSAGE_WS_CLOSE:
    case MESSAGE_WS_START:
    case MESSAGE_WS_BODY:
    case MESSAGE_UNKNOWN:
        break;
    }
    Py_UNREACHABLE();
}

PyObject *
asgi_http_send(AsgiCall *call, PyObject *message, const Message *m, MessageKind kind)
{
    if (unlikely(call->gone)) {
        if (send_drops(call)) {
            return Py_NewRef(call->server->st->waiting_done);
        }
        (void)asgi_raise_gone(call);
        return NULL;
    }
    if (unlikely(call->unneeded) && is_of_body(kind)) {
        return send_unneeded(call, message);
    }
    if (call->req == NULL || !asgi_is_expected(call, kind)) {
        (void)asgi_raise_unexpected(call, m->type);
        return NULL;
    }
    if (unlikely(kind == MESSAGE_PATHSEND || kind == MESSAGE_ZEROCOPYSEND
                 || kind == MESSAGE_DEBUG)) {
        return asgi_send_by_python(call, message);
    }
    return send_due(call, m, kind) < 0 ? NULL : send_room(call);
}

static PyObject *
asgi_send(PyObject *op, PyObject *message)
{
    AsgiCall *call = (AsgiCall *)op;
    if (!asgi_call_is_here(call)) {
        return asgi_call_later(call, asgi_send_new(call), message);
    }
    Message m = {.type = NULL};
    PyObject *result = NULL;
    if (message_read(&m, message, call->app->st) == 0) {
        result = call->kind->send(call, message, &m);
    }
    message_free(&m);
    return likely(result != NULL)
               ? result
               : waiting_failed(call->server->st, call->server->loop);
}

static PyMethodDef send_def = {"send", asgi_send, METH_O,
                               "Sends a message of the response."};

PyObject *
asgi_send_new(AsgiCall *call)
{
    return PyCFunction_New(&send_def, (PyObject *)call);
}
