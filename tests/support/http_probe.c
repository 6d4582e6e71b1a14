/* Stands in the place of ext/app for the tests of the http layer: every call upwards goes to a
 * Python object, every call downwards is a method. Compiled together with the layers below by
 * http_core.py; never installed.
 *
 *   HttpServer(loop, handler, fd, *, limits, is_unix, log_fd, secure)  http/server.h
 *   HttpRequest                                                        http/request.h, response.h
 *
 * The handler has methods named after HttpOps' functions, without "on_".
 */
#include "base/py.h"

#include "app/app_state.h"
#include "asgi/asgi_state.h"
#include "files/files_state.h"
#include "wsgi/wsgi_state.h"
#include "base/err.h"
#include "http/server.h"
#include "net/server_tls.h"

#include <llhttp.h>
#include <uv.h>

typedef struct ProbeServer {
    PyObject_HEAD
    HttpServer *server;
    PyObject *loop;             /* owned */
    PyObject *handler;          /* owned */
    PyTypeObject *request_type; /* owned */
    bool listening;             /* holds a reference to itself until on_drained */
} ProbeServer;

typedef struct ProbeRequest {
    PyObject_HEAD
    HttpRequest *req;    /* a counted reference */
    ProbeServer *server; /* owned: a request may be kept after the server's end */
} ProbeRequest;

/* http_request_app: the Python object of this request, borrowed; NULL when there is none. */
typedef struct ProbeApp {
    ProbeRequest *object;
} ProbeApp;

static ProbeServer *
server_of(const HttpRequest *req)
{
    return http_server_context(req->server);
}

/* ---- Calls upwards ----------------------------------------------------------------------- */

/* The Python object of `req`: a new reference. */
static PyObject *
request_object(HttpRequest *req)
{
    ProbeApp *app = http_request_app(req);
    if (app->object != NULL) {
        return Py_NewRef((PyObject *)app->object);
    }
    ProbeRequest *self = PyObject_New(ProbeRequest, server_of(req)->request_type);
    if (self == NULL) {
        Py_FatalError("no memory");
    }
    self->req = req;
    self->server = (ProbeServer *)Py_NewRef(server_of(req));
    http_request_ref(req);
    app->object = self;
    return (PyObject *)self;
}

/* handler.name(request, *extra); `extra` (stolen) may be NULL. A failure goes to the loop. */
static long
tell(HttpRequest *req, const char *name, PyObject *extra)
{
    ProbeServer *server = server_of(req);
    PyObject *request = request_object(req);
    PyObject *result =
        extra != NULL ? PyObject_CallMethod(server->handler, name, "OO", request, extra)
                      : PyObject_CallMethod(server->handler, name, "O", request);
    long value = result != NULL && result != Py_None ? PyLong_AsLong(result) : 0;
    if (PyErr_Occurred()) {
        loop_report((Loop *)server->loop, name);
        value = 0;
    }
    Py_XDECREF(result);
    Py_XDECREF(extra);
    Py_DECREF(request);
    return value;
}

static HttpBodyMode
on_head(HttpRequest *req)
{
    return (HttpBodyMode)tell(req, "head", NULL);
}

static void
on_request(HttpRequest *req)
{
    (void)tell(req, "request", NULL);
}

static void
on_body(HttpRequest *req, Slice piece)
{
    (void)tell(req, "body",
               PyBytes_FromStringAndSize(piece.ptr, (Py_ssize_t)piece.len));
}

static void
on_body_end(HttpRequest *req)
{
    (void)tell(req, "body_end", NULL);
}

static void
on_gone(HttpRequest *req)
{
    (void)tell(req, "gone", NULL);
}

static void
on_eof(HttpRequest *req)
{
    (void)tell(req, "eof", NULL);
}

static void
on_left(HttpRequest *req, bool for_long)
{
    (void)tell(req, for_long ? "left" : "doubted", NULL);
}

static void
on_writable(HttpRequest *req)
{
    (void)tell(req, "writable", NULL);
}

static void
on_app_clear(HttpRequest *req)
{
    const ProbeApp *app = http_request_app(req);
    if (app->object != NULL) {
        Py_FatalError("a request ends while its object lives");
    }
    ProbeServer *server = server_of(req);
    PyObject *result = PyObject_CallMethod(server->handler, "cleared", NULL);
    if (result == NULL) {
        loop_report((Loop *)server->loop, "cleared");
    }
    Py_XDECREF(result);
}

static void
on_refused(void *context, const NetAddr *Py_UNUSED(peer), const HttpRefusal *refusal)
{
    ProbeServer *server = context;
    if (refusal->status != 0) {
        return; /* the client sees it */
    }
    PyObject *result =
        PyObject_CallMethod(server->handler, "refused", "s", refusal->reason);
    if (result == NULL) {
        loop_report((Loop *)server->loop, "refused");
    }
    Py_XDECREF(result);
}

static void
on_drained(void *context)
{
    ProbeServer *server = context;
    server->listening = false;
    PyObject *result = PyObject_CallMethod(server->handler, "drained", NULL);
    if (result == NULL) {
        loop_report((Loop *)server->loop, "drained");
    }
    Py_XDECREF(result);
    Py_DECREF(server);
}

static const HttpOps ops = {
    .app_size = sizeof(ProbeApp),
    .on_head = on_head,
    .on_request = on_request,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_gone = on_gone,
    .on_eof = on_eof,
    .on_left = on_left,
    .on_writable = on_writable,
    .app_clear = on_app_clear,
    .on_refused = on_refused,
    .on_drained = on_drained,
};

/* ---- Request: what it says --------------------------------------------------------------- */

static PyObject *
bytes_of(Slice s)
{
    return PyBytes_FromStringAndSize(s.ptr, (Py_ssize_t)s.len);
}

static HttpRequest *
req_of(PyObject *self)
{
    return ((ProbeRequest *)self)->req;
}

static void
request_dealloc(PyObject *self)
{
    HttpRequest *req = req_of(self);
    ProbeServer *server = ((ProbeRequest *)self)->server;
    PyTypeObject *type = Py_TYPE(self);
    ((ProbeApp *)http_request_app(req))->object = NULL;
    http_request_unref(req);
    Py_DECREF(server);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *
name_tuple(int err, const NetName *name)
{
    return err != 0 ? err_set(err) : Py_BuildValue("si", name->host, name->port);
}

static PyObject *
request_client(PyObject *self, PyObject *Py_UNUSED(none))
{
    NetName name;
    int err = http_request_client(req_of(self), &name);
    return name_tuple(err, &name);
}

static PyObject *
request_server(PyObject *self, PyObject *Py_UNUSED(none))
{
    NetName name;
    int err = http_request_server(req_of(self), &name);
    return name_tuple(err, &name);
}

static PyObject *
request_find(PyObject *self, PyObject *name)
{
    char *ptr;
    Py_ssize_t len;
    if (PyBytes_AsStringAndSize(name, &ptr, &len) < 0) {
        return NULL;
    }
    return PyLong_FromLong(
        http_field_find(req_of(self), slice_of(ptr, (size_t)len), 0));
}

static PyObject *
request_fields(const HttpRequest *req)
{
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < req->nfields; i++) {
        Slice name = http_field_name(req, i);
        Slice value = http_field_value(req, i);
        PyObject *pair = Py_BuildValue("y#y#", name.ptr, (Py_ssize_t)name.len,
                                       value.ptr, (Py_ssize_t)value.len);
        if (pair == NULL || PyList_Append(list, pair) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
    }
    return list;
}

/* Everything that the struct says, as a dict. */
static PyObject *
request_describe(PyObject *self, PyObject *Py_UNUSED(none))
{
    const HttpRequest *req = req_of(self);
    return Py_BuildValue(
        "{sN sN sN sN sN sN si sO sO sO sO sL si si si}", "method",
        bytes_of(http_request_method(req)), "target",
        bytes_of(http_request_target(req)), "path", bytes_of(http_request_path(req)),
        "query", bytes_of(http_request_query(req)), "body",
        bytes_of(buf_slice(&req->body)), "fields", request_fields(req), "minor",
        req->minor, "keep_alive", req->keep_alive ? Py_True : Py_False, "has_body",
        req->has_body ? Py_True : Py_False, "body_complete",
        req->body_complete ? Py_True : Py_False, "gone",
        req->conn == NULL ? Py_True : Py_False, "content_length",
        (long long)req->content_length, "host", req->host, "content_type",
        req->content_type, "cookie", req->cookie);
}

/* ---- Request: answering ------------------------------------------------------------------ */

/* Adds the (name, value) pairs of `list` (borrowed, may be NULL). 0 or a negative UV_E*. */
static int
fields_fill(HttpFields *fields, PyObject *list)
{
    int err = 0;
    for (Py_ssize_t i = 0; list != NULL && err == 0 && i < PyList_GET_SIZE(list); i++) {
        Slice name, value;
        Py_ssize_t name_len, value_len;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "y#y#", &name.ptr, &name_len,
                              &value.ptr, &value_len)) {
            PyErr_Clear();
            return UV_EINVAL;
        }
        name.len = (size_t)name_len;
        value.len = (size_t)value_len;
        err = http_fields_add(fields, name, value);
    }
    return err;
}

/* respond(status, body=b"", content_type=b"", fields=[]) -> 0 or the error */
static PyObject *
request_respond(PyObject *self, PyObject *args)
{
    HttpHead head = {.status = 0};
    PyObject *body = NULL, *list = NULL;
    Py_ssize_t type_len = 0;
    if (!PyArg_ParseTuple(args, "i|Sy#O!", &head.status, &body, &head.content_type.ptr,
                          &type_len, &PyList_Type, &list)) {
        return NULL;
    }
    head.content_type.len = (size_t)type_len;
    HttpFields fields = {.has_date = false};
    head.fields = &fields;
    Slice slice = body == NULL ? slice_of("", 0)
                               : slice_of(PyBytes_AS_STRING(body),
                                          (size_t)PyBytes_GET_SIZE(body));
    int err = fields_fill(&fields, list);
    if (err == 0) {
        err = http_respond(req_of(self), &head, slice, body);
    }
    http_fields_free(&fields);
    return PyLong_FromLong(err);
}

static PyObject *
request_respond_error(PyObject *self, PyObject *status)
{
    return PyLong_FromLong(
        http_respond_error(req_of(self), (int)PyLong_AsLong(status)));
}

/* stream_begin(status, length=-1, fields=[]) -> 0 or the error */
static PyObject *
request_stream_begin(PyObject *self, PyObject *args)
{
    HttpHead head = {.status = 0};
    long long length = -1;
    PyObject *list = NULL;
    if (!PyArg_ParseTuple(args, "i|LO!", &head.status, &length, &PyList_Type, &list)) {
        return NULL;
    }
    HttpFields fields = {.has_date = false};
    head.fields = &fields;
    int err = fields_fill(&fields, list);
    if (err == 0) {
        err = http_stream_begin(req_of(self), &head, length);
    }
    http_fields_free(&fields);
    return PyLong_FromLong(err);
}

static PyObject *
request_stream_write(PyObject *self, PyObject *piece)
{
    Slice slice = slice_of(PyBytes_AS_STRING(piece), (size_t)PyBytes_GET_SIZE(piece));
    return PyLong_FromLong(http_stream_write(req_of(self), slice, piece));
}

static PyObject *
request_stream_end(PyObject *self, PyObject *Py_UNUSED(none))
{
    return PyLong_FromLong(http_stream_end(req_of(self)));
}

static PyObject *
request_stream_full(PyObject *self, PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(http_stream_full(req_of(self)));
}

static PyObject *
request_abort(PyObject *self, PyObject *Py_UNUSED(none))
{
    http_abort(req_of(self));
    Py_RETURN_NONE;
}

static PyObject *
request_pause(PyObject *self, PyObject *Py_UNUSED(none))
{
    http_body_pause(req_of(self));
    Py_RETURN_NONE;
}

static PyObject *
request_resume(PyObject *self, PyObject *Py_UNUSED(none))
{
    http_body_resume(req_of(self));
    Py_RETURN_NONE;
}

static PyMethodDef request_methods[] = {
    {"describe", request_describe, METH_NOARGS, NULL},
    {"client", request_client, METH_NOARGS, NULL},
    {"server", request_server, METH_NOARGS, NULL},
    {"find", request_find, METH_O, NULL},
    {"respond", request_respond, METH_VARARGS, NULL},
    {"respond_error", request_respond_error, METH_O, NULL},
    {"stream_begin", request_stream_begin, METH_VARARGS, NULL},
    {"stream_write", request_stream_write, METH_O, NULL},
    {"stream_end", request_stream_end, METH_NOARGS, NULL},
    {"stream_full", request_stream_full, METH_NOARGS, NULL},
    {"abort", request_abort, METH_NOARGS, NULL},
    {"pause", request_pause, METH_NOARGS, NULL},
    {"resume", request_resume, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_methods, request_methods},
    {0, NULL},
};

static PyType_Spec request_spec = {
    .name = "fluvial._core.HttpRequest",
    .basicsize = sizeof(ProbeRequest),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = request_slots,
};

/* ---- Server ------------------------------------------------------------------------------ */

/* Sets the limits that `dict` (borrowed, may be NULL) names. 0, or -1 with an exception. */
static int
limits_fill(HttpLimits *limits, PyObject *dict)
{
    static const struct {
        const char *name;
        size_t offset;
    } small[] = {
#define LIMIT(field) {#field, offsetof(HttpLimits, field)}
        LIMIT(h2),
        LIMIT(request_line),
        LIMIT(header_block),
        LIMIT(header_fields),
        LIMIT(trailer_block),
        LIMIT(chunk_extensions),
        LIMIT(header_timeout),
        LIMIT(body_rate),
        LIMIT(body_grace),
        LIMIT(keep_alive),
        LIMIT(write_timeout),
        LIMIT(connections),
        LIMIT(in_flight),
        LIMIT(pipelined),
        LIMIT(half_closed),
        LIMIT(linger_time),
        LIMIT(linger_timeout),
        LIMIT(log_buffer),
#undef LIMIT
    };
    http_limits_default(limits);
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (dict != NULL && PyDict_Next(dict, &at, &key, &value)) {
        const char *name = PyUnicode_AsUTF8(key);
        unsigned long number = PyLong_AsUnsignedLong(value);
        if (name == NULL || PyErr_Occurred()) {
            return -1;
        }
        bool found = strcmp(name, "body") == 0;
        if (found) {
            limits->body = number;
        }
        if (strcmp(name, "linger_bytes") == 0) {
            limits->linger_bytes = number;
            found = true;
        }
        for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
            if (strcmp(name, small[i].name) == 0) {
                *(uint32_t *)((char *)limits + small[i].offset) = (uint32_t)number;
                found = true;
            }
        }
        if (!found) {
            PyErr_Format(PyExc_TypeError, "no limit %s", name);
            return -1;
        }
    }
    return 0;
}

static PyObject *
server_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"loop",    "handler", "fd",     "limits",
                            "is_unix", "log_fd",  "secure", NULL};
    PyObject *loop, *handler, *dict = NULL, *secure = Py_None;
    int fd, is_unix = 0, log_fd = -1;
    HttpLimits limits;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOi|$O!piO", names, &loop, &handler,
                                     &fd, &PyDict_Type, &dict, &is_unix, &log_fd,
                                     &secure)
        || limits_fill(&limits, dict) < 0) {
        return NULL;
    }
    PyObject *module = PyType_GetModule(type);
    Loop *checked = loop_check(module, loop);
    ProbeServer *self = checked != NULL ? (ProbeServer *)type->tp_alloc(type, 0) : NULL;
    if (self == NULL) {
        return NULL;
    }
    self->loop = Py_NewRef(loop);
    self->handler = Py_NewRef(handler);
    self->request_type = (PyTypeObject *)PyObject_GetAttrString(module, "HttpRequest");
    self->server = http_server_new(checked, &ops, &limits, self);
    if (self->server == NULL || self->request_type == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    SecureSet *set = NULL;
    if (secure != Py_None
        && ((set = secure_context_of(net_state(module), secure)) == NULL
            || http_server_secure(self->server, set) != 0)) {
        Py_DECREF(self);
        return NULL;
    }
    http_server_access_log(self->server, log_fd);
    int err = http_server_listen(self->server, fd, is_unix, 128, false);
    if (err != 0) {
        Py_DECREF(self);
        return err_set(err);
    }
    self->listening = true;
    return Py_NewRef((PyObject *)self);
}

static void
server_dealloc(PyObject *obj)
{
    ProbeServer *self = (ProbeServer *)obj;
    PyTypeObject *type = Py_TYPE(obj);
    if (self->server != NULL) {
        http_server_free(self->server);
    }
    Py_XDECREF(self->loop);
    Py_XDECREF(self->handler);
    Py_XDECREF((PyObject *)self->request_type);
    type->tp_free(obj);
    Py_DECREF(type);
}

static PyObject *
server_drain(PyObject *self, PyObject *Py_UNUSED(none))
{
    http_server_drain(((ProbeServer *)self)->server, true, true);
    Py_RETURN_NONE;
}

static PyObject *
server_abort(PyObject *self, PyObject *Py_UNUSED(none))
{
    http_server_abort(((ProbeServer *)self)->server);
    Py_RETURN_NONE;
}

static PyObject *
server_stats(PyObject *self, PyObject *Py_UNUSED(none))
{
    HttpStats s = http_server_stats(((ProbeServer *)self)->server);
    return Py_BuildValue("{sK sK sK sK sI sI}", "accepted", s.accepted, "requests",
                         s.requests, "responses", s.responses, "rejected", s.rejected,
                         "open", s.open, "in_flight", s.in_flight);
}

static PyMethodDef server_methods[] = {
    {"drain", server_drain, METH_NOARGS, NULL},
    {"abort", server_abort, METH_NOARGS, NULL},
    {"stats", server_stats, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot server_slots[] = {
    {Py_tp_new, server_new},
    {Py_tp_dealloc, server_dealloc},
    {Py_tp_methods, server_methods},
    {0, NULL},
};

static PyType_Spec server_spec = {
    .name = "fluvial._core.HttpServer",
    .basicsize = sizeof(ProbeServer),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = server_slots,
};

/* ---- The module: what ext/app has for module.c ------------------------------------------- */

static int
add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int err = type != NULL ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return err;
}

static PyObject *
probe_reason(PyObject *Py_UNUSED(module), PyObject *status)
{
    return bytes_of(http_reason((int)PyLong_AsLong(status)));
}

/* field_is_fine(name, value): whether an answer may have that field. */
static PyObject *
probe_field_is_fine(PyObject *Py_UNUSED(module), PyObject *args)
{
    Slice name, value;
    Py_ssize_t name_len, value_len;
    if (!PyArg_ParseTuple(args, "y#y#", &name.ptr, &name_len, &value.ptr, &value_len)) {
        return NULL;
    }
    name.len = (size_t)name_len;
    value.len = (size_t)value_len;
    HttpFields fields = {.has_date = false};
    int err = http_fields_add(&fields, name, value);
    http_fields_free(&fields);
    return PyBool_FromLong(err == 0);
}

static PyMethodDef functions[] = {
    {"field_is_fine", probe_field_is_fine, METH_VARARGS, NULL},
    {"http_reason", probe_reason, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

int
app_setup(PyObject *module, AppState *Py_UNUSED(st))
{
    return add_type(module, &request_spec) < 0 || add_type(module, &server_spec) < 0
               ? -1
               : PyModule_AddFunctions(module, functions);
}

int
app_traverse(AppState *Py_UNUSED(st), visitproc Py_UNUSED(visit), void *Py_UNUSED(arg))
{
    return 0;
}

void
app_clear(AppState *Py_UNUSED(st))
{
}

int
asgi_setup(PyObject *Py_UNUSED(module), AsgiState *Py_UNUSED(st))
{
    return 0;
}

int
asgi_traverse(AsgiState *Py_UNUSED(st), visitproc Py_UNUSED(visit),
              void *Py_UNUSED(arg))
{
    return 0;
}

void
asgi_clear(AsgiState *Py_UNUSED(st))
{
}

int
wsgi_setup(PyObject *Py_UNUSED(module), WsgiState *Py_UNUSED(st))
{
    return 0;
}

int
wsgi_traverse(WsgiState *Py_UNUSED(st), visitproc Py_UNUSED(visit),
              void *Py_UNUSED(arg))
{
    return 0;
}

void
wsgi_clear(WsgiState *Py_UNUSED(st))
{
}

int
files_setup(PyObject *Py_UNUSED(module), FilesState *Py_UNUSED(st))
{
    return 0;
}

int
files_traverse(FilesState *Py_UNUSED(st), visitproc Py_UNUSED(visit),
               void *Py_UNUSED(arg))
{
    return 0;
}

void
files_clear(FilesState *Py_UNUSED(st))
{
}
