/* What all kinds of transports do with their asyncio protocols once or when something fails. The
 * calls that bring data are each kind's own. All objects are borrowed.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_TRANSPORT_PROTOCOL_H
#define FLUVIAL_TRANSPORT_PROTOCOL_H

#include "base/py.h"
#include "loop/loop.h"
#include "transport/transport_state.h"

/* Schedules protocol.connection_made(transport), then transport._begin(waiter), in `context`.
 * 0, or -1 with an exception set. */
int protocol_begin(const TransportState *st, Loop *loop, PyObject *transport,
                   PyObject *protocol, PyObject *context, PyObject *waiter);

/* Hands the exception that is set to loop.<method>(transport, protocol, message, exception), which
 * logs it, and returns it: a new reference. NULL when it is one that leaves the loop. */
PyObject *protocol_failed(Loop *loop, const char *method, PyObject *transport,
                          PyObject *protocol, const char *message);

#endif
