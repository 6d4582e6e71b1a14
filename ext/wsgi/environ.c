/* Makes the environ of a WSGI app from an HttpRequest (see environ.h). All texts are bytes decoded
 * as latin-1, as PEP 3333 demands. What is the same for many requests is made once and cached in
 * the WsgiApp: the constant entries, methods, addresses and names of header fields.
 */
#include "base/py.h"

#include "wsgi/environ.h"

#include "base/text.h"
#include "wsgi/input.h"
#include "base/dict.h"

#include <llhttp.h>

/* ---- The template ------------------------------------------------------------------------- */

/* Replaces the template by a copy with this address for our end. 0, or -1 with an exception set. */
static int
template_replace(WsgiApp *app, const NetAddr *addr)
{
    const WsgiState *st = app->st;
    NetName name;
    net_addr_name(addr, &name);
    PyObject *fresh = PyDict_Copy(app->environ);
    if (fresh == NULL
        || dict_put(fresh, st->str_SERVER_NAME, PyUnicode_FromString(name.host)) < 0
        || dict_put(fresh, st->str_SERVER_PORT, PyUnicode_FromFormat("%d", name.port))
               < 0) {
        Py_XDECREF(fresh);
        return -1;
    }
    Py_SETREF(app->environ, fresh);
    app->server = *addr;
    return 0;
}

PyObject *
wsgi_environ_template(WsgiApp *app, const HttpRequest *req)
{
    NetAddr addr;
    bool known = http_request_local(req, &addr) == 0 && addr.family != AF_UNSPEC;
    if (known && !net_addr_eq(&app->server, &addr)
        && template_replace(app, &addr) < 0) {
        return NULL;
    }
    return Py_NewRef(app->environ);
}

/* ---- Header fields ------------------------------------------------------------------------ */

/* The key for a field's name: "accept-encoding" → "HTTP_ACCEPT_ENCODING". CONTENT_TYPE and
 * CONTENT_LENGTH have no prefix, as in CGI. A new reference, or NULL with an exception set. */
static PyObject *
key_new(Slice name)
{
    bool bare = slice_eq(name, SLICE("content-type"))
                || slice_eq(name, SLICE("content-length"));
    size_t prefix = bare ? 0 : 5;
    PyObject *key = PyUnicode_New((Py_ssize_t)(prefix + name.len), 127);
    if (key == NULL) {
        return NULL;
    }
    char *out = (char *)PyUnicode_1BYTE_DATA(key);
    memcpy(out, "HTTP_", prefix);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool lower = c >= 'a' && c <= 'z';
        out[prefix + i] = (char)(c == '-' ? '_' : lower ? c - 'a' + 'A' : c);
    }
    return key;
}

/* For another field of the same name: environ[key] gets both values as one list (RFC 9110 section
 * 5.3). Cookies have a different separator (RFC 9113 section 8.2.3). */
static int
environ_put_joined(PyObject *env, PyObject *key, PyObject *before, PyObject *value,
                   bool is_cookie)
{
    const char *format = is_cookie ? "%U; %U" : "%U, %U";
    return dict_put(env, key, PyUnicode_FromFormat(format, before, value));
}

static int
environ_put_field(PyObject *env, WsgiApp *app, const HttpRequest *req, uint32_t i)
{
    Slice name = http_field_name(req, i);
    if (unlikely(memchr(name.ptr, '_', name.len) != NULL)) {
        return 0; /* a client could use it to imitate the field with '-' */
    }
    PyObject *key = kept_name(&app->kept, name, key_new);
    PyObject *value = text_latin1(http_field_value(req, i));
    int err = -1;
    if (key != NULL && value != NULL) {
        Py_ssize_t before = PyDict_GET_SIZE(env);
        PyObject *kept = PyDict_SetDefault(env, key, value); /* borrowed */
        err = kept == NULL ? -1 : 0;
        if (unlikely(kept != NULL && PyDict_GET_SIZE(env) == before)) {
            err = environ_put_joined(env, key, kept, value,
                                     slice_eq(name, SLICE("cookie")));
        }
    }
    Py_XDECREF(key);
    Py_XDECREF(value);
    return err;
}

/* ---- Other entries ------------------------------------------------------------------------ */

/* (REMOTE_ADDR, REMOTE_PORT) */
static PyObject *
client_new(const NetName *name)
{
    PyObject *port = PyUnicode_FromFormat("%d", name->port);
    return port == NULL ? NULL : Py_BuildValue("sN", name->host, port);
}

static int
environ_put_client(PyObject *env, WsgiApp *app, const HttpRequest *req)
{
    if (req->peer.family == AF_UNSPEC) {
        return 0;
    }
    PyObject *client = kept_client(&app->kept, req, client_new); /* borrowed */
    if (client == NULL
        || PyDict_SetItem(env, app->st->str_REMOTE_ADDR, PyTuple_GET_ITEM(client, 0))
               < 0) {
        return -1;
    }
    return PyDict_SetItem(env, app->st->str_REMOTE_PORT, PyTuple_GET_ITEM(client, 1));
}

/* The rest of the path, below the one at which the app is mounted. */
static Slice
path_info(const WsgiApp *app, HttpRequest *req)
{
    Slice path = call_path(req);
    Py_ssize_t prefix = 0;
    /* Can't fail: dispatch.c has compared the prefix with the path. */
    (void)PyUnicode_AsUTF8AndSize(app->prefix, &prefix);
    if (path.len == 1 && path.ptr[0] == '*') {
        return SLICE(""); /* OPTIONS *: the path of an environ begins with '/' */
    }
    assert((size_t)prefix <= path.len);
    return slice_of(path.ptr + prefix, path.len - (size_t)prefix);
}

/* Sets the entries for the decoded path, the query and the target as sent. */
static int
environ_put_target(PyObject *env, const WsgiApp *app, HttpRequest *req)
{
    const WsgiState *st = app->st;
    Slice path = path_info(app, req);
    Slice query = http_request_query(req);
    PyObject *target = text_latin1(http_request_target(req));
    int err = target == NULL || PyDict_SetItem(env, st->str_REQUEST_URI, target) < 0
                      || PyDict_SetItem(env, st->str_RAW_URI, target) < 0
                      || dict_put(env, st->str_PATH_INFO, text_latin1(path)) < 0
                  ? -1
                  : 0;
    Py_XDECREF(target);
    if (err == 0 && query.len != 0) {
        err = dict_put(env, st->str_QUERY_STRING, text_latin1(query));
    }
    return err;
}

/* SERVER_NAME and SERVER_PORT by the Host field, which a proxy in front has got: PEP 3333 makes URLs of
 * them when there is no HTTP_HOST, and some frameworks always take the port. */
static int
environ_put_host(PyObject *env, const WsgiState *st, const HttpRequest *req)
{
    if (req->host < 0) {
        return 0;
    }
    Slice host = http_field_value(req, (uint32_t)req->host);
    size_t len = host.len;
    while (len != 0 && ascii_is_digit(host.ptr[len - 1])) {
        len--;
    }
    bool has_port = len != 0 && len != host.len && host.ptr[len - 1] == ':';
    Slice port = has_port     ? slice_of(host.ptr + len, host.len - len)
                 : req->https ? SLICE("443")
                              : SLICE("80");
    host.len -= has_port ? port.len + 1 : 0;
    return dict_put(env, st->str_SERVER_NAME, text_latin1(host)) < 0
                   || dict_put(env, st->str_SERVER_PORT, text_latin1(port)) < 0
               ? -1
               : 0;
}

/* Sets the entries that a trusted proxy may have changed. 0, or -1 with an exception set. */
static int
environ_put_forwarded(PyObject *env, const WsgiApp *app, const HttpRequest *req)
{
    const WsgiState *st = app->st;
    if (dict_put(env, st->str_wsgi_url_scheme,
                 PyUnicode_FromString(req->https ? "https" : "http"))
            < 0
        || (req->forwarded && environ_put_host(env, st, req) < 0)) {
        return -1;
    }
    if (req->prefix_len == 0) {
        return 0;
    }
    Py_ssize_t len;
    PyObject *root = NULL, *below = NULL, *full = NULL;
    const char *prefix = PyUnicode_AsUTF8AndSize(app->prefix, &len);
    if (prefix == NULL) {
        goto done;
    }
    root = text_latin1(http_request_prefix(req));
    if (root == NULL) {
        goto done;
    }
    below = text_latin1(slice_of(prefix, (size_t)len));
    if (below == NULL) {
        goto done;
    }
    full = PyUnicode_Concat(root, below);
done:
    Py_XDECREF(root);
    Py_XDECREF(below);
    return dict_put(env, st->str_SCRIPT_NAME, full);
}

/* Sets the entries that are mostly as in the template. */
static int
environ_put_rare(PyObject *env, WsgiCall *call)
{
    const WsgiState *st = call->app->st;
    const HttpRequest *req = call->req;
    if (unlikely(req->https != req->secure || req->forwarded)
        && environ_put_forwarded(env, call->app, req) < 0) {
        return -1;
    }
    if (req->method != HTTP_GET
        && dict_put(env, st->str_REQUEST_METHOD,
                    Py_XNewRef(kept_method(&call->app->kept, req)))
               < 0) {
        return -1;
    }
    if (req->minor != 1
        && dict_put(env, st->str_SERVER_PROTOCOL,
                    PyUnicode_FromString(http_request_version(req).ptr))
               < 0) {
        return -1;
    }
    Slice id = http_request_id(req);
    if (unlikely(id.len != 0)
        && dict_put(env, st->str_fluvial_request_id, text_latin1(id)) < 0) {
        return -1;
    }
    return !req->has_body ? 0
                          : dict_put(env, st->str_wsgi_input, wsgi_input_new(st, call));
}

PyObject *
wsgi_environ_new(WsgiCall *call)
{
    WsgiApp *app = call->app;
    HttpRequest *req = call->req;
    PyObject *env = PyDict_Copy(call->environ);
    if (env == NULL || environ_put_target(env, app, req) < 0
        || environ_put_client(env, app, req) < 0 || environ_put_rare(env, call) < 0) {
        Py_XDECREF(env);
        return NULL;
    }
    for (uint32_t i = 0; i < req->nfields; i++) {
        if (environ_put_field(env, app, req, i) < 0) {
            Py_DECREF(env);
            return NULL;
        }
    }
    return env;
}
