/* What a request says of the connection and the server it came to (see request.h): addresses, TLS, the
 * route. A request of HTTP/2 has its connection through its stream. The loop's thread.
 */
#include "base/py.h"

#include "http/conn.h"
#include "http/h2.h"
#include "net/server_tls_facts.h"
#include "net/server_tls_link.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <uv.h>

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

Slice
http_request_tls_version(const HttpRequest *req)
{
    const HttpConn *c = http_request_conn(req);
    if (c == NULL || c->stream.secure == NULL) {
        return slice_of("", 0);
    }
    const char *version = SSL_get_version(c->stream.secure->ssl);
    return slice_of(version, strlen(version));
}

Slice
http_request_route(const HttpRequest *req)
{
    return req->told && req->server->ops->route != NULL ? req->server->ops->route(req)
                                                        : slice_of("", 0);
}
