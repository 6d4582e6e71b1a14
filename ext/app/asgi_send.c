/* `await send(message)`: the answer of an ASGI app. The start is held until the first body, so
 * that an answer in one piece is one write. A message takes effect when send() is called; what
 * send() returns only waits, and only when too much is queued. The loop's thread.
 */
#include "base/py.h"

#include "app/asgi_call.h"

#include "app/fields.h"
#include "base/err.h"

#include <uv.h>

/* ---- Errors ------------------------------------------------------------------------------- */

/* Raises what send() is to raise without a client ("Disconnected Client" in the specification).
 * Returns -1. */
static int
raise_gone(const AsgiCall *call)
{
    PyErr_SetString(call->app->gone_error, "the client has gone away");
    return -1;
}

/* Raises for a message that isn't due. Returns -1. */
static int
raise_unexpected(const AsgiCall *call, PyObject *type)
{
    static const char *const wanted[] = {
        [ASGI_START] = "expected http.response.start",
        [ASGI_BODY] = "expected http.response.body",
        [ASGI_STREAM] = "expected http.response.body",
        [ASGI_TRAILERS] = "expected http.response.trailers",
        [ASGI_OVER] = "the answer is complete",
    };
    PyErr_Format(PyExc_RuntimeError, "unexpected ASGI message %R: %s", type,
                 wanted[call->stage]);
    return -1;
}

/* Raises for the result of an http_ function. Returns -1. */
static int
raise_for(const AsgiCall *call, int err)
{
    switch (err) {
    case UV_ECANCELED:
        return raise_gone(call);
    case UV_EMSGSIZE:
        PyErr_SetString(PyExc_RuntimeError,
                        "the answer has more bytes than its Content-Length says");
        return -1;
    case UV_EPROTO:
        PyErr_SetString(PyExc_RuntimeError,
                        "the answer has fewer bytes than its Content-Length says");
        return -1;
    default:
        (void)err_set(err);
        return -1;
    }
}

/* ---- Reading messages --------------------------------------------------------------------- */

/* message[key] into `*value`, borrowed; NULL when it is absent. 0, or -1 with an exception set. */
static int
message_get(PyObject *message, PyObject *key, PyObject **value)
{
    *value = PyDict_GetItemWithError(message, key);
    return *value == NULL && PyErr_Occurred() ? -1 : 0;
}

/* The truth of message[key]; false when it is absent; -1 with an exception set. */
static int
message_flag(PyObject *message, PyObject *key)
{
    PyObject *value;
    if (message_get(message, key, &value) < 0) {
        return -1;
    }
    return value == NULL ? 0 : value == Py_False ? 0 : PyObject_IsTrue(value);
}

static bool
type_is(PyObject *type, PyObject *name)
{
    return type == name || PyUnicode_Compare(type, name) == 0;
}

/* The header pair's name or value as bytes (borrowed); NULL with TypeError set. */
static PyObject *
pair_bytes(PyObject *pair, Py_ssize_t i)
{
    PyObject *item = PySequence_Fast_GET_ITEM(pair, i);
    if (!PyBytes_Check(item)) {
        PyErr_Format(PyExc_TypeError, "header names and values are bytes, not %R",
                     item);
        return NULL;
    }
    return item;
}

static int
fields_add(HttpFields *fields, PyObject *header)
{
    PyObject *pair = PySequence_Fast(header, "a header is a pair of bytes");
    if (pair == NULL) {
        return -1;
    }
    int err = -1;
    if (PySequence_Fast_GET_SIZE(pair) != 2) {
        PyErr_Format(PyExc_TypeError, "a header is a pair of bytes, not %R", header);
    } else {
        PyObject *name = pair_bytes(pair, 0);
        PyObject *value = name == NULL ? NULL : pair_bytes(pair, 1);
        err = value == NULL
                  ? -1
                  : http_fields_add(fields, bytes_slice(name), bytes_slice(value));
        if (err == UV_EINVAL) {
            PyErr_Format(PyExc_ValueError, "malformed header %R: %R", name, value);
        } else if (value != NULL && err != 0) {
            PyErr_NoMemory();
        }
    }
    Py_DECREF(pair);
    return err == 0 ? 0 : -1;
}

/* Adds message["headers"]. 0, or -1 with an exception set. */
static int
fields_read(HttpFields *fields, PyObject *message, const AppState *st)
{
    PyObject *headers;
    if (message_get(message, st->str_headers, &headers) < 0) {
        return -1;
    }
    if (headers == NULL) {
        return 0;
    }
    PyObject *list = PySequence_Fast(headers, "'headers' must be iterable");
    int err = list == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; err == 0 && i < PySequence_Fast_GET_SIZE(list); i++) {
        err = fields_add(fields, PySequence_Fast_GET_ITEM(list, i));
    }
    Py_XDECREF(list);
    return err;
}

/* message["body"] as bytes: a new reference, or NULL with an exception set. */
static PyObject *
body_read(PyObject *message, const AppState *st)
{
    PyObject *body;
    if (message_get(message, st->str_body, &body) < 0) {
        return NULL;
    }
    if (likely(body != NULL && PyBytes_Check(body))) {
        return Py_NewRef(body);
    }
    if (body == NULL) {
        return PyBytes_FromStringAndSize(NULL, 0);
    }
    if (PyByteArray_Check(body) || PyMemoryView_Check(body)) {
        return PyBytes_FromObject(body);
    }
    PyErr_Format(PyExc_TypeError, "'body' must be bytes, not %.100s",
                 Py_TYPE(body)->tp_name);
    return NULL;
}

/* ---- http.response.start ------------------------------------------------------------------ */

/* message["status"]; -1 with an exception set. */
static int
status_read(PyObject *message, const AppState *st)
{
    PyObject *value;
    if (message_get(message, st->str_status, &value) < 0) {
        return -1;
    }
    if (value == NULL || !PyLong_Check(value)) {
        PyErr_Format(PyExc_TypeError,
                     "http.response.start needs an integer 'status', not %R",
                     value == NULL ? Py_None : value);
        return -1;
    }
    int overflow;
    long status = PyLong_AsLongAndOverflow(value, &overflow);
    if (overflow != 0 || status < 200 || status > 599) {
        PyErr_Format(PyExc_ValueError, "'status' must be 200 to 599, not %R", value);
        return -1;
    }
    return (int)status;
}

/* Takes over the server's scratch buffer, so that no request allocates one. */
static void
fields_borrow(AsgiCall *call)
{
    call->fields = call->server->fields;
    call->server->fields = (HttpFields){.has_date = false};
    http_fields_clear(&call->fields);
}

static void
fields_return(AsgiCall *call)
{
    HttpFields *scratch = &call->server->fields;
    if (scratch->raw.ptr == NULL) {
        *scratch = call->fields;
        call->fields = (HttpFields){.has_date = false};
    } else {
        http_fields_free(&call->fields);
    }
}

static int
send_start(AsgiCall *call, PyObject *message, const AppState *st)
{
    int status = status_read(message, st);
    int trailers = status < 0 ? -1 : message_flag(message, st->str_trailers);
    if (trailers < 0) {
        return -1;
    }
    fields_borrow(call);
    if (fields_read(&call->fields, message, st) < 0) {
        fields_return(call);
        return -1;
    }
    call->status = status;
    call->has_trailers = trailers != 0;
    call->stage = ASGI_BODY;
    return 0;
}

/* ---- http.response.body ------------------------------------------------------------------- */

static int64_t
stated_length(const AsgiCall *call)
{
    return call->fields.has_content_length ? call->fields.content_length : -1;
}

/* Whether an answer in one piece has the length that its head says, where that matters. */
static int
check_length(const AsgiCall *call, PyObject *body)
{
    int64_t stated = stated_length(call);
    bool bodyless = call->req->is_head || call->status == 204 || call->status == 304;
    if (stated < 0 || bodyless || stated == (int64_t)PyBytes_GET_SIZE(body)) {
        return 0;
    }
    return raise_for(call, stated < (int64_t)PyBytes_GET_SIZE(body) ? UV_EMSGSIZE
                                                                    : UV_EPROTO);
}

/* The whole answer. */
static int
write_whole(AsgiCall *call, PyObject *body)
{
    const HttpHead head = {.status = call->status, .fields = &call->fields};
    if (check_length(call, body) < 0) {
        return -1;
    }
    int err = http_respond(call->req, &head, bytes_slice(body), body);
    fields_return(call);
    asgi_call_answered(call);
    return err == 0 ? 0 : raise_for(call, err);
}

static int
write_begin(AsgiCall *call)
{
    const HttpHead head = {.status = call->status, .fields = &call->fields};
    int err = http_stream_begin(call->req, &head, stated_length(call));
    fields_return(call);
    call->stage = ASGI_STREAM;
    return err == 0 ? 0 : raise_for(call, err);
}

static int
write_end(AsgiCall *call)
{
    if (call->has_trailers) {
        call->stage = ASGI_TRAILERS;
        return 0;
    }
    int err = http_stream_end(call->req);
    asgi_call_answered(call);
    return err == 0 ? 0 : raise_for(call, err);
}

/* A piece of the answer (borrowed). */
static int
write_piece(AsgiCall *call, PyObject *body, bool more)
{
    if (call->stage == ASGI_BODY) {
        if (!more && !call->has_trailers) {
            return write_whole(call, body);
        }
        if (write_begin(call) < 0) {
            return -1;
        }
    }
    int err = http_stream_write(call->req, bytes_slice(body), body);
    if (err != 0) {
        return raise_for(call, err);
    }
    return more ? 0 : write_end(call);
}

static int
send_body(AsgiCall *call, PyObject *message, const AppState *st)
{
    PyObject *body = body_read(message, st);
    int more = body == NULL ? -1 : message_flag(message, st->str_more_body);
    int err = more < 0 ? -1 : write_piece(call, body, more != 0);
    Py_XDECREF(body);
    return err;
}

/* ---- Extensions --------------------------------------------------------------------------- */

/* http.response.trailers: gathers fields, and ends the answer with the last of them. */
static int
send_trailers(AsgiCall *call, PyObject *message, const AppState *st)
{
    int more = message_flag(message, st->str_more_trailers);
    if (more < 0 || fields_read(&call->fields, message, st) < 0) {
        return -1;
    }
    if (more > 0) {
        return 0;
    }
    int err = http_stream_end_with(call->req, &call->fields);
    asgi_call_answered(call);
    return err == 0 ? 0 : raise_for(call, err);
}

/* The items of message["links"] as Link fields. 0, or -1 with an exception set. */
static int
links_read(HttpFields *fields, PyObject *message, const AppState *st)
{
    PyObject *links;
    if (message_get(message, st->str_links, &links) < 0) {
        return -1;
    }
    PyObject *list = links == NULL ? PyList_New(0)
                                   : PySequence_Fast(links, "'links' must be iterable");
    int err = list == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; err == 0 && i < PySequence_Fast_GET_SIZE(list); i++) {
        PyObject *link = pair_bytes(list, i);
        err = link == NULL ? -1
                           : http_fields_add(fields, SLICE("link"), bytes_slice(link));
        if (err == UV_EINVAL) {
            PyErr_Format(PyExc_ValueError, "malformed link %R", link);
        } else if (link != NULL && err != 0) {
            PyErr_NoMemory();
        }
    }
    Py_XDECREF(list);
    return err == 0 ? 0 : -1;
}

/* http.response.early_hint */
static int
send_early_hint(AsgiCall *call, PyObject *message, const AppState *st)
{
    HttpFields fields = {.has_date = false};
    int err = links_read(&fields, message, st);
    if (err == 0) {
        err = http_inform(call->req, 103, &fields);
        err = err == 0 ? 0 : raise_for(call, err);
    }
    http_fields_free(&fields);
    return err;
}

/* Whether the message asks for a file, which Python's part sends as bodies. */
static bool
is_for_python(const AsgiCall *call, PyObject *type, const AppState *st)
{
    if (likely(type == st->str_http_response_body)) {
        return false;
    }
    return (call->stage == ASGI_BODY && type_is(type, st->str_http_response_pathsend))
           || ((call->stage == ASGI_BODY || call->stage == ASGI_STREAM)
               && type_is(type, st->str_http_response_zerocopysend));
}

/* The awaitable that does it. */
static PyObject *
send_by_python(AsgiCall *call, PyObject *message)
{
    PyObject *send = asgi_send_new(call);
    PyObject *done = send == NULL ? NULL
                                  : PyObject_CallFunctionObjArgs(call->app->extend,
                                                                 send, message, NULL);
    Py_XDECREF(send);
    return done;
}

/* ---- send --------------------------------------------------------------------------------- */

/* Waits for room. */
static WaitStep
send_attempt(PyObject *owner, PyObject **result, WaitList **list)
{
    AsgiCall *call = (AsgiCall *)owner;
    if (call->gone) {
        (void)raise_gone(call);
        return WAIT_FAILED;
    }
    if (call->req != NULL && http_stream_full(call->req)) {
        *list = &call->writers;
        return WAIT_BLOCKED;
    }
    *result = Py_NewRef(Py_None);
    return WAIT_DONE;
}

static const WaitOps send_ops = {send_attempt};

/* message["type"], borrowed; NULL with TypeError set. */
static PyObject *
message_type(PyObject *message, const AppState *st)
{
    PyObject *type = NULL;
    if (PyDict_Check(message) && message_get(message, st->str_type, &type) < 0) {
        return NULL;
    }
    if (type == NULL || !PyUnicode_Check(type)) {
        PyErr_Format(PyExc_TypeError, "an ASGI message is a dict with a 'type', not %R",
                     message);
        return NULL;
    }
    return type;
}

/* Does what the message says. */
static int
send_message(AsgiCall *call, PyObject *message, PyObject *type, const AppState *st)
{
    if (call->stage == ASGI_START && type_is(type, st->str_http_response_start)) {
        return send_start(call, message, st);
    }
    if ((call->stage == ASGI_BODY || call->stage == ASGI_STREAM)
        && type_is(type, st->str_http_response_body)) {
        return send_body(call, message, st);
    }
    if (call->stage == ASGI_TRAILERS && type_is(type, st->str_http_response_trailers)) {
        return send_trailers(call, message, st);
    }
    if (call->stage == ASGI_START && type_is(type, st->str_http_response_early_hint)) {
        return send_early_hint(call, message, st);
    }
    return raise_unexpected(call, type);
}

static PyObject *
asgi_send(PyObject *op, PyObject *message)
{
    AsgiCall *call = (AsgiCall *)op;
    if (asgi_call_check(call, "send") < 0) {
        return NULL;
    }
    const AppState *st = call->app->st;
    PyObject *type = message_type(message, st);
    if (type == NULL) {
        return NULL;
    }
    if (call->gone) {
        (void)raise_gone(call);
        return NULL;
    }
    if (call->req == NULL || call->stage == ASGI_OVER) {
        (void)raise_unexpected(call, type);
        return NULL;
    }
    if (unlikely(is_for_python(call, type, st))) {
        return send_by_python(call, message);
    }
    if (send_message(call, message, type, st) < 0) {
        return NULL;
    }
    if (likely(call->req == NULL || !http_stream_full(call->req))) {
        return Py_NewRef(st->waiting_done);
    }
    return waiting_new(st, call->server->loop, &send_ops, op);
}

static PyMethodDef send_def = {"send", asgi_send, METH_O,
                               "Sends a message of the answer."};

PyObject *
asgi_send_new(AsgiCall *call)
{
    return PyCFunction_New(&send_def, (PyObject *)call);
}
