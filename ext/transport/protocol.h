/* What all kinds of transports share in calling their asyncio protocols. Each kind delivers data in its own
 * way. All objects are borrowed.
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

/* Calls the method `name` of the protocol argv[0], in `context`, and reports it if it is slow in debug mode.
 * Returns a new reference, or NULL with an exception set. */
PyObject *protocol_call(Loop *loop, PyObject *context, PyObject *name, PyObject **argv,
                        size_t nargs);

/* Passes the exception that is set to loop.<method>(transport, protocol, message, exception), which logs
 * it. Returns the exception, a new reference; NULL if it is one that leaves the loop (SystemExit or
 * KeyboardInterrupt). */
PyObject *protocol_failed(Loop *loop, const char *method, PyObject *transport,
                          PyObject *protocol, const char *message);

/* The same by loop._protocol_failed, for a failure that closes nothing. */
void protocol_report(Loop *loop, PyObject *transport, PyObject *protocol,
                     const char *message);

/* Calls protocol.pause_writing() when too much is queued, and reports its failure. */
void protocol_pause(const TransportState *st, Loop *loop, PyObject *transport,
                    PyObject *protocol);
/* The same for resume_writing(), in `context`. */
void protocol_resume(const TransportState *st, Loop *loop, PyObject *context,
                     PyObject *transport, PyObject *protocol);

#endif
