/* Accepting for asyncio's servers (see acceptor.h). One wake-up accepts as many connections as the
 * backlog may hold. For each the protocol is created and connection_made() called at once, without a
 * task or a socket object. Everything runs on the loop's thread with the GIL.
 *
 * What runs once per server or less often (retrying after the process ran out of descriptors,
 * closing) is Python: pysrc/fluvial/_loop/streams.py.
 */
#include "base/py.h"

#include "transport/acceptor.h"
#include "net/accept.h"
#include "base/context.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/module.h"
#include "transport/transport.h"

#include <errno.h>
#include <structmember.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct Acceptor {
    PyObject_HEAD
    TransportState *st; /* borrowed: the type holds the module that owns it */
    Loop *loop;         /* owned */
    PyObject *sock;     /* owned: the listening socket.socket */
    PyObject *factory;  /* owned: creates protocols */
    PyObject *server;   /* owned: asyncio.Server, or None */
    PyObject *context;  /* owned: connections' contexts are copies of it */
    int fd;             /* of the socket */
    int batch;          /* most connections per wake-up */
    bool watching;
    bool broken; /* it was reported that the socket no longer listens */
} Acceptor;

/* ---- Life --------------------------------------------------------------------------------- */

static int
acceptor_traverse(PyObject *op, visitproc visit, void *arg)
{
    Acceptor *self = (Acceptor *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->sock);
    Py_VISIT(self->factory);
    Py_VISIT(self->server);
    Py_VISIT(self->context);
    return 0;
}

static int
acceptor_clear(PyObject *op)
{
    Acceptor *self = (Acceptor *)op;
    self->watching = false;
    Py_CLEAR(self->loop);
    Py_CLEAR(self->sock);
    Py_CLEAR(self->factory);
    Py_CLEAR(self->server);
    Py_CLEAR(self->context);
    return 0;
}

static void
acceptor_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)acceptor_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* Acceptor(loop, sock, backlog, factory, server, context) */
static PyObject *
acceptor_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    PyObject *module = module_of_type(type);
    PyObject *loop_arg, *sock, *factory, *server, *given;
    int backlog;
    if (module == NULL
        || !PyArg_ParseTuple(args, "OOiOOO:Acceptor", &loop_arg, &sock, &backlog,
                             &factory, &server, &given)) {
        return NULL;
    }
    Loop *loop = loop_check(module, loop_arg);
    int fd = loop == NULL ? -1 : loop_fd_of(sock);
    if (fd < 0) {
        return NULL;
    }
    PyObject *context = context_or_copy(given);
    if (context == NULL) {
        return NULL;
    }
    Acceptor *self = (Acceptor *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_DECREF(context);
    } else {
        self->st = transport_state(module);
        self->loop = (Loop *)Py_NewRef(loop);
        self->sock = Py_NewRef(sock);
        self->factory = Py_NewRef(factory);
        self->server = Py_NewRef(server);
        self->context = context;
        self->fd = fd;
        self->batch = Py_MAX(backlog, 1);
    }
    return (PyObject *)self;
}

/* ---- One connection ----------------------------------------------------------------------- */

/* No protocol or transport could be created for a connection. As in asyncio, this is reported only in
 * debug mode. SystemExit and KeyboardInterrupt stay set, and leave the loop: -1. */
static int
connection_failed(Acceptor *self)
{
    if (err_is_fatal()) {
        return -1;
    }
    PyObject *exc = err_take();
    PyObject *res =
        PyObject_CallMethod((PyObject *)self->loop, "_accept_failed", "O", exc);
    Py_DECREF(exc);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* Creates protocol and transport of `fd`. The connection's own context has been entered. */
static int
connection_start(Acceptor *self, int fd, const NetAddr *peer, PyObject *context)
{
    PyObject *protocol = PyObject_CallNoArgs(self->factory);
    if (protocol == NULL) {
        (void)close(fd);
        return connection_failed(self);
    }
    if (loop_is_forked(self->loop)) { /* the factory has forked: the parent serves it */
        Py_DECREF(protocol);
        (void)close(fd);
        return 0;
    }
    PyObject *transport = transport_accepted(self->st, self->loop, fd, peer, protocol,
                                             context, self->server);
    Py_DECREF(protocol);
    if (transport == NULL) {
        return connection_failed(self);
    }
    Py_DECREF(transport);
    return 0;
}

static int
acceptor_take(Acceptor *self, int fd, const NetAddr *peer)
{
    PyObject *context = PyContext_Copy(self->context);
    if (context == NULL || PyContext_Enter(context) < 0) {
        Py_XDECREF(context);
        (void)close(fd);
        return -1;
    }
    int err = connection_start(self, fd, peer, context);
    if (PyContext_Exit(context) < 0) {
        err = -1;
    }
    Py_DECREF(context);
    return err;
}

/* ---- Accepting ---------------------------------------------------------------------------- */

/* accept4() has failed with `code`. 0: try the next connection; 1: there is nothing more to accept now;
 * -1 with an exception set. */
static int
acceptor_refused(Acceptor *self, int code, bool first)
{
    AcceptFailure failure = accept_failure(self->fd, code, first);
    if (failure == ACCEPT_NOTHING || failure == ACCEPT_PASSES) {
        return failure
               == ACCEPT_NOTHING; /* a lost connection counts in the batch, too */
    }
    bool broken = failure == ACCEPT_BROKEN;
    bool known = broken && self->broken;
    self->broken = broken;
    (void)err_set(-(code == EAGAIN ? EINVAL : code));
    PyObject *exc = err_take();
    PyObject *res = PyObject_CallMethod((PyObject *)self->loop, "_accept_paused",
                                        "OOii", self, exc, broken, known);
    Py_DECREF(exc);
    Py_XDECREF(res);
    return res == NULL ? -1 : 1;
}

/* Accepts one connection: 0. The other results are those of acceptor_refused. */
static int
acceptor_accept_one(Acceptor *self, bool first)
{
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
    } name = {.any.sa_family = AF_UNSPEC};
    socklen_t len = sizeof(name);
    int fd = fd_accept(self->fd, &name.any, &len);
    if (fd < 0) {
        return acceptor_refused(self, errno, first);
    }
    self->broken = false;
    NetAddr peer;
    net_addr_set(&peer, &name.any);
    return acceptor_take(self, fd, &peer);
}

/* Called by the loop when the socket is readable. */
static void
acceptor_ready(PyObject *op)
{
    Acceptor *self = (Acceptor *)op;
    int res = 0;
    for (int i = 0;
         i < self->batch && res == 0 && self->watching && !loop_is_forked(self->loop);
         i++) {
        res = acceptor_accept_one(self, i == 0);
    }
    if (res < 0) {
        loop_report(self->loop, "accepting a connection failed");
    }
}

static PyObject *
acceptor_py_start(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Acceptor *self = (Acceptor *)op;
    if (loop_fd_watch(self->loop, self->fd, FD_READER, acceptor_ready, op) < 0) {
        return NULL;
    }
    self->watching = true;
    Py_RETURN_NONE;
}

static PyObject *
acceptor_py_stop(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Acceptor *self = (Acceptor *)op;
    if (self->watching) {
        self->watching = false;
        loop_fd_unwatch(self->loop, self->fd, FD_READER, op);
    }
    Py_RETURN_NONE;
}

static PyMethodDef acceptor_methods[] = {
    {"start", acceptor_py_start, METH_NOARGS, NULL},
    {"stop", acceptor_py_stop, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef acceptor_members[] = {
    {"watching", T_BOOL, offsetof(Acceptor, watching), READONLY, NULL},
    {"sock", T_OBJECT, offsetof(Acceptor, sock), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot acceptor_slots[] = {
    {Py_tp_doc, "Takes the connections of a listening socket."},
    {Py_tp_new, acceptor_new},
    {Py_tp_dealloc, acceptor_dealloc},
    {Py_tp_traverse, acceptor_traverse},
    {Py_tp_clear, acceptor_clear},
    {Py_tp_methods, acceptor_methods},
    {Py_tp_members, acceptor_members},
    {0, NULL},
};

static PyType_Spec acceptor_spec = {
    .name = "fluvial._core.Acceptor",
    .basicsize = sizeof(Acceptor),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = acceptor_slots,
};

int
acceptor_setup(PyObject *module, TransportState *st)
{
    st->acceptor_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &acceptor_spec, NULL);
    return st->acceptor_type == NULL ? -1 : PyModule_AddType(module, st->acceptor_type);
}
