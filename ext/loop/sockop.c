/* Receiving and sending on the user's sockets (see sockop.h). A try, and a wait in the loop's set
 * of user descriptors when that blocks. Receiving is done when the waiting task runs again, so
 * that one which is cancelled meanwhile loses nothing; sending goes on from within the poll.
 *
 * The socket may be closed at any moment: its number is asked for before each system call.
 */
#include "base/py.h"

#include "loop/sockop.h"
#include "base/err.h"
#include "base/names.h"
#include "loop/loop_impl.h"

#include <errno.h>
#include <sys/socket.h>

typedef enum SocketOpState {
    SOCKET_OP_NEW,
    SOCKET_OP_WAITING, /* suspended */
    SOCKET_OP_OVER,
} SocketOpState;

typedef struct SocketOp {
    PyObject_HEAD
    Loop *loop;       /* owned */
    PyObject *sock;   /* owned: a socket.socket */
    PyObject *data;   /* owned: what is sent, or received into; NULL for sock_recv */
    Py_buffer view;   /* of `data` while it is being sent; its obj is NULL otherwise */
    Py_ssize_t done;  /* bytes sent */
    Py_ssize_t size;  /* bytes to receive at most */
    PyObject *error;  /* owned or NULL: why sending failed */
    PyObject *future; /* owned or NULL: what the task waits for */
    int fd;           /* the socket's number, when it was last asked for */
    int watched;      /* the number that is watched while waiting */
    SocketOpKind kind;
    SocketOpState state;
} SocketOp;

typedef enum TryResult { TRY_DONE, TRY_BLOCKED, TRY_FAILED } TryResult;

static FdSide
op_side(const SocketOp *self)
{
    return self->kind == SOCK_SENDALL ? FD_WRITER : FD_READER;
}

/* ---- System calls ------------------------------------------------------------------------- */

/* What a system call that failed means. */
static TryResult
try_failed(void)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return TRY_BLOCKED;
    }
    (void)PyErr_SetFromErrno(PyExc_OSError);
    return TRY_FAILED;
}

static TryResult
op_recv(SocketOp *self, PyObject **result)
{
    uv_buf_t buffer = loop_read_buffer(self->loop);
    if (buffer.base == NULL) {
        (void)PyErr_NoMemory();
        return TRY_FAILED;
    }
    size_t size = Py_MIN(buffer.len, (size_t)self->size);
    ssize_t n = recv(self->fd, buffer.base, size, MSG_DONTWAIT);
    if (n < 0) {
        return try_failed();
    }
    *result = PyBytes_FromStringAndSize(buffer.base, n);
    return *result == NULL ? TRY_FAILED : TRY_DONE;
}

static TryResult
op_recv_into(SocketOp *self, PyObject **result)
{
    Py_buffer view;
    if (PyObject_GetBuffer(self->data, &view, PyBUF_WRITABLE) < 0) {
        PyErr_Format(PyExc_TypeError,
                     "recv_into() argument 1 must be read-write bytes-like object, "
                     "not %.200s",
                     Py_TYPE(self->data)->tp_name);
        return TRY_FAILED;
    }
    ssize_t n = recv(self->fd, view.buf, (size_t)view.len, MSG_DONTWAIT);
    TryResult tried = n < 0 ? try_failed() : TRY_DONE;
    PyBuffer_Release(&view);
    if (tried == TRY_DONE) {
        *result = PyLong_FromSsize_t(n);
        tried = *result == NULL ? TRY_FAILED : TRY_DONE;
    }
    return tried;
}

static TryResult
op_sendall(SocketOp *self, PyObject **result)
{
    if (self->view.obj == NULL
        && PyObject_GetBuffer(self->data, &self->view, PyBUF_SIMPLE) < 0) {
        return TRY_FAILED;
    }
    const char *rest = (const char *)self->view.buf + self->done;
    size_t len = (size_t)(self->view.len - self->done);
    ssize_t n = send(self->fd, rest, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        return try_failed();
    }
    self->done += n;
    if (self->done < self->view.len) {
        return TRY_BLOCKED;
    }
    *result = Py_NewRef(Py_None);
    return TRY_DONE;
}

/* Asks the socket for its number; that of one that is closed is -1. Returns it as an int object,
 * or NULL with an exception set. */
static PyObject *
op_number(SocketOp *self)
{
    PyObject *number =
        PyObject_CallMethodNoArgs(self->sock, self->loop->st->sockops.str_fileno);
    self->fd = -1;
    if (number != NULL && PyLong_Check(number)) {
        self->fd = (int)PyLong_AsLong(number);
    }
    return number;
}

/* *result is a new reference when it is done; an exception is set when it has failed. */
static TryResult
op_try(SocketOp *self, PyObject **result)
{
    *result = NULL;
    switch (self->kind) {
    case SOCK_RECV:
        return op_recv(self, result);
    case SOCK_RECV_INTO:
        return op_recv_into(self, result);
    case SOCK_SENDALL:
        return op_sendall(self, result);
    }
    Py_UNREACHABLE();
}

/* ---- Waiting ------------------------------------------------------------------------------ */

/* Lets go of all but what the end of the await needs. */
static void
op_release(SocketOp *self)
{
    self->state = SOCKET_OP_OVER;
    if (self->future != NULL) {
        fds_rest(&self->loop->fds, self->watched, op_side(self), (PyObject *)self);
        Py_CLEAR(self->future);
    }
    PyBuffer_Release(&self->view); /* does nothing when there is none */
    Py_CLEAR(self->data);
    Py_CLEAR(self->sock);
}

static void
op_wake(SocketOp *self)
{
    SocketOps *st = &self->loop->st->sockops;
    PyObject *future = Py_NewRef(self->future);
    fds_rest(&self->loop->fds, self->watched, op_side(self), (PyObject *)self);
    PyObject *done = PyObject_CallMethodNoArgs(future, self->loop->st->str_done);
    PyObject *res = NULL;
    if (done != NULL) { /* a task that is cancelled has its future cancelled first */
        res = done == Py_False
                  ? PyObject_CallMethodOneArg(future, st->str_set_result, Py_None)
                  : Py_NewRef(Py_None);
    }
    if (res == NULL) {
        loop_report(self->loop, "A task can't be told that its socket is ready");
    }
    Py_XDECREF(res);
    Py_XDECREF(done);
    Py_DECREF(future);
}

/* The FdReady of receiving. */
static void
op_on_readable(PyObject *op)
{
    op_wake((SocketOp *)op);
}

/* The FdReady of sending. */
static void
op_on_writable(PyObject *op)
{
    SocketOp *self = (SocketOp *)op;
    PyObject *result = NULL;
    PyObject *number = op_number(self);
    TryResult tried = number == NULL ? TRY_FAILED : op_try(self, &result);
    Py_XDECREF(number);
    Py_XDECREF(result);
    if (tried == TRY_BLOCKED) {
        return;
    }
    if (tried == TRY_FAILED) {
        Py_XSETREF(self->error, err_take());
    }
    op_wake(self);
}

/* A socket that a transport has is not for others: RuntimeError and -1. */
static int
op_check_free(SocketOp *self, PyObject *number)
{
    Loop *loop = self->loop;
    SocketOps *st = &loop->st->sockops;
    if (loop->taken == NULL) {
        PyObject *transports = PyObject_GetAttr((PyObject *)loop, st->str_transports);
        if (transports == NULL) {
            return -1;
        }
        loop->taken = PyObject_GetAttr(transports, st->str_data);
        Py_DECREF(transports);
        if (loop->taken == NULL) {
            return -1;
        }
    }
    int found = PySequence_Contains(loop->taken, number);
    if (likely(found == 0)) {
        return 0;
    }
    PyObject *res =
        found < 0 ? NULL
                  : PyObject_CallMethodOneArg((PyObject *)loop,
                                              st->str_ensure_no_transport, number);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* Has the loop watch the socket. What the task is to be given; NULL with an exception set. */
static PyObject *
op_wait(SocketOp *self, PyObject *number)
{
    SocketOps *st = &self->loop->st->sockops;
    if (loop_check_open(self->loop) < 0 || op_check_free(self, number) < 0) {
        return NULL;
    }
    FdSide side = op_side(self);
    FdReady ready = side == FD_READER ? op_on_readable : op_on_writable;
    PyObject *future = loop_py_create_future((PyObject *)self->loop, NULL);
    if (future == NULL || PyObject_SetAttr(future, st->str_future_blocking, Py_True) < 0
        || fds_wait(&self->loop->fds, self->loop, self->fd, side, ready,
                    (PyObject *)self, self->sock)
               < 0) {
        Py_XDECREF(future);
        return NULL;
    }
    self->watched = self->fd;
    self->future = Py_NewRef(future);
    self->state = SOCKET_OP_WAITING;
    return future;
}

/* ---- The coroutine protocol --------------------------------------------------------------- */

static PySendResult
op_end(SocketOp *self, PySendResult outcome)
{
    op_release(self);
    return outcome;
}

/* A try, unless it is known to be in vain; else the wait. */
static PySendResult
op_go_on(SocketOp *self, bool first, PyObject **result)
{
    FdSet *fds = &self->loop->fds;
    PyObject *number = op_number(self);
    if (number == NULL) {
        return op_end(self, PYGEN_ERROR);
    }
    bool receives = op_side(self) == FD_READER;
    TryResult tried = TRY_BLOCKED;
    if (!first || !receives || fds_worth_a_try(fds, self->fd, self->sock)) {
        tried = op_try(self, result);
        if (first && receives) {
            fds_tried(fds, self->fd, tried == TRY_BLOCKED);
        }
    }
    if (tried == TRY_BLOCKED) {
        *result = op_wait(self, number);
    }
    Py_DECREF(number);
    if (tried == TRY_DONE) {
        return op_end(self, PYGEN_RETURN);
    }
    return *result == NULL ? op_end(self, PYGEN_ERROR) : PYGEN_NEXT;
}

static PySendResult
op_send(PyObject *op, PyObject *Py_UNUSED(value), PyObject **result)
{
    SocketOp *self = (SocketOp *)op;
    *result = NULL;
    switch (self->state) {
    case SOCKET_OP_NEW:
        return op_go_on(self, true, result);
    case SOCKET_OP_WAITING:
        fds_rest(&self->loop->fds, self->watched, op_side(self), op);
        Py_CLEAR(self->future);
        if (self->error != NULL) {
            err_restore(self->error);
            self->error = NULL;
            return op_end(self, PYGEN_ERROR);
        }
        if (self->view.obj != NULL && self->done == self->view.len) {
            *result = Py_NewRef(Py_None); /* all was sent from within the poll */
            return op_end(self, PYGEN_RETURN);
        }
        return op_go_on(self, false, result);
    case SOCKET_OP_OVER:
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return PYGEN_ERROR;
    }
    Py_UNREACHABLE();
}

static PyObject *
op_py_send(PyObject *op, PyObject *value)
{
    PyObject *result;
    if (op_send(op, value, &result) == PYGEN_RETURN) {
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

/* The instance that throw(type_or_exception, value, traceback) means: a new reference. */
static PyObject *
thrown_exception(PyObject *args)
{
    PyObject *type, *value = Py_None, *traceback = Py_None;
    if (!PyArg_ParseTuple(args, "O|OO", &type, &value, &traceback)) {
        return NULL;
    }
    PyObject *exc;
    if (PyExceptionInstance_Check(type)) {
        exc = Py_NewRef(type);
    } else if (PyExceptionInstance_Check(value)) {
        exc = Py_NewRef(value);
    } else {
        exc = value == Py_None ? PyObject_CallNoArgs(type)
                               : PyObject_CallOneArg(type, value);
    }
    if (exc != NULL && !PyExceptionInstance_Check(exc)) {
        Py_CLEAR(exc);
        PyErr_SetString(PyExc_TypeError, "an exception is needed");
    }
    if (exc != NULL && traceback != Py_None
        && PyException_SetTraceback(exc, traceback) < 0) {
        Py_CLEAR(exc);
    }
    return exc;
}

static PyObject *
op_py_throw(PyObject *op, PyObject *args)
{
    PyObject *exc = thrown_exception(args);
    if (exc != NULL) {
        op_release((SocketOp *)op);
        err_restore(exc);
    }
    return NULL;
}

static PyObject *
op_py_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    op_release((SocketOp *)op);
    Py_RETURN_NONE;
}

static PyObject *
op_self(PyObject *op)
{
    return Py_NewRef(op);
}

/* ---- Life --------------------------------------------------------------------------------- */

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
    op_release(self);
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

/* asyncio's own method. */
static PyObject *
sock_slowly(PyObject *op, SocketOpKind kind, PyObject *sock, PyObject *arg)
{
    PyObject *argv[] = {op, sock, arg};
    return PyObject_Vectorcall(((Loop *)op)->st->sockops.slow[kind], argv, 3, NULL);
}

/* Whether the call is one of those that are done here. */
static bool
sock_is_plain(const Loop *loop, PyObject *sock)
{
    return !loop->debug && !loop->closed
           && Py_IS_TYPE(sock, loop->st->sockops.socket_type);
}

/* The arguments of the three, (sock, arg). False with TypeError set. */
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
        PyErr_Clear(); /* asyncio's has the right error */
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
    {Py_am_send, op_send},
    {0, NULL},
};

static PyType_Spec op_spec = {
    .name = "fluvial._core.SocketOp",
    .basicsize = sizeof(SocketOp),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = op_slots,
};

/* asyncio's own methods. */
static int
setup_methods(SocketOps *st)
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
        || name_intern(&st->str_set_result, "set_result") < 0
        || name_intern(&st->str_future_blocking, "_asyncio_future_blocking") < 0
        || name_intern(&st->str_transports, "_transports") < 0
        || name_intern(&st->str_data, "data") < 0
        || name_intern(&st->str_ensure_no_transport, "_ensure_fd_no_transport") < 0
        || name_import(&socket_type, "socket", "socket") < 0 || setup_methods(st) < 0) {
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
    Py_CLEAR(st->str_set_result);
    Py_CLEAR(st->str_future_blocking);
    Py_CLEAR(st->str_transports);
    Py_CLEAR(st->str_data);
    Py_CLEAR(st->str_ensure_no_transport);
}
