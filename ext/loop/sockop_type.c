/* The type SocketOp, the methods of the loop that create SocketOps, and the objects of asyncio that
 * both use (see sockop.h). For `await`, a SocketOp behaves like a coroutine: am_send and send, throw,
 * close.
 */
#include "base/py.h"

#include "base/err.h"
#include "base/names.h"
#include "loop/loop_impl.h"
#include "loop/sockop.h"

/* ---- The coroutine protocol --------------------------------------------------------------- */

static PyObject *
op_py_send(PyObject *op, PyObject *value)
{
    PyObject *result;
    if (sockop_send(op, value, &result) == PYGEN_RETURN) {
        PyErr_SetObject(PyExc_StopIteration, result);
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *
op_iternext(PyObject *op)
{
    return op_py_send(op, Py_None);
}

static PyObject *
op_py_throw(PyObject *op, PyObject *args)
{
    SocketOp *self = (SocketOp *)op;
    PyObject *exc = err_thrown(args);
    if (exc == NULL) {
        return NULL;
    }
    if (!sockop_is_idle(self) || !sockop_is_open(self)) {
        Py_DECREF(exc);
        return NULL;
    }
    sockop_release(self);
    err_restore(exc);
    return NULL;
}

static PyObject *
op_py_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (!sockop_is_idle((SocketOp *)op)) {
        return NULL;
    }
    sockop_release((SocketOp *)op);
    Py_RETURN_NONE;
}

static PyObject *
op_self(PyObject *op)
{
    return Py_NewRef(op);
}

/* ---- Creation and deallocation ------------------------------------------------------------ */

static PyObject *
op_new(Loop *loop, SocketOpKind kind, PyObject *sock, PyObject *data, Py_ssize_t size)
{
    PyTypeObject *type = loop->st->sockops.type;
    SocketOp *self = (SocketOp *)type->tp_alloc(type, 0); /* zeroed */
    if (self != NULL) {
        self->loop = (Loop *)Py_NewRef((PyObject *)loop);
        self->sock = Py_NewRef(sock);
        self->data = Py_XNewRef(data);
        self->size = size;
        self->kind = kind;
    }
    return (PyObject *)self;
}

static int
op_traverse(PyObject *op, visitproc visit, void *arg)
{
    SocketOp *self = (SocketOp *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->sock);
    Py_VISIT(self->data);
    Py_VISIT(self->view.obj);
    Py_VISIT(self->error);
    Py_VISIT(self->future);
    return 0;
}

static int
op_clear(PyObject *op)
{
    SocketOp *self = (SocketOp *)op;
    sockop_release(self);
    Py_CLEAR(self->error);
    return 0;
}

static void
op_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)op_clear(op);
    Py_CLEAR(((SocketOp *)op)->loop);
    type->tp_free(op);
    Py_DECREF(type);
}

/* ---- The loop's methods ------------------------------------------------------------------- */

/* Calls asyncio's own method. */
static PyObject *
sock_slowly(PyObject *op, SocketOpKind kind, PyObject *sock, PyObject *arg)
{
    PyObject *argv[] = {op, sock, arg};
    return PyObject_Vectorcall(((Loop *)op)->st->sockops.slow[kind], argv, 3, NULL);
}

/* Whether the call can use a SocketOp. */
static bool
sock_is_plain(const Loop *loop, PyObject *sock)
{
    return !loop->debug && !loop->closed
           && Py_IS_TYPE(sock, loop->st->sockops.socket_type);
}

/* Checks the arguments of the three methods, (sock, arg). False with TypeError set. */
static bool
sock_args_ok(const char *name, Py_ssize_t nargs)
{
    if (nargs == 2) {
        return true;
    }
    PyErr_Format(PyExc_TypeError, "%s() takes a socket and one more argument", name);
    return false;
}

PyObject *
loop_py_receive(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (!sock_args_ok("_receive", nargs)) {
        return NULL;
    }
    Py_ssize_t size = 0;
    if (sock_is_plain((Loop *)op, args[0]) && PyLong_CheckExact(args[1])) {
        size = PyLong_AsSsize_t(args[1]);
        PyErr_Clear(); /* too large a size: asyncio's method, called below, raises */
    }
    return size <= 0 ? sock_slowly(op, SOCK_RECV, args[0], args[1])
                     : op_new((Loop *)op, SOCK_RECV, args[0], NULL, size);
}

PyObject *
loop_py_receive_into(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (!sock_args_ok("_receive_into", nargs)) {
        return NULL;
    }
    return sock_is_plain((Loop *)op, args[0])
               ? op_new((Loop *)op, SOCK_RECV_INTO, args[0], args[1], 0)
               : sock_slowly(op, SOCK_RECV_INTO, args[0], args[1]);
}

PyObject *
loop_py_send_all(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (!sock_args_ok("_send_all", nargs)) {
        return NULL;
    }
    return sock_is_plain((Loop *)op, args[0])
               ? op_new((Loop *)op, SOCK_SENDALL, args[0], args[1], 0)
               : sock_slowly(op, SOCK_SENDALL, args[0], args[1]);
}

/* ---- The type ----------------------------------------------------------------------------- */

static PyMethodDef op_methods[] = {
    {"send", op_py_send, METH_O, NULL},
    {"throw", op_py_throw, METH_VARARGS, NULL},
    {"close", op_py_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot op_slots[] = {
    {Py_tp_doc, "What sock_recv(), sock_recv_into() and sock_sendall() await."},
    {Py_tp_methods, op_methods},
    {Py_tp_traverse, op_traverse},
    {Py_tp_clear, op_clear},
    {Py_tp_dealloc, op_dealloc},
    {Py_tp_iter, op_self},
    {Py_tp_iternext, op_iternext},
    {Py_am_await, op_self},
    {Py_am_send, sockop_send},
    {0, NULL},
};

static PyType_Spec op_spec = {
    .name = "fluvial._core.SocketOp",
    .basicsize = sizeof(SocketOp),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = op_slots,
};

/* Imports asyncio's own methods. */
static int
sockop_setup_methods(SocketOps *st)
{
    static const char *const names[] = {
        [SOCK_RECV] = "sock_recv",
        [SOCK_RECV_INTO] = "sock_recv_into",
        [SOCK_SENDALL] = "sock_sendall",
    };
    PyObject *base = NULL;
    int err = name_import(&base, "asyncio", "SelectorEventLoop");
    for (int kind = 0; err == 0 && kind < SOCK_KINDS; kind++) {
        st->slow[kind] = PyObject_GetAttrString(base, names[kind]);
        err = st->slow[kind] == NULL ? -1 : 0;
    }
    Py_XDECREF(base);
    return err;
}

int
sockop_setup(PyObject *module, LoopState *all)
{
    SocketOps *st = &all->sockops;
    PyObject *socket_type = NULL;
    if (name_intern(&st->str_fileno, "fileno") < 0
        || name_intern(&st->str_done, "done") < 0
        || name_intern(&st->str_set_result, "set_result") < 0
        || name_intern(&st->str_future_blocking, "_asyncio_future_blocking") < 0
        || name_intern(&st->str_transports, "_transports") < 0
        || name_intern(&st->str_data, "data") < 0
        || name_intern(&st->str_ensure_no_transport, "_ensure_fd_no_transport") < 0
        || name_import(&socket_type, "socket", "socket") < 0
        || sockop_setup_methods(st) < 0) {
        Py_XDECREF(socket_type);
        return -1;
    }
    st->socket_type = (PyTypeObject *)socket_type;
    st->type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &op_spec, NULL);
    return st->type == NULL ? -1 : PyModule_AddType(module, st->type);
}

int
sockop_traverse(LoopState *all, visitproc visit, void *arg)
{
    SocketOps *st = &all->sockops;
    Py_VISIT(st->type);
    Py_VISIT(st->socket_type);
    for (int kind = 0; kind < SOCK_KINDS; kind++) {
        Py_VISIT(st->slow[kind]);
    }
    return 0;
}

void
sockop_clear(LoopState *all)
{
    SocketOps *st = &all->sockops;
    Py_CLEAR(st->type);
    Py_CLEAR(st->socket_type);
    for (int kind = 0; kind < SOCK_KINDS; kind++) {
        Py_CLEAR(st->slow[kind]);
    }
    Py_CLEAR(st->str_fileno);
    Py_CLEAR(st->str_done);
    Py_CLEAR(st->str_set_result);
    Py_CLEAR(st->str_future_blocking);
    Py_CLEAR(st->str_transports);
    Py_CLEAR(st->str_data);
    Py_CLEAR(st->str_ensure_no_transport);
}
