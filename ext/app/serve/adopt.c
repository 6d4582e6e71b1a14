/* See adopt.h. A Fluvial app may run under another ASGI server. Each of that server's requests becomes an
 * HttpRequest without a connection, so that routes are found and arguments are bound as for our own. Python
 * code sends the response. Thread: any, with the GIL.
 */
#include "base/py.h"

#include "app/serve/adopt.h"

#include "app/header_pairs.h"
#include "route/method.h"
#include "app/bind/plan.h"
#include "app/request_type.h"
#include "app/server.h"
#include "app/ws/ws_type.h"

/* Adds the header field `header` (borrowed), an iterable of two bytes objects. 0, or -1 with an exception
 * set. */
static int
adopt_add_field(HttpRequest *req, PyObject *header)
{
    PyObject *pair = PySequence_Tuple(header);
    int err = -1;
    if (pair == NULL) {
        return -1;
    }
    bool fits = PyTuple_GET_SIZE(pair) == 2 && PyBytes_Check(PyTuple_GET_ITEM(pair, 0))
                && PyBytes_Check(PyTuple_GET_ITEM(pair, 1));
    if (!fits) {
        PyErr_SetString(PyExc_TypeError,
                        "a header field must be a pair of bytes objects");
    } else if (http_request_add_field(req, bytes_slice(PyTuple_GET_ITEM(pair, 0)),
                                      bytes_slice(PyTuple_GET_ITEM(pair, 1)))
               != 0) {
        PyErr_NoMemory();
    } else {
        err = 0;
    }
    Py_DECREF(pair);
    return err;
}

/* Adds all header fields in `headers` (borrowed, an iterable). The user's iterators may change the list
 * meanwhile. 0, or -1 with an exception set. */
static int
adopt_add_fields(HttpRequest *req, PyObject *headers)
{
    PyObject *list = PySequence_Fast(headers, "headers must be iterable");
    int err = list == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; err == 0 && i < PySequence_Fast_GET_SIZE(list); i++) {
        PyObject *header = Py_NewRef(PySequence_Fast_GET_ITEM(list, i));
        err = adopt_add_field(req, header);
        Py_DECREF(header);
    }
    Py_XDECREF(list);
    return err;
}

/* Finds the route for the decoded path. 0, or -1 with MemoryError. */
static int
adopt_find_route(Router *router, HttpRequest *req, Slice path)
{
    AppCall *call = call_of(req);
    if (buf_append_slice(&call->path, path) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    router_find_request(router, req->method, call_path(req), &call->match);
    call_keep_route(call);
    if (call->match.outcome == ROUTE_FOUND) {
        req->body_mode = ((const Plan *)call->match.plan)->body_mode;
    }
    return 0;
}

/* The Request or WebSocket for `req`: a new reference, or NULL with an exception set. */
static PyObject *
adopt_make_object(AppServer *server, HttpRequest *req, bool websocket)
{
    PyObject *made = websocket ? websocket_new(req)
                               : request_new(server->request_type, req, server->app);
    call_of(req)->request = Py_XNewRef(made); /* see server_release_adopted */
    return made;
}

PyObject *
server_adopt(PyObject *op, PyObject *args)
{
    AppServer *server = (AppServer *)op;
    Slice method, path, raw_path, query;
    Py_ssize_t lens[4];
    int minor, websocket = false;
    PyObject *headers; /* borrowed */
    if (!PyArg_ParseTuple(args, "s#is#y#y#O|p:adopt", &method.ptr, &lens[0], &minor,
                          &path.ptr, &lens[1], &raw_path.ptr, &lens[2], &query.ptr,
                          &lens[3], &headers, &websocket)) {
        return NULL;
    }
    method.len = (size_t)lens[0];
    path.len = (size_t)lens[1];
    raw_path.len = (size_t)lens[2];
    query.len = (size_t)lens[3];
    MethodSet bit = method_bit(method);
    Router *router = websocket ? server->websockets.router : server->router;
    if (bit == 0 || path.len == 0 || server->http == NULL || router == NULL) {
        return PyErr_Format(PyExc_ValueError, "not a known method with a path: %s %s",
                            method.ptr, path.ptr);
    }
    HttpRequest *req = http_request_make(server->http, (unsigned)__builtin_ctzll(bit),
                                         minor, raw_path, query);
    if (req == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *made = NULL;
    if (adopt_add_fields(req, headers) == 0
        && adopt_find_route(router, req, path) == 0) {
        made = adopt_make_object(server, req, websocket);
    }
    http_request_unref(req);
    return made;
}

/* AppCall.request and the object's reference on the HttpRequest are a cycle: this breaks it. */
PyObject *
server_release_adopted(PyObject *op, PyObject *request)
{
    if (!PyObject_TypeCheck(request, ((AppServer *)op)->st->request_type)) {
        return PyErr_Format(PyExc_TypeError, "expected a Request, not %R", request);
    }
    Py_CLEAR(call_of(request_http(request))->request);
    Py_RETURN_NONE;
}

PyObject *
server_collect(PyObject *op, PyObject *args)
{
    AppServer *server = (AppServer *)op;
    PyObject *request;
    Py_buffer body;
    int decoded = 0;
    if (!PyArg_ParseTuple(args, "O!y*|p:collect", server->request_type, &request, &body,
                          &decoded)) {
        return NULL;
    }
    HttpRequest *req = request_http(request);
    call_of(req)->decoded |= decoded != 0;
    int err = buf_append(&req->body, body.buf, (size_t)body.len);
    PyBuffer_Release(&body);
    if (err != 0) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}
