/* The type `_core.Sender` (see sender.h). send() writes the piece when it is called. What it returns only
 * waits, and only when too much is queued. So a client that keeps up costs neither an allocation nor a
 * suspension per piece.
 */
#include "base/py.h"

#include "app/sender.h"

#include "app/call.h"
#include "app/header_pairs.h"
#include "app/file_send.h"
#include "app/server.h"
#include "app/waiting.h"
#include "base/err.h"
#include "http/response.h"
#include "http/server.h"

#include <structmember.h>
#include <uv.h>

typedef struct SenderObject {
    PyObject_HEAD
    HttpRequest *http; /* owned reference */
    AppServer *server; /* owned */
    WaitList writers;  /* waiting in send() for room */
    bool started;
    bool ended;
} SenderObject;

/* Sets the exception for what an http_stream_ function returned. Returns NULL. */
static PyObject *
sender_raise(const SenderObject *self, int err)
{
    if (err == UV_EMSGSIZE || err == UV_EPROTO) {
        PyErr_Format(PyExc_RuntimeError,
                     "the response has %s bytes than the length given to start()",
                     err == UV_EMSGSIZE ? "more" : "fewer");
        return NULL;
    }
    if (err == UV_EBUSY) {
        PyErr_SetString(PyExc_RuntimeError, "a file is still being sent");
        return NULL;
    }
    /* When writing fails although the response isn't complete, its connection is about to be closed. */
    AppCall *call = call_of(self->http);
    bool lost = self->http->response == HTTP_RESPONSE_STREAMING;
    bool gone = call->gone || !http_request_is_open(self->http) || lost;
    bool reset = err == UV_ECANCELED || err == UV_ECONNRESET;
    call->gone = call->gone || (reset && lost);
    if (err == UV_ECANCELED && !gone) {
        PyErr_SetString(PyExc_RuntimeError, "the response is complete");
        return NULL;
    }
    return err_set(err == UV_ECANCELED ? UV_ECONNRESET : err);
}

/* 0 when called on the loop's thread, while it runs; else -1 with RuntimeError set. */
static int
sender_check_thread(const SenderObject *self)
{
    if (loop_running(self->server->st->module)
        == http_server_loop(self->http->server)) {
        return 0;
    }
    PyErr_SetString(PyExc_RuntimeError, "a Sender works on the loop's thread only");
    return -1;
}

static int
sender_check_started(const SenderObject *self)
{
    if (sender_check_thread(self) < 0) {
        return -1;
    }
    if (!self->started) {
        PyErr_SetString(PyExc_RuntimeError, "the response has not been started");
        return -1;
    }
    return 0;
}

/* ---- Methods ------------------------------------------------------------------------------ */

/* Begins the response with `headers` (borrowed). 0, or -1 with an exception set. */
static int
sender_begin(SenderObject *self, int status, PyObject *headers, int64_t length)
{
    HttpFields fields = {.has_date = false};
    int err = fields_from_pairs(&fields, headers);
    if (err == 0) {
        HttpHead head = {.status = status, .fields = &fields};
        int code = http_stream_begin(self->http, &head, length);
        self->started = self->started || code == 0;
        err = code == 0 ? 0 : -1;
        if (code != 0) {
            (void)sender_raise(self, code);
        }
    }
    http_fields_free(&fields);
    return err;
}

/* Whether a response with this status may begin. 0, or -1 with an exception set. */
static int
sender_check_new(const SenderObject *self, int status)
{
    if (self->started || self->http->response == HTTP_RESPONSE_STREAMING) {
        PyErr_SetString(PyExc_RuntimeError, "the response has already been started");
        return -1;
    }
    if (status < 200 || status > 599) {
        PyErr_Format(PyExc_ValueError, "status_code must be 200 to 599, not %d",
                     status);
        return -1;
    }
    return 0;
}

static PyObject *
sender_start(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"status_code", "headers", "length", NULL};
    SenderObject *self = (SenderObject *)op;
    int status;
    PyObject *headers; /* borrowed */
    long long length = -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iO|L:start", (char **)names,
                                     &status, &headers, &length)
        || sender_check_thread(self) < 0) {
        return NULL;
    }
    if (sender_check_new(self, status) < 0
        || sender_begin(self, status, headers, length < 0 ? -1 : length) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static WaitStep
sender_attempt(PyObject *owner, PyObject **result, WaitList **list)
{
    SenderObject *self = (SenderObject *)owner;
    if (call_of(self->http)->gone) {
        (void)sender_raise(self, UV_ECANCELED);
        return WAIT_FAILED;
    }
    if (http_stream_full(self->http)) {
        *list = &self->writers;
        return WAIT_BLOCKED;
    }
    *result = Py_NewRef(Py_None);
    return WAIT_DONE;
}

static const WaitOps sender_ops = {.attempt = sender_attempt};

static PyObject *
sender_send(PyObject *op, PyObject *data)
{
    SenderObject *self = (SenderObject *)op;
    if (sender_check_started(self) < 0) {
        return NULL;
    }
    if (!PyBytes_Check(data)) {
        return PyErr_Format(PyExc_TypeError, "send() takes bytes, not %.100s",
                            Py_TYPE(data)->tp_name);
    }
    int err = http_stream_write(self->http, bytes_slice(data), data);
    if (err != 0) {
        return sender_raise(self, err);
    }
    AppState *st = self->server->st;
    if (!http_stream_full(self->http)) {
        return Py_NewRef(st->waiting_done);
    }
    return waiting_new(st, http_server_loop(self->http->server), &sender_ops, op);
}

static PyObject *
sender_whole(PyObject *op, PyObject *args)
{
    SenderObject *self = (SenderObject *)op;
    int status;
    PyObject *headers, *body; /* borrowed */
    if (!PyArg_ParseTuple(args, "iOS:whole", &status, &headers, &body)
        || sender_check_thread(self) < 0 || sender_check_new(self, status) < 0) {
        return NULL;
    }
    HttpFields fields = {.has_date = false};
    int code = 0;
    int err = fields_from_pairs(&fields, headers);
    if (err == 0) {
        const HttpHead head = {.status = status, .fields = &fields};
        code = http_respond(self->http, &head, bytes_slice(body), body);
        if (code == 0) {
            self->started = self->ended = true;
        }
    }
    http_fields_free(&fields);
    if (err < 0 || code != 0) {
        return err < 0 ? NULL : sender_raise(self, code);
    }
    Py_RETURN_NONE;
}

static WaitList *
sender_writers(PyObject *holder)
{
    return &((SenderObject *)holder)->writers;
}

static void
sender_file_raise(PyObject *holder, int err)
{
    (void)sender_raise((SenderObject *)holder, err);
}

static const FileSendOps file_ops = {
    .writers = sender_writers,
    .raise = sender_file_raise,
    .abort = http_abort,
};

static PyObject *
sender_send_file(PyObject *op, PyObject *args)
{
    SenderObject *self = (SenderObject *)op;
    int fd;
    long long offset, size;
    if (!PyArg_ParseTuple(args, "iLL:send_file", &fd, &offset, &size)
        || sender_check_started(self) < 0) {
        return NULL;
    }
    const HttpRequest *req = self->http;
    if (size < 0 || (req->length_left >= 0 && size > req->length_left)) {
        return sender_raise(self, UV_EMSGSIZE);
    }
    const FilePart part = {.fd = fd, .offset = (off_t)offset, .left = size};
    return file_send_new(self->http, part, &file_ops, op);
}

/* Writes the last piece, if there is one (borrowed; may be NULL), and the end. 0 or a negative UV_E*. */
static int
sender_finish(SenderObject *self, PyObject *last)
{
    int err = last == NULL ? 0 : http_stream_write(self->http, bytes_slice(last), last);
    return err != 0 ? err : http_stream_end(self->http);
}

static PyObject *
sender_end(PyObject *op, PyObject *args)
{
    SenderObject *self = (SenderObject *)op;
    PyObject *last = NULL; /* borrowed */
    if (!PyArg_ParseTuple(args, "|S:end", &last) || sender_check_started(self) < 0) {
        return NULL;
    }
    if (self->ended) {
        Py_RETURN_NONE;
    }
    self->ended = true;
    int err = sender_finish(self, last);
    if (err != 0 && err != UV_ECANCELED) {
        return sender_raise(self, err);
    }
    Py_RETURN_NONE;
}

bool
sender_is_awaited(const HttpRequest *req)
{
    const PyObject *sender = call_of((HttpRequest *)req)->sender;
    return sender != NULL && ((const SenderObject *)sender)->writers.first != NULL;
}

void
sender_wake(HttpRequest *req)
{
    PyObject *sender = call_of(req)->sender;
    if (sender != NULL) {
        Py_INCREF(sender);
        waiting_wake(&((SenderObject *)sender)->writers);
        Py_DECREF(sender);
    }
}

/* ---- The type ----------------------------------------------------------------------------- */

static int
sender_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT((PyObject *)((SenderObject *)op)->server);
    return 0;
}

static void
sender_dealloc(PyObject *op)
{
    SenderObject *self = (SenderObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    assert(self->writers.first == NULL); /* a waiting task holds the sender */
    AppCall *call = call_of(self->http);
    if (call->sender == op) {
        call->sender = NULL;
    }
    http_request_unref(self->http);
    Py_DECREF((PyObject *)self->server);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef sender_methods[] = {
    {"start", (PyCFunction)(void (*)(void))sender_start, METH_VARARGS | METH_KEYWORDS,
     "Begins the response."},
    {"send", sender_send, METH_O,
     "Writes a piece; await it to wait for a slow client."},
    {"send_file", sender_send_file, METH_VARARGS,
     "Sends a part of a file through the kernel; await it for the number of bytes."},
    {"whole", sender_whole, METH_VARARGS, "Writes the whole response."},
    {"end", sender_end, METH_VARARGS,
     "Completes the response, with a last piece if one is given."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef sender_members[] = {
    {"started", T_BOOL, offsetof(SenderObject, started), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot sender_slots[] = {
    {Py_tp_doc, "Writes one streamed response."},
    {Py_tp_traverse, sender_traverse},
    {Py_tp_dealloc, sender_dealloc},
    {Py_tp_methods, sender_methods},
    {Py_tp_members, sender_members},
    {0, NULL},
};

static PyType_Spec sender_spec = {
    .name = "fluvial._core.Sender",
    .basicsize = sizeof(SenderObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = sender_slots,
};

int
sender_setup(PyObject *module, AppState *st)
{
    st->sender_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &sender_spec, NULL);
    return st->sender_type == NULL ? -1 : PyModule_AddType(module, st->sender_type);
}

PyObject *
sender_new(AppState *st, HttpRequest *req)
{
    SenderObject *self = (SenderObject *)st->sender_type->tp_alloc(st->sender_type, 0);
    if (self != NULL) {
        http_request_ref(req);
        self->http = req;
        self->server = (AppServer *)Py_NewRef((PyObject *)call_server(req));
        call_of(req)->sender = (PyObject *)self;
    }
    return (PyObject *)self;
}
