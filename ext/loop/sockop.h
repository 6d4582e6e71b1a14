/* What is behind loop.sock_recv(), sock_recv_into() and sock_sendall() (_loop_sock_ops.py). Each
 * method here returns something to await: a SocketOp, or asyncio's own coroutine for what isn't
 * exactly a socket.socket, for odd arguments, and in debug mode. The loop's thread, under the GIL.
 */
#ifndef FLUVIAL_LOOP_SOCKOP_H
#define FLUVIAL_LOOP_SOCKOP_H

#include "base/py.h"
#include "loop/loop_state.h"

/* loop._receive(sock, n), loop._receive_into(sock, buf), loop._send_all(sock, data): METH_FASTCALL */
PyObject *loop_py_receive(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *loop_py_receive_into(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *loop_py_send_all(PyObject *op, PyObject *const *args, Py_ssize_t nargs);

/* Creates the type and imports what it needs. 0, or -1 with an exception set. */
int sockop_setup(PyObject *module, LoopState *st);
int sockop_traverse(LoopState *st, visitproc visit, void *arg);
void sockop_clear(LoopState *st);

#endif
