/* The net layer's share of the module's state: its types, imports and interned strings. Made
 * when the module is imported, read by all files of the layer, released with the module.
 */
#ifndef FLUVIAL_NET_NET_STATE_H
#define FLUVIAL_NET_NET_STATE_H

#include "base/py.h"

typedef struct NetState {
    PyObject *module; /* borrowed: the module that owns this state */

    /* For asyncio transports; all owned. */
    PyTypeObject *transport_type;
    PyTypeObject *acceptor_type;
    PyObject *transport_socket;  /* asyncio.trsock.TransportSocket */
    PyObject *asyncio_transport; /* asyncio's _FlowControlMixin, a Transport */
    PyObject *buffered_protocol; /* asyncio.BufferedProtocol */
    PyObject *empty_bytes;
    PyObject *str_call_connection_lost; /* "_call_connection_lost" */
    PyObject *str_data_received;
    PyObject *str_get_buffer;
    PyObject *str_buffer_updated;
    PyObject *str_eof_received;
    PyObject *str_connection_made;
    PyObject *str_connection_lost;
    PyObject *str_pause_writing;
    PyObject *str_resume_writing;
    PyObject *str_close;
    PyObject *str_socket;
    PyObject *str_sockname;
    PyObject *str_peername;
    PyObject *str_join;

    /* For TLS of asyncio transports; all owned. */
    PyTypeObject *tls_type;
    PyObject *tls_wrapped;  /* asyncio.sslproto.SSLProtocolState.WRAPPED */
    PyObject *tls_flushing; /* and FLUSHING */
    PyObject *tls_again;    /* tuple: the exceptions of ssl that ask for more data */
    PyObject *record_max;   /* int: bytes of plaintext in one record */
    PyObject *str_read;
    PyObject *str_write;
    PyObject *str_pending;
    PyObject *str_do_write;            /* "_do_write" */
    PyObject *str_write_appdata;       /* "_write_appdata" */
    PyObject *str_call_eof_received;   /* "_call_eof_received" */
    PyObject *str_start_shutdown;      /* "_start_shutdown" */
    PyObject *str_control_app_writing; /* "_control_app_writing" */
    PyObject *str_control_ssl_reading; /* "_control_ssl_reading" */
    /* For the server's own TLS; owned. */
    PyTypeObject *secure_type; /* SecureContext */
    /* For transports over user descriptors; all owned. */
    PyTypeObject *endpoint_type;
    PyObject *str_begin;      /* "_begin" */
    PyObject *str_read_ready; /* "_read_ready" */
    PyObject *str_fileno;
    PyObject *str_datagram_received;
    PyObject *str_error_received;
    PyObject *str_sendto;
} NetState;

/* The net layer's part of the state of `module`; borrowed. Defined in module.c. */
NetState *net_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int net_setup(PyObject *module, NetState *st);
int net_traverse(NetState *st, visitproc visit, void *arg);
void net_clear(NetState *st);

#endif
