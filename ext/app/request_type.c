/* The type `_core.Request` (see request_type.h). request_values.c makes its attributes, which are
 * kept here.
 * Thread: the handler's, whichever that is, with the GIL.
 */
#include "base/py.h"

#include "app/request_type.h"

#include "app/body.h"
#include "app/call.h"
#include "app/header_pairs.h"
#include "base/err.h"
#include "base/text.h"
#include "app/bind/plan.h"
#include "app/request_object.h"
#include "app/server.h"

#include <structmember.h>

/* ---- Attributes --------------------------------------------------------------------------- */

static PyObject *
request_get(PyObject *op, void *closure)
{
    RequestValue which = (RequestValue)(uintptr_t)closure;
    return Py_XNewRef(request_cached((RequestObject *)op, which));
}

static int
request_set(PyObject *op, PyObject *value, void *closure)
{
    RequestObject *self = (RequestObject *)op;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError,
                        "attributes of a Request cannot be deleted");
        return -1;
    }
    Py_XSETREF(self->values[(uintptr_t)closure], Py_NewRef(value));
    return 0;
}

static const RouteMatch *
request_match(PyObject *op)
{
    return &call_of(((RequestObject *)op)->http)->match;
}

static PyObject *
request_get_plan(PyObject *op, void *Py_UNUSED(closure))
{
    const RouteMatch *match = request_match(op);
    return Py_NewRef(match->outcome == ROUTE_FOUND ? match->plan : Py_None);
}

static PyObject *
request_get_route_status(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(route_status(request_match(op)->outcome));
}

static PyObject *
request_get_disconnected(PyObject *op, void *Py_UNUSED(closure))
{
    HttpRequest *req = ((RequestObject *)op)->http;
    return PyBool_FromLong(call_of(req)->gone || req->left);
}

/* How much of a body may be kept as a whole. */
static PyObject *
request_get_body_limit(PyObject *op, void *Py_UNUSED(closure))
{
    const HttpRequest *req = ((RequestObject *)op)->http;
    const Plan *plan = (Plan *)request_match(op)->plan;
    bool own = request_match(op)->outcome == ROUTE_FOUND && plan->body_limit >= 0;
    return PyLong_FromUnsignedLongLong(own ? (uint64_t)plan->body_limit
                                           : http_server_limits(req->server)->body);
}

static PyObject *
request_get_is_secure(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((RequestObject *)op)->http->https);
}

static PyObject *
request_get_forwarded_prefix(PyObject *op, void *Py_UNUSED(closure))
{
    return text_latin1(http_request_prefix(((RequestObject *)op)->http));
}

static PyObject *
request_get_id(PyObject *op, void *Py_UNUSED(closure))
{
    Slice id = http_request_id(((RequestObject *)op)->http);
    return id.len == 0 ? Py_NewRef(Py_None) : text_latin1(id);
}

/* ---- Methods ------------------------------------------------------------------------------ */

/* The value of the first field of that name, as str. NULL without an exception when there is none. */
static PyObject *
request_find_header(HttpRequest *req, Slice name)
{
    for (uint32_t i = 0; i < req->nfields; i++) {
        if (slice_eq_nocase(name, http_field_name(req, i))) {
            return text_latin1(http_field_value(req, i));
        }
    }
    return NULL;
}

static PyObject *
request_header(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"name", "default", NULL};
    const char *name;
    Py_ssize_t len;
    PyObject *fallback = Py_None; /* borrowed */
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s#|O:header", (char **)names, &name,
                                     &len, &fallback)) {
        return NULL;
    }
    HttpRequest *req = ((RequestObject *)op)->http;
    PyObject *value = request_find_header(req, slice_of(name, (size_t)len));
    return value != NULL || PyErr_Occurred() ? value : Py_NewRef(fallback);
}

static PyObject *
request_read(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return body_read(((RequestObject *)op)->server->st, op);
}

static PyObject *
request_until_gone(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return body_until_gone(((RequestObject *)op)->server->st, op);
}

static PyObject *
request_body_nowait(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    RequestObject *self = (RequestObject *)op;
    if (self->http->body_mode != HTTP_BODY_COLLECT && self->http->has_body) {
        Py_RETURN_NONE;
    }
    return Py_XNewRef(request_cached(self, REQUEST_BODY));
}

/* 103 (RFC 8297) with these fields. Nothing is sent once the response has begun, or the client has
 * left. */
static PyObject *
request_send_hints(PyObject *op, PyObject *headers)
{
    RequestObject *self = (RequestObject *)op;
    HttpRequest *req = self->http;
    if (!loop_runs_here(self->server->loop)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "send_early_hints() must be awaited on the server's loop");
        return NULL;
    }
    HttpFields fields = {.has_date = false};
    PyObject *done = NULL;
    if (fields_from_pairs(&fields, headers) == 0) {
        HttpConn *conn = http_request_conn(req);
        int err = http_inform(req, 103, &fields);
        if (conn != NULL && err == 0) {
            http_offer(conn);
        }
        done = err == UV_ENOMEM ? PyErr_NoMemory() : Py_NewRef(Py_None);
    }
    http_fields_free(&fields);
    return done;
}

/* ---- The type ----------------------------------------------------------------------------- */

int
request_traverse(PyObject *op, visitproc visit, void *arg)
{
    RequestObject *self = (RequestObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT((PyObject *)self->server);
    for (int i = 0; i < REQUEST_NVALUES; i++) {
        Py_VISIT(self->values[i]);
    }
    Py_VISIT(self->app);
    Py_VISIT(self->state);
    Py_VISIT(self->cache);
    Py_VISIT(self->at_end);
    return 0;
}

/* Clears what may be part of a cycle. `server` stays until deallocation, because a finalizer may
 * still use the request. */
int
request_clear(PyObject *op)
{
    RequestObject *self = (RequestObject *)op;
    for (int i = 0; i < REQUEST_NVALUES; i++) {
        Py_CLEAR(self->values[i]);
    }
    Py_CLEAR(self->app);
    Py_CLEAR(self->state);
    Py_CLEAR(self->cache);
    Py_CLEAR(self->at_end);
    return 0;
}

void
request_dealloc(PyObject *op)
{
    RequestObject *self = (RequestObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)request_clear(op);
    http_request_unref(self->http);
    Py_DECREF((PyObject *)self->server);
    type->tp_free(op);
    Py_DECREF(type);
}

#define VALUE(name, which) {name, request_get, NULL, NULL, (void *)(uintptr_t)(which)}

static PyGetSetDef request_getset[] = {
    VALUE("method", REQUEST_METHOD),
    VALUE("path", REQUEST_PATH),
    VALUE("raw_path", REQUEST_RAW_PATH),
    VALUE("query_string", REQUEST_QUERY_STRING),
    VALUE("http_version", REQUEST_HTTP_VERSION),
    VALUE("raw_headers", REQUEST_RAW_HEADERS),
    VALUE("client", REQUEST_CLIENT),
    VALUE("server", REQUEST_SERVER),
    VALUE("route_headers", REQUEST_ROUTE_HEADERS),
    VALUE("tls", REQUEST_TLS),
    {"path_params", request_get, request_set, NULL,
     (void *)(uintptr_t)REQUEST_PATH_PARAMS},
    {"plan", request_get_plan, NULL, NULL, NULL},
    {"route_status", request_get_route_status, NULL, NULL, NULL},
    {"disconnected", request_get_disconnected, NULL, NULL, NULL},
    {"is_secure", request_get_is_secure, NULL, NULL, NULL},
    {"_forwarded_prefix", request_get_forwarded_prefix, NULL, NULL, NULL},
    {"_id", request_get_id, NULL, NULL, NULL},
    {"body_limit", request_get_body_limit, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef request_members[] = {
    {"app", T_OBJECT, offsetof(RequestObject, app), 0, NULL},
    {"state", T_OBJECT, offsetof(RequestObject, state), 0, NULL},
    {"_cache", T_OBJECT, offsetof(RequestObject, cache), 0, NULL},
    {"_at_end", T_OBJECT, offsetof(RequestObject, at_end), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef request_methods[] = {
    {"header", (PyCFunction)(void (*)(void))request_header,
     METH_VARARGS | METH_KEYWORDS, "The first field of that name, or the default."},
    {"read", request_read, METH_NOARGS,
     "The next piece of the body; b\"\" at its end."},
    {"until_gone", request_until_gone, METH_NOARGS,
     "Waits until the client has left, or the response is complete."},
    {"send_hints", request_send_hints, METH_O,
     "Sends an interim response, 103, with these pairs."},
    {"body_nowait", request_body_nowait, METH_NOARGS,
     "The whole body when it was collected, else None."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_doc, "One HTTP request; made by the server."},
    {Py_tp_traverse, request_traverse},
    {Py_tp_clear, request_clear},
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_getset, request_getset},
    {Py_tp_members, request_members},
    {Py_tp_methods, request_methods},
    {0, NULL},
};

static PyType_Spec request_spec = {
    .name = "fluvial._core.Request",
    .basicsize = sizeof(RequestObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = request_slots,
};

int
request_setup(PyObject *module, AppState *st)
{
    st->request_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &request_spec, NULL);
    return st->request_type == NULL ? -1 : PyModule_AddType(module, st->request_type);
}

PyObject *
request_new(PyTypeObject *type, HttpRequest *req, PyObject *app)
{
    RequestObject *self = (RequestObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        http_request_ref(req);
        self->http = req;
        self->server = (AppServer *)Py_NewRef((PyObject *)call_server(req));
        self->app = Py_NewRef(app);
    }
    return (PyObject *)self;
}

bool
request_type_check(const AppState *st, PyObject *type)
{
    return PyType_Check(type)
           && PyType_IsSubtype((PyTypeObject *)type, st->request_type);
}

HttpRequest *
request_http(PyObject *obj)
{
    return ((RequestObject *)obj)->http;
}

/* Called when the last reference may be dropped, perhaps with an exception set. */
void
call_let_request_go(HttpRequest *req)
{
    PyObject *request = call_of(req)->request;
    call_of(req)->request = NULL;
    if (request == NULL) {
        return;
    }
    PyObject *at_end = ((RequestObject *)request)->at_end;
    ((RequestObject *)request)->at_end = NULL;
    if (unlikely(at_end != NULL)) {
        PyObject *exc = PyErr_Occurred() ? err_take() : NULL;
        PyObject *done = PyObject_CallNoArgs(at_end);
        if (done == NULL) {
            PyErr_WriteUnraisable(at_end);
        }
        Py_XDECREF(done);
        Py_DECREF(at_end);
        if (exc != NULL) {
            err_restore(exc);
        }
    }
    Py_DECREF(request);
}

PyObject *
call_request(HttpRequest *req)
{
    AppCall *call = call_of(req);
    if (call->request == NULL) {
        AppServer *server = call_server(req);
        call->request = request_new(server->request_type, req, server->app);
    }
    return Py_XNewRef(call->request);
}
