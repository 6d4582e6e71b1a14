/* Socket addresses from and to Python (see pyaddr.h). Literals are handled here, because they come with
 * every datagram. Addresses that need a look-up are left to the socket module.
 */
#include "base/py.h"

#include "transport/pyaddr.h"

#include <arpa/inet.h>

bool
pyaddr_family_known(int family)
{
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

/* ---- To Python ---------------------------------------------------------------------------- */

/* (host, *numbers): a tuple. `host` is stolen; it may be NULL with an exception set. */
static PyObject *
pyaddr_tuple(PyObject *host, const uint32_t *numbers, Py_ssize_t count)
{
    PyObject *tuple = host == NULL ? NULL : PyTuple_New(1 + count);
    if (tuple == NULL) {
        Py_XDECREF(host);
        return NULL;
    }
    PyTuple_SET_ITEM(tuple, 0, host);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *number = PyLong_FromUnsignedLong(numbers[i]);
        if (number == NULL) {
            Py_DECREF(tuple);
            return NULL;
        }
        PyTuple_SET_ITEM(tuple, 1 + i, number);
    }
    return tuple;
}

static PyObject *
pyaddr_host(int family, const void *bytes)
{
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(family, bytes, text, sizeof(text)) == NULL) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyUnicode_FromString(text);
}

static PyObject *
pyaddr_unix(const struct sockaddr_un *un, socklen_t len)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t n = len > head ? len - head : 0;
    if (n > 0 && un->sun_path[0] == '\0') {
        return PyBytes_FromStringAndSize(un->sun_path, (Py_ssize_t)n); /* abstract */
    }
    return PyUnicode_DecodeFSDefaultAndSize(un->sun_path,
                                            (Py_ssize_t)strnlen(un->sun_path, n));
}

PyObject *
pyaddr_new(const SockAddr *addr, socklen_t len)
{
    if (len == 0) {
        Py_RETURN_NONE;
    }
    switch (addr->any.sa_family) {
    case AF_INET: {
        uint32_t port = ntohs(addr->in4.sin_port);
        return pyaddr_tuple(pyaddr_host(AF_INET, &addr->in4.sin_addr), &port, 1);
    }
    case AF_INET6: {
        uint32_t numbers[] = {ntohs(addr->in6.sin6_port),
                              ntohl(addr->in6.sin6_flowinfo), addr->in6.sin6_scope_id};
        return pyaddr_tuple(pyaddr_host(AF_INET6, &addr->in6.sin6_addr), numbers, 3);
    }
    case AF_UNIX:
        return pyaddr_unix(&addr->un, len);
    default:
        return PyErr_Format(PyExc_OSError, "address of the unknown family %d",
                            (int)addr->any.sa_family);
    }
}

/* ---- From Python -------------------------------------------------------------------------- */

/* The int at `index`, at most `max`; 0 when the tuple is shorter. False for anything else. */
static bool
tuple_number(PyObject *tuple, Py_ssize_t index, unsigned long max, uint32_t *out)
{
    if (index >= PyTuple_GET_SIZE(tuple)) {
        *out = 0;
        return true;
    }
    PyObject *item = PyTuple_GET_ITEM(tuple, index);
    if (!PyLong_CheckExact(item)) {
        return false;
    }
    int overflow;
    long value = PyLong_AsLongAndOverflow(item, &overflow);
    if (overflow != 0 || value < 0 || (unsigned long)value > max) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

socklen_t
pyaddr_parse(PyObject *from, int family, SockAddr *addr)
{
    Py_ssize_t most = family == AF_INET ? 2 : family == AF_INET6 ? 4 : 0;
    if (!PyTuple_Check(from) || PyTuple_GET_SIZE(from) < 2
        || PyTuple_GET_SIZE(from) > most) {
        return 0;
    }
    PyObject *host = PyTuple_GET_ITEM(from, 0);
    uint32_t port, flow, scope;
    if (!PyUnicode_CheckExact(host) || !PyUnicode_IS_ASCII(host)
        || !tuple_number(from, 1, UINT16_MAX, &port)
        || !tuple_number(from, 2, 0xFFFFF, &flow)
        || !tuple_number(from, 3, UINT32_MAX, &scope)) {
        return 0;
    }
    const char *text = (const char *)PyUnicode_1BYTE_DATA(host);
    memset(addr, 0, sizeof(*addr));
    addr->any.sa_family = (sa_family_t)family;
    if (strlen(text) != (size_t)PyUnicode_GET_LENGTH(host)) {
        return 0; /* the host contains a NUL */
    }
    if (family == AF_INET) {
        addr->in4.sin_port = htons((uint16_t)port);
        return inet_pton(family, text, &addr->in4.sin_addr) == 1 ? sizeof(addr->in4)
                                                                 : 0;
    }
    addr->in6.sin6_port = htons((uint16_t)port);
    addr->in6.sin6_flowinfo = htonl(flow);
    addr->in6.sin6_scope_id = scope;
    return inet_pton(family, text, &addr->in6.sin6_addr) == 1 ? sizeof(addr->in6) : 0;
}
