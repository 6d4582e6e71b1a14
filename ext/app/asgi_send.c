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

/* ---- Kinds of messages ---------------------------------------------------------------------- */

typedef enum AsgiMessage {
    MESSAGE_UNKNOWN,
    MESSAGE_START,
    MESSAGE_BODY,
    MESSAGE_TRAILERS,
    MESSAGE_EARLY_HINT,
    MESSAGE_PATHSEND,
    MESSAGE_ZEROCOPYSEND,
} AsgiMessage;

/* What the text of a message's type says. */
static AsgiMessage
kind_of(PyObject *type)
{
    static const struct {
        Slice name;
        AsgiMessage kind;
    } kinds[] = {
        {SLICE("http.response.body"), MESSAGE_BODY},
        {SLICE("http.response.start"), MESSAGE_START},
        {SLICE("http.response.trailers"), MESSAGE_TRAILERS},
        {SLICE("http.response.early_hint"), MESSAGE_EARLY_HINT},
        {SLICE("http.response.pathsend"), MESSAGE_PATHSEND},
        {SLICE("http.response.zerocopysend"), MESSAGE_ZEROCOPYSEND},
    };
    if (!PyUnicode_IS_COMPACT_ASCII(type)) {
        return MESSAGE_UNKNOWN;
    }
    Slice name = slice_of(PyUnicode_DATA(type), (size_t)PyUnicode_GET_LENGTH(type));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (slice_eq(name, kinds[i].name)) {
            return kinds[i].kind;
        }
    }
    return MESSAGE_UNKNOWN;
}

/* ---- Reading messages --------------------------------------------------------------------- */

/* The entries that some message has: new references; NULL when absent. One pass over the dict costs
 * less than looking for each. */
typedef struct Message {
    PyObject *type, *status, *headers, *trailers, *body, *more_body, *links,
        *more_trailers;
} Message;

static void
message_free(Message *m)
{
    Py_XDECREF(m->type);
    Py_XDECREF(m->status);
    Py_XDECREF(m->headers);
    Py_XDECREF(m->trailers);
    Py_XDECREF(m->body);
    Py_XDECREF(m->more_body);
    Py_XDECREF(m->links);
    Py_XDECREF(m->more_trailers);
}

/* The keys: where the interned str is, and where the value goes. */
#define ENTRY(name) {offsetof(AppState, str_##name), offsetof(Message, name)}
static const struct {
    size_t key;   /* in AppState */
    size_t place; /* in Message */
} entries[] = {ENTRY(type),    ENTRY(body),     ENTRY(more_body), ENTRY(status),
               ENTRY(headers), ENTRY(trailers), ENTRY(links),     ENTRY(more_trailers)};
#undef ENTRY
enum { ENTRIES = sizeof entries / sizeof *entries };

static PyObject *
entry_key(const AppState *st, size_t i)
{
    return *(PyObject *const *)((const char *)st + entries[i].key);
}

/* Where the value of `key` goes; NULL when no message has such an entry. Keys that are written
 * out in a program are interned, so that comparing addresses finds them. */
static PyObject **
message_place(Message *m, PyObject *key, const AppState *st)
{
    size_t i = 0;
    while (i < ENTRIES && key != entry_key(st, i)) {
        i++;
    }
    if (unlikely(i == ENTRIES) && PyUnicode_CheckExact(key)) {
        for (i = 0; i < ENTRIES && PyUnicode_Compare(key, entry_key(st, i)) != 0;) {
            i++;
        }
    }
    return i == ENTRIES ? NULL : (PyObject **)((char *)m + entries[i].place);
}

/* Reads a message, to be freed with message_free. 0, or -1 with TypeError set. */
static int
message_read(Message *m, PyObject *message, const AppState *st)
{
    Py_ssize_t at = 0;
    PyObject *key, *value; /* borrowed */
    while (PyDict_Check(message) && PyDict_Next(message, &at, &key, &value)) {
        PyObject **place = message_place(m, key, st);
        if (place != NULL && *place == NULL) {
            *place = Py_NewRef(value);
        }
    }
    if (m->type != NULL && PyUnicode_Check(m->type)) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "an ASGI message is a dict with a 'type', not %R",
                 message);
    return -1;
}

/* The truth of `value`, false when it is absent; -1 with an exception set. */
static int
flag_of(PyObject *value)
{
    return value == NULL || value == Py_False ? 0 : PyObject_IsTrue(value);
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

/* Adds the message's "headers". 0, or -1 with an exception set. */
static int
fields_read(HttpFields *fields, const Message *m)
{
    if (m->headers == NULL) {
        return 0;
    }
    PyObject *list = PySequence_Fast(m->headers, "'headers' must be iterable");
    int err = list == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; err == 0 && i < PySequence_Fast_GET_SIZE(list); i++) {
        err = fields_add(fields, PySequence_Fast_GET_ITEM(list, i));
    }
    Py_XDECREF(list);
    return err;
}

/* The message's "body" as bytes: a new reference, or NULL with an exception set. */
static PyObject *
body_read(const Message *m)
{
    PyObject *body = m->body;
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

/* The message's "status"; -1 with an exception set. */
static int
status_read(const Message *m)
{
    PyObject *value = m->status;
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
send_start(AsgiCall *call, const Message *m)
{
    int status = status_read(m);
    int trailers = status < 0 ? -1 : flag_of(m->trailers);
    if (trailers < 0) {
        return -1;
    }
    fields_borrow(call);
    if (fields_read(&call->fields, m) < 0) {
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
send_body(AsgiCall *call, const Message *m)
{
    PyObject *body = body_read(m);
    int more = body == NULL ? -1 : flag_of(m->more_body);
    int err = more < 0 ? -1 : write_piece(call, body, more != 0);
    Py_XDECREF(body);
    return err;
}

/* ---- Extensions --------------------------------------------------------------------------- */

/* http.response.trailers: gathers fields, and ends the answer with the last of them. */
static int
send_trailers(AsgiCall *call, const Message *m)
{
    int more = flag_of(m->more_trailers);
    if (more < 0 || fields_read(&call->fields, m) < 0) {
        return -1;
    }
    if (more > 0) {
        return 0;
    }
    int err = http_stream_end_with(call->req, &call->fields);
    asgi_call_answered(call);
    return err == 0 ? 0 : raise_for(call, err);
}

/* The message's "links" as Link fields. 0, or -1 with an exception set. */
static int
links_read(HttpFields *fields, const Message *m)
{
    PyObject *list = m->links == NULL
                         ? PyList_New(0)
                         : PySequence_Fast(m->links, "'links' must be iterable");
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
send_early_hint(AsgiCall *call, const Message *m)
{
    HttpFields fields = {.has_date = false};
    int err = links_read(&fields, m);
    if (err == 0) {
        err = http_inform(call->req, 103, &fields);
        err = err == 0 ? 0 : raise_for(call, err);
    }
    http_fields_free(&fields);
    return err;
}

/* http.response.pathsend and zerocopysend, which Python's part sends as bodies: the awaitable that
 * does it. */
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

/* Whether the message is due. */
static bool
is_expected(const AsgiCall *call, AsgiMessage kind)
{
    switch (kind) {
    case MESSAGE_START:
    case MESSAGE_EARLY_HINT:
        return call->stage == ASGI_START;
    case MESSAGE_BODY:
    case MESSAGE_ZEROCOPYSEND:
        return call->stage == ASGI_BODY || call->stage == ASGI_STREAM;
    case MESSAGE_PATHSEND:
        return call->stage == ASGI_BODY;
    case MESSAGE_TRAILERS:
        return call->stage == ASGI_TRAILERS;
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
        return Py_NewRef(call->app->st->waiting_done);
    }
    return waiting_new(call->app->st, call->server->loop, &send_ops, (PyObject *)call);
}

/* Does what a message says that is due. 0, or -1 with an exception set. */
static int
send_message(AsgiCall *call, const Message *m, AsgiMessage kind)
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
    case MESSAGE_UNKNOWN:
        break;
    }
    Py_UNREACHABLE();
}

/* The awaitable for `message`, which `m` has the entries of; NULL with an exception set. */
static PyObject *
send_checked(AsgiCall *call, PyObject *message, const Message *m)
{
    AsgiMessage kind = kind_of(m->type);
    if (call->gone) {
        (void)raise_gone(call);
        return NULL;
    }
    if (call->req == NULL || !is_expected(call, kind)) {
        (void)raise_unexpected(call, m->type);
        return NULL;
    }
    if (unlikely(kind == MESSAGE_PATHSEND || kind == MESSAGE_ZEROCOPYSEND)) {
        return send_by_python(call, message);
    }
    return send_message(call, m, kind) < 0 ? NULL : send_room(call);
}

static PyObject *
asgi_send(PyObject *op, PyObject *message)
{
    AsgiCall *call = (AsgiCall *)op;
    if (asgi_call_check(call, "send") < 0) {
        return NULL;
    }
    Message m = {.type = NULL};
    PyObject *result = NULL;
    if (message_read(&m, message, call->app->st) == 0) {
        result = send_checked(call, message, &m);
    }
    message_free(&m);
    return result;
}

static PyMethodDef send_def = {"send", asgi_send, METH_O,
                               "Sends a message of the answer."};

PyObject *
asgi_send_new(AsgiCall *call)
{
    return PyCFunction_New(&send_def, (PyObject *)call);
}
