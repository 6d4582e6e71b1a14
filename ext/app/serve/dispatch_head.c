/* See dispatch_private.h. Where a request belongs, as soon as its head is there: to the server's own paths, to an
 * app that is mounted, to a route of the application, or nowhere.
 */
#include "base/py.h"

#include "app/serve/dispatch_private.h"

#include "app/call_place.h"
#include "app/server.h"
#include "app/ws/ws_call.h"
#include "base/text.h"
#include "http/ws/ws.h"

/* Whether `path` is `prefix` or below it. */
static bool
is_below(Slice path, Slice prefix)
{
    return path.len >= prefix.len && memcmp(path.ptr, prefix.ptr, prefix.len) == 0
           && (path.len == prefix.len || path.ptr[prefix.len] == '/');
}

/* The app that is mounted at the path or above it (borrowed), or NULL. */
static Mount *
mount_find(const AppServer *server, Slice path)
{
    Py_ssize_t count = server->mounts == NULL ? 0 : PyTuple_GET_SIZE(server->mounts);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *mount = PyTuple_GET_ITEM(server->mounts, i);
        Py_ssize_t len;
        const char *prefix = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(mount, 0), &len);
        if (prefix == NULL) {
            PyErr_Clear(); /* no memory, or lone surrogates in the prefix, which no path has */
        } else if (is_below(path, slice_of(prefix, (size_t)len))) {
            return (Mount *)PyTuple_GET_ITEM(mount, 1);
        }
    }
    return NULL;
}

/* What of the server's own has that path (borrowed), or NULL. */
static Mount *
own_find(const AppServer *server, Slice path)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(server->own_mounts); i++) {
        PyObject *own = PyTuple_GET_ITEM(server->own_mounts, i);
        Py_ssize_t len;
        const char *known = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(own, 0), &len);
        if (known == NULL) {
            PyErr_Clear(); /* as in mount_find */
        } else if (slice_eq(path, slice_of(known, (size_t)len))) {
            return (Mount *)PyTuple_GET_ITEM(own, 1);
        }
    }
    return NULL;
}

/* Gives the request to a mounted app. */
static HttpBodyMode
mount_head(HttpRequest *req, Mount *mount)
{
    call_of(req)->mount = mount;
    return mount->ops->head(req);
}

/* Finds what takes an offered WebSocket: a native WebSocket handler, else the app that is mounted there.
 * False when there is neither: then the offer is ignored. Routes of plain requests don't count here, and
 * middleware doesn't wrap WebSockets. */
static bool
websocket_head(HttpRequest *req, HttpBodyMode *mode)
{
    *mode = HTTP_BODY_DISCARD;
    if (ws_call_wanted(req)) {
        return true;
    }
    Mount *mount = mount_find(call_server(req), call_path(req));
    if (mount == NULL || !mount->ops->websockets) {
        return false;
    }
    *mode = mount_head(req, mount);
    return true;
}

/* Whether the body is a form with files, which can be read without keeping it in memory. */
static bool
is_multipart(const HttpRequest *req)
{
    const Slice type = SLICE("multipart/form-data");
    Slice value = req->content_type < 0
                      ? SLICE("")
                      : http_field_value(req, (uint32_t)req->content_type);
    return value.len >= type.len
           && slice_eq_nocase(slice_of(value.ptr, type.len), type);
}

/* How to treat the body of a request whose route was found; also sets its limit. A handler that reads a
 * streamed body as a whole is refused more than HttpLimits.body by Request.body(). */
static HttpBodyMode
route_head(HttpRequest *req)
{
    const Plan *plan = (Plan *)call_of(req)->match.plan;
    if (plan->body_limit >= 0) {
        req->body_limit = (uint64_t)plan->body_limit;
    } else if (plan->body_mode == HTTP_BODY_STREAM && is_multipart(req)) {
        req->body_limit = http_server_limits(req->server)->form_size;
    }
    return plan->body_mode;
}

/* Removes the server's root path from the path, if that is below it: a proxy in front may or may not have
 * done so. 0 or UV_ENOMEM. */
static int
root_strip(HttpRequest *req)
{
    AppCall *call = call_of(req);
    Slice path = call_path(req);
    Slice root = call_root_bytes(req);
    if (unlikely(root.ptr == NULL)) {
        PyErr_Clear(); /* MemoryError, which UV_ENOMEM stands for: the caller responds with 503 */
        return UV_ENOMEM;
    }
    if (root.len == 0 || !is_below(path, root)) {
        return 0;
    }
    if (call->path.ptr == NULL && buf_append_slice(&call->path, path) != 0) {
        return UV_ENOMEM;
    }
    buf_consume(&call->path, root.len);
    call->rooted = true;
    return call->path.len == 0 ? buf_append(&call->path, "/", 1) : 0;
}

/* Middleware gets the request first, but its body has the limit of the route that it is for. */
static void
around_head(HttpRequest *req)
{
    AppCall *call = call_of(req);
    router_find_request(call_server(req)->router, req->method, call_path(req),
                        &call->match);
    call_keep_route(call);
    if (call->match.outcome == ROUTE_FOUND) {
        (void)route_head(req);
    }
}

HttpBodyMode
dispatch_head(HttpRequest *req)
{
    AppCall *call = call_of(req);
    AppServer *server = call_server(req);
    Slice path = http_request_path(req);
    HttpBodyMode mode = HTTP_BODY_DISCARD;
    if (unlikely(server->own_lengths >> (path.len < 63 ? path.len : 63) & 1)) {
        Mount *own = own_find(server, path);
        if (own != NULL) {
            return mount_head(req, own);
        }
    }
    if (unlikely(text_is_quoted(path)) && text_unquote(path, &call->path) != 0) {
        (void)http_respond_error(req, 500);
        return HTTP_BODY_DISCARD;
    }
    bool native = server->root == NULL || server->around;
    /* A prefix that a proxy tells has been removed by it: the path isn't below it any more. */
    if (unlikely(server->root_path != NULL) && req->prefix_len == 0 && native
        && root_strip(req) != 0) {
        (void)http_respond_error(req, 500);
        return HTTP_BODY_DISCARD;
    }
    if (server->root != NULL) {
        if (server->around) {
            around_head(req);
        }
        return mount_head(req, server->root);
    }
    if (unlikely(req->upgrade >= 0) && ws_is_offered(req)) {
        if (websocket_head(req, &mode)) {
            return mode;
        }
        if (req->minor == HTTP_2) { /* extended CONNECT is for a WebSocket or nothing */
            (void)http_respond_error(req, 404);
            return HTTP_BODY_DISCARD;
        }
    }
    router_find_request(server->router, req->method, call_path(req), &call->match);
    call_keep_route(call);
    if (call->match.outcome == ROUTE_FOUND) {
        mode = route_head(req);
    } else if (server->entry == NULL) { /* with middleware, entry() finds the mounts */
        Mount *mount = mount_find(server, call_path(req));
        if (mount != NULL) {
            return mount_head(req, mount);
        }
    }
    if (server->entry != NULL && mode == HTTP_BODY_DISCARD) {
        mode = HTTP_BODY_STREAM;
    }
    return mode;
}
