/* Makes the scope, the dict with which an ASGI app is called, from an HttpRequest ("HTTP &
 * WebSocket ASGI Message Format", connection scope). What is the same for many requests is made
 * once and cached in the AsgiApp: the constant entries, methods, addresses and names of header
 * fields.
 */
#include "base/py.h"

#include "asgi/scope.h"

#include "app/call.h"
#include "app/call_place.h"
#include "base/text.h"
#include "base/dict.h"
#include "http/ws/ws.h"

#include <llhttp.h>

/* ---- Addresses ---------------------------------------------------------------------------- */

static PyObject *
pair_new(const NetName *name)
{
    return Py_BuildValue("si", name->host, name->port);
}

/* Whether the template already has this request's server; usually it is that of the last request. */
static bool
server_is_known(const AsgiApp *app, const HttpRequest *req)
{
    NetAddr addr;
    return http_request_local(req, &addr) == 0 && addr.family != AF_UNSPEC
           && net_addr_eq(&app->server, &addr);
}

/* ---- Entries ------------------------------------------------------------------------------ */

/* Whether a prefix was removed from the path. */
static bool
has_root(const AsgiApp *app, const HttpRequest *req)
{
    return PyUnicode_GET_LENGTH(app->root_path) != 0 || req->prefix_len != 0;
}

/* The root path and the path. */
static PyObject *
scope_path(AsgiApp *app, HttpRequest *req)
{
    PyObject *path = text_utf8(call_path(req));
    if (likely(!has_root(app, req)) || path == NULL) {
        return path;
    }
    PyObject *root = call_root(req, app->root_path);
    PyObject *full = root == NULL ? NULL : PyUnicode_Concat(root, path);
    Py_XDECREF(root);
    Py_DECREF(path);
    return full;
}

static PyObject *
scope_raw_path(AsgiApp *app, HttpRequest *req)
{
    PyObject *path = slice_bytes(http_request_path(req));
    if (likely(!has_root(app, req)) || path == NULL || call_of(req)->rooted) {
        return path;
    }
    PyObject *root = call_root(req, app->root_path);
    PyObject *full = root == NULL ? NULL : PyUnicode_AsUTF8String(root);
    Py_XDECREF(root);
    PyBytes_ConcatAndDel(&full, path);
    return full;
}

/* The header field as (name, value). */
static PyObject *
scope_make_field(AsgiApp *app, const HttpRequest *req, uint32_t i)
{
    PyObject *name = kept_name(&app->kept, http_field_name(req, i), slice_bytes);
    PyObject *value = slice_bytes(http_field_value(req, i));
    PyObject *pair = name == NULL || value == NULL ? NULL : PyTuple_New(2);
    if (pair == NULL) {
        Py_XDECREF(name);
        Py_XDECREF(value);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, name);
    PyTuple_SET_ITEM(pair, 1, value);
    return pair;
}

static PyObject *
scope_make_headers(AsgiApp *app, const HttpRequest *req)
{
    PyObject *list = PyList_New((Py_ssize_t)req->nfields);
    for (uint32_t i = 0; i < req->nfields && list != NULL; i++) {
        PyObject *pair = scope_make_field(app, req, i);
        if (pair == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
        }
    }
    return list;
}

/* Updates the template where it differs from this request: its server. 0, or -1 with an exception set. */
static int
template_update(AsgiApp *app, const HttpRequest *req)
{
    if (likely(server_is_known(app, req))) {
        return 0;
    }
    if (dict_put(app->scope, app->st->str_server, call_local_pair(req)) < 0) {
        return -1;
    }
    if (http_request_local(req, &app->server) != 0) {
        app->server.family = AF_UNSPEC;
    }
    return 0;
}

/* Sets the entries that are mostly as in the template. 0, or -1 with an exception set. */
static int
scope_put_rare(PyObject *scope, AsgiApp *app, const HttpRequest *req)
{
    const AsgiState *st = app->st;
    Slice query = http_request_query(req);
    if (req->method != HTTP_GET
        && dict_put(scope, st->str_method, Py_XNewRef(kept_method(&app->kept, req)))
               < 0) {
        return -1;
    }
    if (req->minor != 1
        && PyDict_SetItem(scope, st->str_http_version,
                          req->minor == 0 ? st->str_1_0 : st->str_2)
               < 0) {
        return -1;
    }
    return query.len == 0 ? 0
                          : dict_put(scope, st->str_query_string, slice_bytes(query));
}

/* Whether the client has sent "TE: trailers" (RFC 9110 section 6.5.1). */
static bool
scope_takes_trailers(const HttpRequest *req)
{
    int32_t i = http_field_find(req, SLICE("te"), 0);
    Slice wanted = SLICE("trailers");
    return i >= 0 && req->minor != 0
           && memmem(http_field_value(req, (uint32_t)i).ptr,
                     http_field_value(req, (uint32_t)i).len, wanted.ptr, wanted.len)
                  != NULL;
}

static int
scope_put_tls(PyObject *extensions, const AsgiApp *app, const HttpRequest *req)
{
    return dict_put(extensions, app->st->str_tls, http_request_tls(req));
}

static PyObject *
scope_make_extensions(const AsgiApp *app, const HttpRequest *req)
{
    PyObject *extensions = PyDict_Copy(app->extensions);
    if (extensions != NULL && req->secure && scope_put_tls(extensions, app, req) < 0) {
        Py_CLEAR(extensions);
    }
    if (extensions != NULL && app->more && scope_takes_trailers(req)
        && dict_put(extensions, app->st->str_http_response_trailers, PyDict_New())
               < 0) {
        Py_CLEAR(extensions);
    }
    return extensions;
}

/* Sets the entries that a trusted proxy may have changed. 0, or -1 with an exception set. */
static int
scope_put_forwarded(PyObject *scope, const AsgiApp *app, const HttpRequest *req)
{
    bool socket = PyDict_GetItemWithError(scope, app->st->str_type)
                  == app->st->str_websocket; /* borrowed */
    const char *scheme = socket ? "wss" : "https";
    size_t len = strlen(scheme) - !req->https;
    if (dict_put(scope, app->st->str_scheme,
                 PyUnicode_FromStringAndSize(scheme, (Py_ssize_t)len))
        < 0) {
        return -1;
    }
    if (req->prefix_len == 0) {
        return 0;
    }
    PyObject *root = call_root(req, app->root_path);
    PyObject *full = root == NULL ? NULL : PyUnicode_Concat(root, app->prefix);
    Py_XDECREF(root);
    return dict_put(scope, app->st->str_root_path, full);
}

/* Sets scope["state"]: a copy of what the lifespan has set up, and the request's id. 0, or -1 with an exception
 * set. */
static int
scope_put_state(PyObject *scope, const AsgiApp *app, const HttpRequest *req)
{
    Slice id = http_request_id(req);
    if (likely(app->state == NULL && id.len == 0)) {
        return 0;
    }
    PyObject *state = app->state == NULL ? PyDict_New() : PyDict_Copy(app->state);
    int err = state == NULL ? -1 : 0;
    if (err == 0 && id.len != 0) {
        err = dict_put(state, app->st->str_request_id, text_latin1(id));
    }
    if (err == 0) {
        err = PyDict_SetItem(scope, app->st->str_state, state);
    }
    Py_XDECREF(state);
    return err;
}

/* Sets the entries that all scopes have. 0, or -1 with an exception set. */
static int
scope_put_common(PyObject *scope, AsgiApp *app, HttpRequest *req)
{
    const AsgiState *st = app->st;
    bool has_client = req->peer.family != AF_UNSPEC;
    if (scope_put_rare(scope, app, req) < 0
        || (unlikely(req->https != req->secure || req->forwarded)
            && scope_put_forwarded(scope, app, req) < 0)
        || dict_put(scope, st->str_path, scope_path(app, req)) < 0
        || dict_put(scope, st->str_raw_path, scope_raw_path(app, req)) < 0
        || dict_put(scope, st->str_headers, scope_make_headers(app, req)) < 0
        || (has_client
            && dict_put(scope, st->str_client,
                        Py_XNewRef(kept_client(&app->kept, req, pair_new)))
                   < 0)) {
        return -1;
    }
    return scope_put_state(scope, app, req);
}

PyObject *
asgi_scope_http(AsgiApp *app, HttpRequest *req)
{
    PyObject *scope = template_update(app, req) < 0 ? NULL : PyDict_Copy(app->scope);
    if (scope != NULL
        && (scope_put_common(scope, app, req) < 0
            || dict_put(scope, app->st->str_extensions, scope_make_extensions(app, req))
                   < 0)) {
        Py_CLEAR(scope);
    }
    return scope;
}

static PyObject *
scope_make_subprotocols(const HttpRequest *req)
{
    WsOffers offers = {.begun = false};
    Slice offer;
    PyObject *list = PyList_New(0);
    int err = list == NULL ? -1 : 0;
    while (err == 0 && ws_next_subprotocol(req, &offers, &offer)) {
        PyObject *text = text_latin1(offer);
        err = text == NULL ? -1 : PyList_Append(list, text);
        Py_XDECREF(text);
    }
    if (err < 0) {
        Py_CLEAR(list);
    }
    return list;
}

PyObject *
asgi_scope_websocket(AsgiApp *app, HttpRequest *req)
{
    const AsgiState *st = app->st;
    PyObject *extensions = Py_BuildValue("{s{}}", "websocket.http.response");
    PyObject *scheme =
        PyDict_GetItemWithError(app->scope, st->str_scheme); /* borrowed */
    bool secure = scheme != NULL && PyUnicode_GET_LENGTH(scheme) == 5;
    PyObject *scope = template_update(app, req) < 0 ? NULL : PyDict_Copy(app->scope);
    if (scope == NULL || extensions == NULL
        || (req->secure && scope_put_tls(extensions, app, req) < 0)
        || PyDict_SetItem(scope, st->str_type, st->str_websocket) < 0
        || PyDict_DelItem(scope, st->str_method) < 0
        || dict_put(scope, st->str_scheme, PyUnicode_FromString(secure ? "wss" : "ws"))
               < 0
        || scope_put_common(scope, app, req) < 0
        || dict_put(scope, st->str_subprotocols, scope_make_subprotocols(req)) < 0
        || dict_put(scope, st->str_extensions, Py_XNewRef(extensions)) < 0) {
        Py_CLEAR(scope);
    }
    Py_XDECREF(extensions);
    return scope;
}
