/* Acceptor: accepts the connections of a listening socket and creates a transport and a protocol for
 * each. The socket is the user's. It is watched in the loop's own epoll set, not in libuv's.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_TRANSPORT_ACCEPTOR_H
#define FLUVIAL_TRANSPORT_ACCEPTOR_H

#include "base/py.h"
#include "transport/transport_state.h"

int acceptor_setup(PyObject *module, TransportState *st);

#endif
