/* The transports' part of the module's state: types, imports and interned strings. It is filled when the
 * module is imported, and released with the module.
 * Thread: any, with the GIL; changed only while the module is imported or released.
 */
#ifndef FLUVIAL_TRANSPORT_TRANSPORT_STATE_H
#define FLUVIAL_TRANSPORT_TRANSPORT_STATE_H

#include "base/py.h"

/* Indices into ReaderState of the functions of asyncio.streams that reader.c replaces. */
enum { READER_DATA_RECEIVED, READER_FEED_DATA, READER_WAKEUP_WAITER, READER_FUNCTIONS };

/* State for reader.c about asyncio's streams. Objects are owned. */
typedef struct ReaderState {
    PyObject *protocol_type; /* asyncio.StreamReaderProtocol */
    PyObject *reader_type;   /* asyncio.StreamReader */
    PyObject *names[READER_FUNCTIONS];
    PyObject *functions[READER_FUNCTIONS];     /* [0] NULL: they aren't asyncio's */
    unsigned protocol_version, reader_version; /* of the classes at the last check */
    bool plain; /* result of that check: both classes have `functions` */
    PyObject *str_stream_reader_wr; /* "_stream_reader_wr" */
    PyObject *str_buffer;           /* "_buffer" */
    PyObject *str_limit;            /* "_limit" */
    PyObject *str_eof;              /* "_eof" */
    PyObject *str_waiter;           /* "_waiter" */
    PyObject *str_cancelled;
    PyObject *str_set_result;
} ReaderState;

typedef struct TransportState {
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
    PyObject *str_control_app_writing; /* "_control_app_writing" */
    PyObject *str_control_ssl_reading; /* "_control_ssl_reading" */
    PyObject *str_call_eof_received;   /* "_call_eof_received" */
    PyObject *str_start_shutdown;      /* "_start_shutdown" */

    /* For transports over user descriptors; all owned. */
    PyTypeObject *endpoint_type;
    PyObject *str_begin;      /* "_begin" */
    PyObject *str_read_ready; /* "_read_ready" */
    PyObject *str_fileno;
    PyObject *str_datagram_received;
    PyObject *str_error_received;
    PyObject *str_sendto;
    ReaderState reader;
} TransportState;

/* The transports' part of the state of `module`; borrowed. Defined in module.c. */
TransportState *transport_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int transport_setup(PyObject *module, TransportState *st);
int transport_traverse(TransportState *st, visitproc visit, void *arg);
void transport_clear(TransportState *st);

#endif
