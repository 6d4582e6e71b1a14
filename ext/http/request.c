/* HttpRequest objects: creating, recycling and reading them (see request.h). A server keeps a few
 * spare ones with their buffers. So a request on a busy connection allocates nothing, and an idle
 * connection has no request. The loop's thread.
 */
#include "base/py.h"

#include "http/conn.h"
#include "http/h2.h"

#include "net/server_tls_facts.h"

#include <errno.h>
#include <sys/socket.h>
#include <uv.h>

enum {
    SPARE_MAX = 64,        /* requests kept for reuse */
    SPARE_HEAD = 8 * 1024, /* bytes kept of a spare request's buffers */
    SPARE_BODY = 4 * 1024,
    SPARE_FIELDS = 128,
    FIELDS_FIRST = 16, /* reserved for the first request of an object */
};

static void
request_init(HttpRequest *req, HttpServer *server)
{
    req->refs = 1;
    req->server = server;
    req->content_length = -1;
    req->body_limit = server->limits.body;
    req->length_left = -1;
    req->host = -1;
    req->content_type = -1;
    req->cookie = -1;
    req->upgrade = -1;
}

static HttpRequest *
request_alloc(HttpServer *server)
{
    return PyMem_RawCalloc(1, sizeof(HttpRequest) + server->ops->app_size);
}

HttpRequest *
http_request_new(HttpServer *server)
{
    HttpRequest *req = server->spare;
    if (likely(req != NULL)) {
        server->spare = req->next;
        server->nspare--;
        req->next = NULL;
    } else {
        req = request_alloc(server);
        if (req == NULL) {
            return NULL;
        }
    }
    server->held++;
    request_init(req, server);
    return req;
}

/* ---- Without a connection ---------------------------------------------------------------- */

HttpRequest *
http_request_make(HttpServer *server, unsigned method, int minor, Slice path,
                  Slice query)
{
    HttpRequest *req = http_request_new(server);
    if (req == NULL) {
        return NULL;
    }
    req->told = true;
    req->requested = true;
    req->body_complete = true;
    req->response = HTTP_RESPONSE_DONE;
    req->method = (uint8_t)method;
    req->is_head = method == HTTP_HEAD;
    req->minor = (uint8_t)minor;
    if (buf_append_slice(&req->head, path) != 0 || buf_append(&req->head, "?", 1) != 0
        || buf_append_slice(&req->head, query) != 0) {
        http_request_unref(req);
        return NULL;
    }
    req->path_len = (uint32_t)path.len;
    req->query = (uint32_t)path.len + 1;
    req->query_len = (uint32_t)query.len;
    req->target_len = (uint32_t)(query.len != 0 ? req->head.len : path.len);
    return req;
}

int
request_fields_grow(HttpRequest *req)
{
    uint32_t cap = req->cap_fields == 0 ? FIELDS_FIRST : req->cap_fields * 2;
    HttpField *fields = PyMem_RawRealloc(req->fields, cap * sizeof(*fields));
    if (fields == NULL) {
        return UV_ENOMEM;
    }
    req->fields = fields;
    req->cap_fields = cap;
    return 0;
}

static void
request_field_note(HttpRequest *req, Slice name, int32_t i)
{
    if (slice_eq(name, SLICE("host")) && req->host < 0) {
        req->host = i;
    } else if (slice_eq(name, SLICE("content-type")) && req->content_type < 0) {
        req->content_type = i;
    } else if (slice_eq(name, SLICE("cookie")) && req->cookie < 0) {
        req->cookie = i;
    } else if (slice_eq(name, SLICE("content-length"))
               || slice_eq(name, SLICE("transfer-encoding"))) {
        req->has_body = true;
    }
}

int
http_request_add_field(HttpRequest *req, Slice name, Slice value)
{
    if ((req->nfields == req->cap_fields && request_fields_grow(req) != 0)
        || buf_reserve(&req->head, name.len + value.len) != 0) {
        return UV_ENOMEM;
    }
    uint32_t at = (uint32_t)req->head.len;
    for (size_t i = 0; i < name.len; i++) {
        req->head.ptr[at + i] = ascii_lower(name.ptr[i]);
    }
    req->head.len += name.len;
    (void)buf_append_slice(&req->head, value); /* the room is reserved */
    HttpField *field = &req->fields[req->nfields];
    *field = (HttpField){.name = at,
                         .name_len = (uint32_t)name.len,
                         .value = at + (uint32_t)name.len,
                         .value_len = (uint32_t)value.len};
    request_field_note(req, http_field_name(req, req->nfields), (int32_t)req->nfields);
    req->nfields++;
    return 0;
}

/* ---- The end ----------------------------------------------------------------------------- */

static void
request_destroy(HttpRequest *req)
{
    buf_free(&req->answered);
    buf_free(&req->head);
    buf_free(&req->body);
    PyMem_RawFree(req->fields);
    PyMem_RawFree(req);
}

/* Zeroes the request for reuse, and keeps its buffers up to SPARE_HEAD and SPARE_BODY. */
static void
request_recycle(HttpRequest *req)
{
    HttpServer *server = req->server;
    if (unlikely(req->answered.cap != 0)) {
        buf_free(&req->answered);
    }
    Buf head = req->head;
    Buf body = req->body;
    HttpField *fields = req->fields;
    uint32_t cap_fields = req->cap_fields;
    size_t size = sizeof(*req) + (req->told ? server->ops->app_size : 0);
    memset(req, 0, size);
    buf_reset(&head, SPARE_HEAD);
    buf_reset(&body, SPARE_BODY);
    req->head = head;
    req->body = body;
    req->fields = fields;
    req->cap_fields = cap_fields;
    req->next = server->spare;
    server->spare = req;
    server->nspare++;
}

void
http_request_unref(HttpRequest *req)
{
    assert(req->refs > 0);
    if (--req->refs != 0) {
        return;
    }
    HttpServer *server = req->server;
    if (req->told) {
        req->refs = 1; /* app_clear may run Python code that uses the request */
        server->ops->app_clear(req);
        assert(req->refs == 1);
    }
    if (server->nspare < SPARE_MAX && req->cap_fields <= SPARE_FIELDS
        && !server->freed) {
        request_recycle(req);
    } else {
        request_destroy(req);
    }
    server->held--;
    if (unlikely(server->freed && server->held == 0)) {
        server_release(server);
    }
}

void
request_trim(HttpRequest *req)
{
    char *head = PyMem_RawRealloc(req->head.ptr, req->head.len);
    if (head != NULL) {
        req->head.ptr = head;
        req->head.cap = req->head.len;
    }
    HttpField *fields = PyMem_RawRealloc(req->fields, req->nfields * sizeof(*fields));
    if (fields != NULL) {
        req->fields = fields;
        req->cap_fields = req->nfields;
    }
}

void
request_free_spare(HttpServer *server)
{
    while (server->spare != NULL) {
        HttpRequest *req = server->spare;
        server->spare = req->next;
        request_destroy(req);
    }
    server->nspare = 0;
}

Slice
http_request_method(const HttpRequest *req)
{
    if (unlikely(req->method == METHOD_UNKNOWN)) {
        return SLICE("-");
    }
    const char *name = llhttp_method_name((llhttp_method_t)req->method);
    return slice_of(name, strlen(name));
}

int32_t
http_field_find(const HttpRequest *req, Slice name, uint32_t from)
{
    for (uint32_t i = from; i < req->nfields; i++) {
        if (slice_eq(http_field_name(req, i), name)) {
            return (int32_t)i;
        }
    }
    return -1;
}

int
http_request_client(const HttpRequest *req, NetName *out)
{
    net_addr_name(&req->peer, out);
    return 0;
}

/* Looks up the address of our end, once for each IPv4 or IPv6 connection. 0 or a negative UV_E*. */
static int
conn_local(HttpConn *c, int fd)
{
    if (c->local.family != AF_UNSPEC) {
        return 0;
    }
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
    } name;
    socklen_t len = sizeof(name);
    if (getsockname(fd, &name.any, &len) != 0) {
        return uv_translate_sys_error(errno);
    }
    net_addr_set(&c->local, &name.any);
    net_addr_unmap(&c->local);
    return 0;
}

HttpConn *
http_request_conn(const HttpRequest *req)
{
    return likely(req->conn != NULL) ? req->conn : h2_conn_of(req);
}

int
http_request_local(const HttpRequest *req, NetAddr *out)
{
    HttpConn *c = http_request_conn(req);
    uv_os_fd_t fd;
    if (c == NULL || uv_fileno(&c->stream.uv.handle, &fd) != 0) {
        return UV_ENOTCONN;
    }
    int err = conn_local(c, fd);
    *out = c->local;
    return err;
}

int
http_request_server(const HttpRequest *req, NetName *out)
{
    HttpConn *c = http_request_conn(req);
    uv_os_fd_t fd;
    if (c == NULL || uv_fileno(&c->stream.uv.handle, &fd) != 0) {
        return UV_ENOTCONN;
    }
    int err = conn_local(c, fd);
    if (err != 0) {
        return err;
    }
    if (c->local.family == AF_UNSPEC) {
        return net_socket_name(fd, out);
    }
    net_addr_name(&c->local, out);
    return 0;
}

PyObject *
http_request_tls(const HttpRequest *req)
{
    HttpConn *c = http_request_conn(req);
    if (!req->secure || c == NULL) {
        Py_RETURN_NONE;
    }
    return secure_facts(c->stream.secure);
}
