/* The Python type Server (see server.h): its constructor, its sockets from listen() to close(), and
 * the future that drain() and abort() return.
 */
#include "base/py.h"

#include "app/serve/server_type.h"

#include "app/serve/access_format_read.h"
#include "app/serve/adopt.h"
#include "app/future.h"
#include "pool/pool_type.h"
#include "app/request_type.h"
#include "route/router_type.h"
#include "app/server.h"
#include "app/job.h"
#include "app/serve/dispatch.h"
#include "app/serve/limits_from_dict.h"
#include "app/serve/server_args.h"
#include "base/err.h"
#include "base/made.h"
#include "net/server_tls.h"

/* ---- Construction ------------------------------------------------------------------------- */

/* AppServer.own_lengths of these paths, or of NULL. */
static uint64_t
paths_lengths(const PyObject *own)
{
    uint64_t lengths = 0;
    for (Py_ssize_t i = 0; own != NULL && i < PyTuple_GET_SIZE(own); i++) {
        Py_ssize_t len;
        PyObject *path = PyTuple_GET_ITEM(PyTuple_GET_ITEM(own, i), 0);
        if (PyUnicode_AsUTF8AndSize(path, &len) == NULL) {
            PyErr_Clear(); /* lone surrogates, which no path has */
        } else {
            lengths |= (uint64_t)1 << (len < 63 ? len : 63);
        }
    }
    return lengths;
}

static void
server_take(AppServer *self, const ServerArgs *a)
{
    self->router_obj = Py_NewRef(a->router);
    self->pool_obj = Py_NewRef(a->pool);
    self->app = Py_NewRef(a->app);
    self->request_type = (PyTypeObject *)Py_NewRef(a->request_type);
    self->response_type = (PyTypeObject *)Py_NewRef(a->response_type);
    self->errors.validation_error = Py_NewRef(a->validation_error);
    self->errors.http_exception = Py_NewRef(a->http_exception);
    self->client_disconnect = Py_NewRef(a->client_disconnect);
    self->encode = Py_NewRef(a->encode);
    self->encode_fallback = object_or_null(a->encode_fallback);
    self->on_error = Py_NewRef(a->on_error);
    self->entry = object_or_null(a->entry);
    self->root = (Mount *)object_or_null(a->root);
    self->mounts = Py_XNewRef(a->mounts);
    self->own_mounts = Py_XNewRef(a->own_mounts);
    self->own_lengths = paths_lengths(a->own_mounts);
    self->refused = object_or_null(a->refused);
    self->custom_errors = a->custom_errors != 0;
    self->around = a->around != 0;
    self->root_path = Py_XNewRef(a->root_path);
}

static int
server_fill(PyObject *op, PyObject *args, PyObject *kwargs)
{
    AppServer *self = (AppServer *)op;
    PyObject *module = PyType_GetModule(Py_TYPE(op));
    ServerArgs a;
    if (server_args_parse(&a, args, kwargs) < 0) {
        return -1;
    }
    AppState *st = app_state(module);
    bool adopts =
        a.loop == Py_None; /* only takes requests that another server has received */
    Loop *loop = adopts ? NULL : loop_check(module, a.loop);
    Router *router = loop == NULL && !adopts ? NULL : router_check(st->route, a.router);
    Pool *pool = router == NULL || adopts ? NULL : pool_check(st->pool, a.pool);
    if (router == NULL || (pool == NULL && !adopts)) {
        return -1;
    }
    if (!request_type_check(st, a.request_type)) {
        PyErr_Format(PyExc_TypeError, "request_type must derive from Request, not %R",
                     a.request_type);
        return -1;
    }
    if ((a.root != Py_None && mount_check(st, a.root) == NULL)
        || (a.mounts != NULL && server_mounts_check(st, a.mounts) < 0)
        || (a.own_mounts != NULL && server_mounts_check(st, a.own_mounts) < 0)) {
        return -1;
    }
    HttpLimits limits;
    http_limits_default(&limits);
    if (a.limits != Py_None
        && (!PyDict_Check(a.limits) || server_limits_read(&limits, a.limits) < 0)) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "limits must be a dict");
        }
        return -1;
    }
    if (ws_parts_read(&self->websockets, st, a.websockets) < 0) {
        return -1;
    }
    if ((self->context = PyContext_CopyCurrent()) == NULL
        || server_make_http(self, module, loop, &limits, &a) < 0) {
        return -1;
    }
    self->st = st;
    self->loop = loop == NULL ? NULL : (Loop *)Py_NewRef(a.loop);
    overdue_init(&self->overdue, op, self->loop, dispatch_expired);
    overdue_init(&self->waiting, op, self->loop, job_late);
    self->router = router;
    self->pool = pool;
    server_take(self, &a);
    return 0;
}

/* ---- Methods ------------------------------------------------------------------------------ */

int
server_check_open(const AppServer *self)
{
    if (self->http == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the server is closed");
        return -1;
    }
    return 0;
}

int
server_check_loop(const AppServer *self)
{
    if (self->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a server without a loop can't listen");
        return -1;
    }
    return 0;
}

/* After an attempt to serve a socket, which failed if `err` isn't 0: None, or NULL with an exception. */
static PyObject *
server_began(AppServer *self, int err)
{
    if (err != 0) {
        return err_set(err);
    }
    if (!self->listening) {
        self->listening = true;
        Py_INCREF((PyObject *)self);
    }
    Py_RETURN_NONE;
}

static PyObject *
server_listen(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"fd",     "unix",    "backlog",
                                        "shared", "proxied", NULL};
    AppServer *self = (AppServer *)op;
    int fd, is_unix = 0, backlog = 2048, shared = 0, proxied = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|$pipp", (char **)names, &fd,
                                     &is_unix, &backlog, &shared, &proxied)
        || server_check_open(self) < 0) {
        return NULL;
    }
    if (server_check_loop(self) < 0) {
        return NULL;
    }
    if (shared) {
        http_server_share(self->http);
    }
    int err = http_server_listen(self->http, fd, is_unix != 0, backlog, proxied != 0);
    return server_began(self, err);
}

static PyObject *
server_take_socket(PyObject *op, PyObject *arg)
{
    AppServer *self = (AppServer *)op;
    int fd;
    if (!PyArg_Parse(arg, "i:take", &fd) || server_check_open(self) < 0
        || server_check_loop(self) < 0) {
        return NULL;
    }
    return server_began(self, http_server_take(self->http, fd));
}

static PyObject *
server_reopen_log(PyObject *op, PyObject *arg)
{
    AppServer *self = (AppServer *)op;
    int fd;
    if (!PyArg_Parse(arg, "i:reopen_log", &fd) || server_check_open(self) < 0) {
        return NULL;
    }
    int err = http_server_reopen_log(self->http, fd);
    if (err != 0) {
        return err_set(err);
    }
    Py_RETURN_NONE;
}

static PyObject *
server_renew_secure(PyObject *op, PyObject *arg)
{
    AppServer *self = (AppServer *)op;
    if (server_check_open(self) < 0) {
        return NULL;
    }
    PyObject *module = PyType_GetModule(Py_TYPE(op));
    SecureSet *set = secure_context_of(net_state(module), arg);
    if (set == NULL) {
        return NULL;
    }
    if (!http_server_is_secure(self->http)) {
        PyErr_SetString(PyExc_RuntimeError, "the server has no TLS");
        return NULL;
    }
    (void)http_server_secure(self->http, set);
    Py_RETURN_NONE;
}

static PyObject *
server_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    AppServer *self = (AppServer *)op;
    HttpServer *http = self->http;
    bool open = http != NULL && http_server_stats(http).open != 0;
    if (open || self->listening) {
        return PyErr_Format(PyExc_RuntimeError,
                            "the server %s: await drain() or abort() before close()",
                            open ? "has open connections" : "listens");
    }
    self->http = NULL;
    if (http != NULL) {
        http_server_free(http);
    }
    Py_RETURN_NONE;
}

static PyObject *
server_measure(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    AppServer *self = (AppServer *)op;
    if (self->http != NULL) {
        http_server_measure(self->http);
    }
    Py_RETURN_NONE;
}

static PyObject *
server_stats(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    AppServer *self = (AppServer *)op;
    if (server_check_open(self) < 0) {
        return NULL;
    }
    HttpStats s = http_server_stats(self->http);
    return Py_BuildValue("{sKsKsKsKsIsI}", "accepted", (unsigned long long)s.accepted,
                         "requests", (unsigned long long)s.requests, "responses",
                         (unsigned long long)s.responses, "rejected",
                         (unsigned long long)s.rejected, "open", s.open, "in_flight",
                         s.in_flight);
}

/* ---- The type ----------------------------------------------------------------------------- */

static int
server_traverse(PyObject *op, visitproc visit, void *arg)
{
    AppServer *self = (AppServer *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->context);
    Py_VISIT(self->router_obj);
    Py_VISIT(self->pool_obj);
    Py_VISIT(self->app);
    Py_VISIT(self->request_type);
    Py_VISIT(self->response_type);
    Py_VISIT(self->errors.validation_error);
    Py_VISIT(self->errors.http_exception);
    Py_VISIT(self->client_disconnect);
    Py_VISIT(self->encode);
    Py_VISIT(self->encode_fallback);
    Py_VISIT(self->on_error);
    Py_VISIT(self->entry);
    Py_VISIT((PyObject *)self->root);
    Py_VISIT(self->mounts);
    Py_VISIT(self->own_mounts);
    Py_VISIT(self->refused);
    Py_VISIT(self->drained);
    Py_VISIT(self->overdue.timer);
    Py_VISIT(self->waiting.timer);
    Py_VISIT(self->urgent_obj);
    Py_VISIT(self->urgent_context);
    return ws_parts_traverse(&self->websockets, visit, arg);
}

/* Never called while the HttpServer is running: until then the object holds a reference on itself. */
static int
server_clear(PyObject *op)
{
    AppServer *self = (AppServer *)op;
    Py_CLEAR(self->app);
    Py_CLEAR(self->on_error);
    Py_CLEAR(self->entry);
    Py_CLEAR(self->root);
    Py_CLEAR(self->mounts);
    Py_CLEAR(self->own_mounts);
    Py_CLEAR(self->refused);
    Py_CLEAR(self->drained);
    overdue_free(&self->overdue);
    overdue_free(&self->waiting);
    self->urgent = NULL;
    Py_CLEAR(self->urgent_obj);
    Py_CLEAR(self->urgent_context);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->context);
    Py_CLEAR(self->router_obj);
    Py_CLEAR(self->pool_obj);
    Py_CLEAR(self->request_type);
    Py_CLEAR(self->response_type);
    Py_CLEAR(self->errors.validation_error);
    Py_CLEAR(self->errors.http_exception);
    Py_CLEAR(self->client_disconnect);
    Py_CLEAR(self->encode);
    Py_CLEAR(self->encode_fallback);
    ws_parts_clear(&self->websockets);
    return 0;
}

static void
server_dealloc(PyObject *op)
{
    AppServer *self = (AppServer *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->http != NULL) {
        http_server_free(self->http);
    }
    (void)server_clear(op);
    http_fields_free(&self->fields);
    PyBuffer_Release(&self->metrics);
    Py_XDECREF(self->root_path);
    Py_XDECREF(self->labels);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef server_methods[] = {
    {"listen", (PyCFunction)(void (*)(void))server_listen, METH_VARARGS | METH_KEYWORDS,
     "Takes over a bound socket and accepts connections."},
    {"take", server_take_socket, METH_O, "Serves a connected Unix socket."},
    {"compress", server_compress, METH_VARARGS,
     "Says which responses are compressed, and how."},
    {"decompress", server_decompress, METH_O, "Says which request bodies are decoded."},
    {"drain", (PyCFunction)(void (*)(void))server_drain, METH_VARARGS | METH_KEYWORDS,
     "Finishes the requests in progress; returns a future."},
    {"end_streams", server_end_streams, METH_NOARGS,
     "Breaks off responses that may never end."},
    {"pending", server_pending, METH_NOARGS, "What has no whole response yet."},
    {"abort", server_abort, METH_NOARGS,
     "Closes every connection now; returns a future."},
    {"adopt", server_adopt, METH_VARARGS,
     "Makes a Request of one that another server received."},
    {"collect", server_collect, METH_VARARGS,
     "Adds a piece to the body of an adopted request."},
    {"release", server_release_adopted, METH_O, "Ends an adopted request."},
    {"reopen_log", server_reopen_log, METH_O,
     "Writes the access log to another descriptor."},
    {"renew_secure", server_renew_secure, METH_O,
     "Sets up the TLS of connections that are accepted from now on."},
    {"close", server_close, METH_NOARGS, "Releases the drained server."},
    {"stats", server_stats, METH_NOARGS, "Counters since the start, as a dict."},
    {"measure", server_measure, METH_NOARGS,
     "Brings what it counts in the metrics' memory up to date."},
    {NULL, NULL, 0, NULL},
};

static PyObject *
server_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return object_made(type, args, kwargs, server_fill);
}

static int
server_init(PyObject *op, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return object_init_once(op, &((AppServer *)op)->initialised);
}

static PyType_Slot server_slots[] = {
    {Py_tp_doc, "The HTTP server of one loop."},
    {Py_tp_new, server_new},
    {Py_tp_init, server_init},
    {Py_tp_methods, server_methods},
    {Py_tp_traverse, server_traverse},
    {Py_tp_clear, server_clear},
    {Py_tp_dealloc, server_dealloc},
    {0, NULL},
};

static PyType_Spec server_spec = {
    .name = "fluvial._core.Server",
    .basicsize = sizeof(AppServer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = server_slots,
};

int
server_setup(PyObject *module, AppState *st)
{
    st->server_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &server_spec, NULL);
    return st->server_type == NULL ? -1 : PyModule_AddType(module, st->server_type);
}
