/* See server_args.h. In order: reading the arguments, and what goes from them to the HttpServer. Whatever is
 * missing or of a wrong type is a TypeError or ValueError that names the argument.
 */
#include "base/py.h"

#include "app/serve/server_args.h"

#include "app/serve/access_format_read.h"
#include "app/serve/dispatch.h"
#include "base/err.h"
#include "net/server_tls.h"
#include "pool/pool_type.h"

/* The first arguments that come after loop, router and pool may be given by name, but may not be missing.
 * `names` begins with theirs. 0, or -1 with an exception set. */
static int
server_args_complete(const ServerArgs *a, const char *const *names)
{
    PyObject *const required[] = {a->app,
                                  a->request_type,
                                  a->response_type,
                                  a->validation_error,
                                  a->http_exception,
                                  a->client_disconnect,
                                  a->encode,
                                  a->on_error};
    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        if (required[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "Server() needs the argument %s", names[i]);
            return -1;
        }
    }
    return 0;
}

int
server_args_parse(ServerArgs *a, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"loop",
                                        "router",
                                        "pool",
                                        "app",
                                        "request_type",
                                        "response_type",
                                        "validation_error",
                                        "http_exception",
                                        "client_disconnect",
                                        "encode",
                                        "on_error",
                                        "encode_fallback",
                                        "entry",
                                        "custom_errors",
                                        "root",
                                        "mounts",
                                        "limits",
                                        "access_log",
                                        "websockets",
                                        "ws_origins",
                                        "secure",
                                        "on_refused",
                                        "around",
                                        "root_path",
                                        "hosts",
                                        "proxies",
                                        "access_format",
                                        "request_ids",
                                        "own_mounts",
                                        "probes",
                                        "metrics",
                                        "fields",
                                        "urgent",
                                        NULL};
    *a = (ServerArgs){.encode_fallback = Py_None,
                      .entry = Py_None,
                      .root = Py_None,
                      .mounts = NULL,
                      .limits = Py_None,
                      .websockets = Py_None,
                      .secure = Py_None,
                      .refused = Py_None,
                      .access_log = -1};
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "OOO|$OO!O!OOOOOOOpOO!OiOs#OOpUs#O!O!s#O!s#O!O!O!",
            (char **)names, &a->loop, &a->router, &a->pool, &a->app, &PyType_Type,
            &a->request_type, &PyType_Type, &a->response_type, &a->validation_error,
            &a->http_exception, &a->client_disconnect, &a->encode, &a->on_error,
            &a->encode_fallback, &a->entry, &a->custom_errors, &a->root, &PyTuple_Type,
            &a->mounts, &a->limits, &a->access_log, &a->websockets, &a->ws_origins,
            &a->ws_origins_len, &a->secure, &a->refused, &a->around, &a->root_path,
            &a->hosts, &a->hosts_len, &PyTuple_Type, &a->proxies, &PyTuple_Type,
            &a->access_format, &a->request_ids, &a->request_ids_len, &PyTuple_Type,
            &a->own_mounts, &a->probes, &a->probes_len, &PyTuple_Type, &a->metrics,
            &PyTuple_Type, &a->fields, &PyTuple_Type, &a->urgent)) {
        return -1;
    }
    return server_args_complete(a, names + 3);
}

int
server_mounts_check(const AppState *st, PyObject *mounts)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(mounts); i++) {
        PyObject *item = PyTuple_GET_ITEM(mounts, i);
        if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2
            || !PyUnicode_Check(PyTuple_GET_ITEM(item, 0))) {
            PyErr_Format(PyExc_TypeError, "a mount is (str, app), not %R", item);
            return -1;
        }
        if (mount_check(st, PyTuple_GET_ITEM(item, 1)) == NULL) {
            return -1;
        }
    }
    return 0;
}

/* `proxies` is (networks, whether Unix sockets are trusted, fields), and perhaps the first two of those that may
 * send a header of the PROXY protocol: see trust.h. 0, or -1 with an exception set. */
static int
server_set_proxies(HttpServer *http, PyObject *proxies)
{
    const char *nets, *greeters = NULL;
    Py_ssize_t len, greeters_len = 0;
    int unix_sockets, unix_greeters = 0;
    unsigned char fields;
    if (!PyArg_ParseTuple(proxies, "y#pb|y#p:proxies", &nets, &len, &unix_sockets,
                          &fields, &greeters, &greeters_len, &unix_greeters)) {
        return -1;
    }
    int err = http_server_proxies(http, slice_of(nets, (size_t)len), unix_sockets != 0,
                                  fields);
    if (err == 0 && greeters != NULL) {
        err = http_server_greeters(http, slice_of(greeters, (size_t)greeters_len),
                                   unix_greeters != 0);
    }
    if (err != 0) {
        (void)err_set(err);
    }
    return err == 0 ? 0 : -1;
}

/* `metrics` is (memory, slot): see metrics.h. 0, or -1 with an exception set. */
static int
server_set_metrics(AppServer *self, PyObject *metrics)
{
    unsigned long long slot;
    if (!PyArg_ParseTuple(metrics, "w*K:metrics", &self->metrics, &slot)) {
        return -1;
    }
    int err = http_server_metrics(self->http, self->metrics.buf,
                                  (size_t)self->metrics.len, slot);
    if (err != 0) {
        (void)err_set(err);
    }
    return err == 0 ? 0 : -1;
}

/* `fields` is (lines, without Server, without Date): see http_server_fields. 0, or -1 with an exception set. */
static int
server_set_fields(HttpServer *http, PyObject *fields)
{
    const char *lines;
    Py_ssize_t len;
    int no_server, no_date;
    if (!PyArg_ParseTuple(fields, "y#pp:fields", &lines, &len, &no_server, &no_date)) {
        return -1;
    }
    if (http_server_fields(http, slice_of(lines, (size_t)len), no_server != 0,
                           no_date != 0)
        != 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* `urgent` is (paths, a pool or None, a context): see http_server_urgent and AppServer. 0, or -1 with an exception
 * set. */
static int
server_set_urgent(AppServer *self, PyObject *module, PyObject *urgent)
{
    const char *paths;
    Py_ssize_t len;
    PyObject *pool, *context;
    if (!PyArg_ParseTuple(urgent, "s#OO!:urgent", &paths, &len, &pool, &PyContext_Type,
                          &context)) {
        return -1;
    }
    if (pool != Py_None
        && (self->urgent = pool_check(app_state(module)->pool, pool)) == NULL) {
        return -1;
    }
    self->urgent_obj = Py_NewRef(pool);
    self->urgent_context = Py_NewRef(context);
    if (http_server_urgent(self->http, slice_of(paths, (size_t)len)) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

int
server_make_http(AppServer *self, PyObject *module, Loop *loop,
                 const HttpLimits *limits, const ServerArgs *a)
{
    SecureSet *set = NULL;
    if (a->secure != Py_None
        && (set = secure_context_of(net_state(module), a->secure)) == NULL) {
        return -1;
    }
    self->http = http_server_new(loop, &dispatch_ops, limits, self);
    Slice origins = slice_of(a->ws_origins, (size_t)a->ws_origins_len);
    Slice hosts = slice_of(a->hosts, (size_t)a->hosts_len);
    Slice probes = slice_of(a->probes, (size_t)a->probes_len);
    if (self->http == NULL || http_server_ws_origins(self->http, origins) != 0
        || http_server_hosts(self->http, hosts) != 0
        || http_server_probes(self->http, probes) != 0
        || (set != NULL && http_server_secure(self->http, set) != 0)) {
        PyErr_NoMemory();
        return -1;
    }
    if (a->access_format != NULL
        && server_access_format(self->http, a->access_format) < 0) {
        return -1;
    }
    int err = http_server_request_ids(
        self->http, slice_of(a->request_ids, (size_t)a->request_ids_len));
    if (err != 0) {
        (void)err_set(err);
        return -1;
    }
    if (a->metrics != NULL && server_set_metrics(self, a->metrics) < 0) {
        return -1;
    }
    if (a->fields != NULL && server_set_fields(self->http, a->fields) < 0) {
        return -1;
    }
    if (a->urgent != NULL && server_set_urgent(self, module, a->urgent) < 0) {
        return -1;
    }
    http_server_access_log(self->http, a->access_log);
    return a->proxies == NULL ? 0 : server_set_proxies(self->http, a->proxies);
}
