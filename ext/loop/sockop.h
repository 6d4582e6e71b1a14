/* loop.sock_recv(), sock_recv_into() and sock_sendall() in C. Each returns a SocketOp, which
 * behaves as a coroutine: it does nothing before it is awaited. What isn't exactly a
 * socket.socket, odd arguments, and debug mode are asyncio's own methods' business. The loop's
 * thread, under the GIL.
 */
#ifndef FLUVIAL_LOOP_SOCKOP_H
#define FLUVIAL_LOOP_SOCKOP_H

#include "base/py.h"
#include "loop/loop_state.h"

/* METH_FASTCALL | METH_KEYWORDS */
PyObject *loop_py_sock_recv(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);
PyObject *loop_py_sock_recv_into(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames);
PyObject *loop_py_sock_sendall(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames);

/* Creates the type and imports what it needs. 0, or -1 with an exception set. */
int sockop_setup(PyObject *module, LoopState *st);
int sockop_traverse(LoopState *st, visitproc visit, void *arg);
void sockop_clear(LoopState *st);

#endif
