/* What is behind loop.sock_recv(), sock_recv_into() and sock_sendall() (_loop/sock_ops.py). Each
 * method here returns something to await: a SocketOp, or asyncio's own coroutine for what isn't
 * exactly a socket.socket, for odd arguments, and in debug mode.
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
    bool running; /* within a step, or a try in the poll, which may call Python */
} SocketOp;

/* Whether nobody is within a step, and whether it isn't over yet; else the exception of Python's own
 * coroutines is set. */
bool sockop_is_idle(const SocketOp *self);
bool sockop_is_open(const SocketOp *self);

/* am_send: goes on until the next wait, or the end. */
PySendResult sockop_send(PyObject *op, PyObject *value, PyObject **result);

/* Ends it, and lets go of all that it has but the loop. */
void sockop_release(SocketOp *self);

/* loop._receive(sock, n), loop._receive_into(sock, buf), loop._send_all(sock, data): METH_FASTCALL */
PyObject *loop_py_receive(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *loop_py_receive_into(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *loop_py_send_all(PyObject *op, PyObject *const *args, Py_ssize_t nargs);

/* Creates the type and imports what it needs. 0, or -1 with an exception set. */
int sockop_setup(PyObject *module, LoopState *st);
int sockop_traverse(LoopState *st, visitproc visit, void *arg);
void sockop_clear(LoopState *st);

#endif
