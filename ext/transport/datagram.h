/* DatagramTransport: a UDP or Unix datagram socket as an asyncio.DatagramTransport, with our own
 * recvmmsg and sendto. datagram.c receives and sends, datagram_type.c is what Python sees. The
 * socket stays the Python object's.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_TRANSPORT_DATAGRAM_H
#define FLUVIAL_TRANSPORT_DATAGRAM_H

#include "base/py.h"
#include "transport/endpoint.h"
#include "transport/pyaddr.h"

typedef struct Datagram {
    Endpoint base;
    int family;     /* AF_INET, AF_INET6 or AF_UNIX */
    bool connected; /* the kernel knows where to */
    bool
        addr_ignored; /* it is connected to a name: as asyncio, sendto's address is ignored */
    PyObject *remote;   /* owned or NULL: the only address that sendto takes */
    PyObject *from;     /* owned or NULL: the last datagram's sender as Python has it */
    SockAddr from_addr; /* the same as the kernel has it */
    socklen_t from_size; /* bytes of it in use */
} Datagram;

typedef enum SendResult {
    SEND_DONE,
    SEND_BLOCKED,
    SEND_FAILED, /* with an exception set */
} SendResult;

/* Sends `data` (borrowed, bytes-like) to `addr` (borrowed; NULL or None: the peer). */
SendResult datagram_send(Datagram *self, PyObject *data, PyObject *addr);

extern const EndpointOps datagram_ops;

int datagram_setup(PyObject *module);

#endif
