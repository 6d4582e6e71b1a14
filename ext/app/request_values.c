/* One function per attribute of a Request (their types are in _core.pyi). All of them read the HttpRequest,
 * which doesn't change once its head is complete.
 */
#include "base/py.h"

#include "app/request_values.h"

#include "app/call.h"
#include "app/call_place.h"
#include "base/text.h"
#include "route/method.h"

static PyObject *
request_make_method(HttpRequest *req)
{
    PyObject *name = text_latin1(http_request_method(req));
    if (name != NULL) {
        PyUnicode_InternInPlace(&name);
    }
    return name;
}

static PyObject *
request_make_path(HttpRequest *req)
{
    return text_utf8(call_path(req));
}

static PyObject *
request_make_raw_path(HttpRequest *req)
{
    return slice_bytes(http_request_path(req));
}

static PyObject *
request_make_query_string(HttpRequest *req)
{
    return slice_bytes(http_request_query(req));
}

static PyObject *
request_make_http_version(HttpRequest *req)
{
    return PyUnicode_FromString(req->minor == 1   ? "1.1"
                                : req->minor == 0 ? "1.0"
                                                  : "2");
}

/* (name, value) as bytes. */
static PyObject *
header_pair_make(Slice name, Slice value)
{
    return Py_BuildValue("y#y#", name.ptr, (Py_ssize_t)name.len, value.ptr,
                         (Py_ssize_t)value.len);
}

static PyObject *
request_make_raw_headers(HttpRequest *req)
{
    PyObject *list = PyList_New((Py_ssize_t)req->nfields);
    for (uint32_t i = 0; i < req->nfields && list != NULL; i++) {
        PyObject *pair =
            header_pair_make(http_field_name(req, i), http_field_value(req, i));
        if (pair == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
        }
    }
    return list;
}

static PyObject *
request_make_client(HttpRequest *req)
{
    NetName name;
    if (req->peer.family == AF_UNSPEC || http_request_client(req, &name) != 0) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("si", name.host, name.port);
}

static PyObject *
request_make_server(HttpRequest *req)
{
    return call_local_pair(req);
}

static PyObject *
request_make_path_params(HttpRequest *req)
{
    const RouteMatch *match = &call_of(req)->match;
    PyObject *dict = PyDict_New();
    if (match->outcome != ROUTE_FOUND) {
        return dict;
    }
    for (uint32_t i = 0; i < match->ncaptures && dict != NULL; i++) {
        PyObject *text = text_utf8(match->captures[i]);
        PyObject *name = PyTuple_GET_ITEM(match->names, i); /* borrowed */
        if (text == NULL || PyDict_SetItem(dict, name, text) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(text);
    }
    return dict;
}

/* ---- Allow and Location ------------------------------------------------------------------- */

/* Whether `c` may occur in a URI unencoded (RFC 3986 section 2). A backslash may not: browsers
 * treat "/\" as "//", which would lead to another host. */
static bool
is_uri_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
           || (c != '\0' && strchr("-._~:/?#[]@!$&'()*+,;=%", c) != NULL);
}

static int
uri_append(Buf *out, Slice text)
{
    static const char digits[] = "0123456789ABCDEF";
    int err = buf_reserve(out, 3 * text.len);
    for (size_t i = 0; i < text.len && err == 0; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        char escape[] = {'%', digits[c >> 4], digits[c & 15]};
        bool plain = is_uri_byte((char)c);
        err = buf_append(out, plain ? &text.ptr[i] : escape, plain ? 1 : 3);
    }
    return err;
}

/* Appends the prefix that a proxy has removed from the path, if it has. 0, or another number when out of memory. */
static int
uri_append_root(Buf *out, HttpRequest *req)
{
    if (call_of(req)->rooted) {
        return 0; /* the path as sent begins with it */
    }
    Slice root = call_root_bytes(req);
    return root.ptr == NULL ? -1 : uri_append(out, root);
}

/* Appends the path as sent, with a '/' added at its end or removed there. That '/' may have been sent as
 * "%2F". */
static int
uri_append_toggled(Buf *out, HttpRequest *req)
{
    Slice path = http_request_path(req);
    Slice decoded = call_path(req);
    if (decoded.ptr[decoded.len - 1] != '/') {
        int err = uri_append(out, path);
        return err == 0 ? buf_append(out, "/", 1) : err;
    }
    path.len -= path.ptr[path.len - 1] == '/' ? 1 : 3;
    return uri_append(out, path);
}

static PyObject *
request_make_location(HttpRequest *req)
{
    Buf text = {0};
    Slice query = http_request_query(req);
    int err = uri_append_root(&text, req);
    err = err == 0 ? uri_append_toggled(&text, req) : err;
    if (err == 0 && query.len > 0) {
        err = buf_append(&text, "?", 1);
        err = err == 0 ? uri_append(&text, query) : err;
    }
    PyObject *location = err == 0 ? slice_bytes(buf_slice(&text)) : PyErr_NoMemory();
    buf_free(&text);
    return location;
}

static PyObject *
request_make_route_headers(HttpRequest *req)
{
    const RouteMatch *match = &call_of(req)->match;
    PyObject *value;
    switch (match->outcome) {
    case ROUTE_FOUND:
    case ROUTE_NOT_FOUND:
        return PyList_New(0);
    case ROUTE_METHOD_NOT_ALLOWED:
        value = method_set_allow(match->allowed);
        return value == NULL ? NULL : Py_BuildValue("[(yN)]", "allow", value);
    case ROUTE_REDIRECT_SLASH:
        value = request_make_location(req);
        return value == NULL ? NULL : Py_BuildValue("[(yN)]", "location", value);
    }
    Py_UNREACHABLE();
}

static PyObject *
request_make_body(HttpRequest *req)
{
    return slice_bytes(buf_slice(&req->body));
}

static PyObject *
request_make_tls(HttpRequest *req)
{
    return http_request_tls(req);
}

PyObject *
request_value(HttpRequest *req, RequestValue which)
{
    static PyObject *(*const makers[REQUEST_NVALUES])(HttpRequest *req) = {
        [REQUEST_METHOD] = request_make_method,
        [REQUEST_PATH] = request_make_path,
        [REQUEST_RAW_PATH] = request_make_raw_path,
        [REQUEST_QUERY_STRING] = request_make_query_string,
        [REQUEST_HTTP_VERSION] = request_make_http_version,
        [REQUEST_RAW_HEADERS] = request_make_raw_headers,
        [REQUEST_CLIENT] = request_make_client,
        [REQUEST_SERVER] = request_make_server,
        [REQUEST_PATH_PARAMS] = request_make_path_params,
        [REQUEST_ROUTE_HEADERS] = request_make_route_headers,
        [REQUEST_TLS] = request_make_tls,
        [REQUEST_BODY] = request_make_body,
    };
    return makers[which](req);
}
