/* ReadPipeTransport and WritePipeTransport: one direction of a pipe, socket or character device
 * (a terminal) as asyncio's transports. See endpoint.h.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_TRANSPORT_PIPE_H
#define FLUVIAL_TRANSPORT_PIPE_H

#include "base/py.h"

int pipe_setup(PyObject *module);

#endif
