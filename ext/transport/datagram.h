/* DatagramTransport: a UDP or Unix datagram socket as an asyncio.DatagramTransport, with our own
 * recvmmsg and sendto. datagram.c receives and sends; datagram_type.c has the Python methods. The
 * Python socket object keeps ownership of the socket.
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
    bool connected; /* the socket is connected to a peer */
    bool
        addr_ignored; /* the peer has a name: sendto()'s address is ignored, as in asyncio */
    PyObject *remote; /* owned or NULL: the only address that sendto() accepts */
    PyObject *from; /* owned or NULL: the last datagram's sender, as a Python object */
    SockAddr from_addr;  /* the same for the kernel */
    socklen_t from_size; /* bytes of from_addr in use */
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
