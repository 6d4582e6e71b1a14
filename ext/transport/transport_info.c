/* get_extra_info() of a StreamTransport (see transport.h). Addresses are read once, when the transport is
 * opened. They become Python objects only when they are requested, as does the socket object.
 */
#include "base/py.h"

#include "base/err.h"
#include "transport/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

typedef union SocketName {
    struct sockaddr any;
    struct sockaddr_storage storage;
} SocketName;

/* Stores `value` (stolen; NULL: an exception is set) under `key` in get_extra_info's dict. */
static int
extra_set(Transport *self, PyObject *key, PyObject *value)
{
    if (value == NULL) {
        return -1;
    }
    if (self->extra == NULL) {
        self->extra = PyDict_New();
    }
    int err = self->extra == NULL ? -1 : PyDict_SetItem(self->extra, key, value);
    Py_DECREF(value);
    return err;
}

/* Keeps `name` in `addr` if it is an IP address, otherwise as an object under `key`. */
static int
name_keep(Transport *self, PyObject *key, NetAddr *addr, const SocketName *name,
          socklen_t len)
{
    net_addr_set(addr, &name->any);
    if (name->any.sa_family != AF_UNIX) {
        return 0;
    }
    return extra_set(self, key, net_unix_name_object(&name->any, len));
}

int
transport_learn_names(Transport *self, int fd)
{
    SocketName name = {.any.sa_family = AF_UNSPEC};
    socklen_t len = sizeof(name);
    if (getsockname(fd, &name.any, &len) == 0
        && name_keep(self, self->st->str_sockname, &self->local, &name, len) < 0) {
        return -1;
    }
    if (self->remote.family != AF_UNSPEC) {
        return 0;
    }
    name = (SocketName){.any.sa_family = AF_UNSPEC};
    len = sizeof(name);
    if (getpeername(fd, &name.any, &len) != 0) {
        return 0; /* the peer has already gone */
    }
    return name_keep(self, self->st->str_peername, &self->remote, &name, len);
}

void
transport_keep_socket(Transport *self, PyObject *sock)
{
    struct stat st;
    self->inode = fstat(self->fd, &st) == 0 ? st.st_ino : 0;
    Py_XSETREF(self->sock, sock);
}

/* A TransportSocket around the user's own socket, or around one that hides libuv's descriptor. */
static PyObject *
info_socket(Transport *self)
{
    if (self->sock == NULL) {
        PyObject *sock =
            PyObject_CallMethod((PyObject *)self->loop, "_hidden_socket", "O", self);
        if (sock == NULL) {
            return NULL;
        }
        transport_keep_socket(self, sock);
    }
    return PyObject_CallOneArg(self->st->transport_socket, self->sock);
}

static PyObject *
info_name(Transport *self, PyObject *name, const NetAddr *addr)
{
    bool is_known = self->local.family != AF_UNSPEC || self->remote.family != AF_UNSPEC;
    if (is_known) {
        return net_addr_object(addr);
    }
    return PyObject_CallMethod((PyObject *)self->loop, "_find_name", "OO", self, name);
}

/* The value of a name that is looked up on request; NULL without an exception for any other name. */
static PyObject *
info_find_out(Transport *self, PyObject *name)
{
    TransportState *st = self->st;
    if (self->loop == NULL || !PyUnicode_Check(name)) {
        return NULL;
    }
    if (PyUnicode_Compare(name, st->str_sockname) == 0) {
        return info_name(self, name, &self->local);
    }
    if (PyUnicode_Compare(name, st->str_peername) == 0) {
        return info_name(self, name, &self->remote);
    }
    if (PyUnicode_Compare(name, st->str_socket) == 0) {
        return info_socket(self);
    }
    return NULL;
}

PyObject *
transport_py_get_extra_info(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *const names[] = {"name", "default", NULL};
    Transport *self = (Transport *)op;
    PyObject *name, *other = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:get_extra_info", (char **)names,
                                     &name, &other)) {
        return NULL;
    }
    PyObject *extra = Py_XNewRef(self->extra); /* while `name` is compared */
    PyObject *value =
        extra == NULL ? NULL : Py_XNewRef(PyDict_GetItemWithError(extra, name));
    Py_XDECREF(extra);
    if (value != NULL || PyErr_Occurred()) {
        return value;
    }
    value = info_find_out(self, name);
    if (value == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(other);
    }
    return extra_set(self, name, Py_NewRef(value)) < 0 ? (Py_DECREF(value), NULL)
                                                       : value;
}

PyObject *
transport_py_owns(PyObject *op, PyObject *number)
{
    int fd = PyObject_AsFileDescriptor(number);
    if (fd < 0) {
        return NULL;
    }
    struct stat st;
    ino_t inode = ((Transport *)op)->inode;
    return PyBool_FromLong(inode != 0 && fstat(fd, &st) == 0 && st.st_ino == inode);
}

PyObject *
transport_py_dup(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    int fd = fcntl(((Transport *)op)->fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromLong(fd);
}
