/* Socket addresses as text (see addr.h). IPv4 addresses are formatted by hand, because this happens for
 * each line of the access log.
 */
#include "base/py.h"

#include "net/addr.h"

#include "base/fmt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

void
net_addr_set(NetAddr *addr, const struct sockaddr *from)
{
    memset(addr, 0, sizeof(*addr));
    if (from->sa_family == AF_INET) {
        memcpy(&addr->in4, from, sizeof(addr->in4));
    } else if (from->sa_family == AF_INET6) {
        memcpy(&addr->in6, from, sizeof(addr->in6));
    }
}

/* Writes the host, at most INET6_ADDRSTRLEN bytes with the NUL. Returns the length without it. */
static size_t
addr_host(const NetAddr *addr, char *out)
{
    size_t n = 0;
    if (addr->family == AF_INET) {
        const uint8_t *bytes = (const uint8_t *)&addr->in4.sin_addr;
        for (int i = 0; i < 4; i++) {
            n += fmt_decimal(out + n, bytes[i]);
            out[n++] = '.';
        }
        n--; /* the last dot */
    } else if (addr->family == AF_INET6
               && inet_ntop(AF_INET6, &addr->in6.sin6_addr, out, INET6_ADDRSTRLEN)) {
        return strlen(out);
    }
    out[n] = '\0';
    return n;
}

static uint16_t
addr_port(const NetAddr *addr)
{
    switch (addr->family) {
    case AF_INET:
        return ntohs(addr->in4.sin_port);
    case AF_INET6:
        return ntohs(addr->in6.sin6_port);
    default:
        return 0;
    }
}

bool
net_addr_eq(const NetAddr *a, const NetAddr *b)
{
    if (a->family != b->family) {
        return false;
    }
    if (a->family == AF_INET) {
        return a->in4.sin_port == b->in4.sin_port
               && a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
    }
    return memcmp(&a->in6, &b->in6, sizeof a->in6) == 0;
}

void
net_addr_unmap(NetAddr *addr)
{
    if (addr->family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr)) {
        struct sockaddr_in in4 = {.sin_family = AF_INET,
                                  .sin_port = addr->in6.sin6_port};
        memcpy(&in4.sin_addr, (const char *)&addr->in6.sin6_addr + 12, 4);
        memset(addr, 0, sizeof *addr);
        addr->in4 = in4;
    }
}

void
net_addr_name(const NetAddr *addr, NetName *out)
{
    (void)addr_host(addr, out->host);
    out->port = addr_port(addr);
}

size_t
net_addr_text(const NetAddr *addr, char *out)
{
    size_t n = 0;
    if (addr->family == AF_INET6) {
        out[n++] = '[';
    }
    n += addr_host(addr, out + n);
    if (addr->family == AF_INET6) {
        out[n++] = ']';
    }
    if (n != 0) {
        out[n++] = ':';
        n += fmt_decimal(out + n, addr_port(addr));
    }
    return n;
}

PyObject *
net_addr_object(const NetAddr *addr)
{
    char host[INET6_ADDRSTRLEN];
    switch (addr->family) {
    case AF_INET:
        (void)addr_host(addr, host);
        return Py_BuildValue("si", host, (int)addr_port(addr));
    case AF_INET6:
        (void)addr_host(addr, host);
        return Py_BuildValue("siII", host, (int)addr_port(addr),
                             (unsigned)ntohl(addr->in6.sin6_flowinfo),
                             (unsigned)addr->in6.sin6_scope_id);
    default:
        Py_RETURN_NONE;
    }
}

PyObject *
net_unix_name_object(const struct sockaddr *name, socklen_t len)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)name;
    size_t start = offsetof(struct sockaddr_un, sun_path);
    size_t size = len > start ? len - start : 0;
    if (size != 0 && un->sun_path[0] == '\0') {
        return PyBytes_FromStringAndSize(un->sun_path, (Py_ssize_t)size);
    }
    return PyUnicode_DecodeFSDefaultAndSize(un->sun_path,
                                            (Py_ssize_t)strnlen(un->sun_path, size));
}

int
net_socket_name(int fd, NetName *out)
{
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
        struct sockaddr_un un;
    } name;
    memset(&name, 0, sizeof(name));
    socklen_t len = sizeof(name);
    if (getsockname(fd, &name.any, &len) != 0) {
        return uv_translate_sys_error(errno);
    }
    if (name.any.sa_family == AF_UNIX) {
        (void)snprintf(out->host, sizeof(out->host), "%.*s",
                       (int)sizeof(name.un.sun_path), name.un.sun_path);
        out->port = 0;
        return 0;
    }
    NetAddr addr;
    net_addr_set(&addr, &name.any);
    net_addr_name(&addr, out);
    return 0;
}
