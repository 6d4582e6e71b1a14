/* The implementation of loop.sock_recv(), sock_recv_into() and sock_sendall() (_loop/sock_ops.py).
 * Each method here returns an awaitable: normally a SocketOp, but asyncio's own coroutine for an
 * object that isn't exactly a socket.socket, for unusual arguments, and in debug mode.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_LOOP_SOCKOP_H
#define FLUVIAL_LOOP_SOCKOP_H

#include "base/py.h"
#include "loop/loop.h"
#include "loop/loop_state.h"

typedef enum SocketOpState {
    SOCKET_OP_NEW,
    SOCKET_OP_WAITING, /* suspended */
    SOCKET_OP_OVER,
} SocketOpState;

typedef struct SocketOp {
    PyObject_HEAD
    Loop *loop;     /* owned */
    PyObject *sock; /* owned: a socket.socket */
    PyObject
        *data; /* owned: bytes to send, or the buffer to fill; NULL for sock_recv */
    Py_buffer view;   /* of `data` while it is being sent; its obj is NULL otherwise */
    Py_ssize_t done;  /* bytes sent */
    Py_ssize_t size;  /* the maximum number of bytes to receive */
    PyObject *error;  /* owned or NULL: why sending failed */
    PyObject *future; /* owned or NULL: the future that the task awaits */
    int fd;           /* the result of the last sock.fileno() */
    int watched;      /* the descriptor that is watched while waiting */
    SocketOpKind kind;
    SocketOpState state;
    bool running; /* within a step, or a try in the poll, which may call Python */
} SocketOp;

/* False when a step is already running, with the exception set that coroutines raise then. */
bool sockop_is_idle(const SocketOp *self);
/* False when the operation is over, with the exception set that coroutines raise then. */
bool sockop_is_open(const SocketOp *self);

/* am_send: continues until the next wait, or the end. */
PySendResult sockop_send(PyObject *op, PyObject *value, PyObject **result);

/* Ends the operation and releases everything that it owns except the loop. */
void sockop_release(SocketOp *self);

/* loop._receive(sock, n), loop._receive_into(sock, buf), loop._send_all(sock, data): METH_FASTCALL */
PyObject *loop_py_receive(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *loop_py_receive_into(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *loop_py_send_all(PyObject *op, PyObject *const *args, Py_ssize_t nargs);

/* Creates the type and imports the objects that it uses. 0, or -1 with an exception set. */
int sockop_setup(PyObject *module, LoopState *st);
int sockop_traverse(LoopState *st, visitproc visit, void *arg);
void sockop_clear(LoopState *st);

#endif
