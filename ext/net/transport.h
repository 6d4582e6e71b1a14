/* StreamTransport: a Stream as an asyncio.Transport. transport.c holds the state machine that
 * calls the protocol, transport_type.c what Python sees. The loop's thread, under the GIL.
 *
 * The descriptor is libuv's. The Python socket object that it came from is kept for
 * get_extra_info("socket") and sendfile, and is detached (or closed, when libuv has a duplicate)
 * in the moment in which libuv closes, so that no number is ever closed twice.
 */
#ifndef FLUVIAL_NET_TRANSPORT_H
#define FLUVIAL_NET_TRANSPORT_H

#include "base/py.h"
#include "net/net_state.h"
#include "net/stream.h"

typedef enum TransportState {
    TRANSPORT_OPEN,
    TRANSPORT_FLUSHING, /* close() was called; what is queued is being written */
    TRANSPORT_LOSING,   /* connection_lost is scheduled */
    TRANSPORT_LOST,     /* it was called; the stream is closed or closing */
} TransportState;

/* The fields before `stream` are those of asyncio's own classes, whose slots follow the object's
 * header; a check at import compares the sizes. */
typedef struct Transport {
    PyObject_HEAD
    PyObject *extra; /* owned dict: BaseTransport's slot `_extra` */
    PyObject
        *mixin[4]; /* owned, NULL: _FlowControlMixin's slots, of which we need none */
    Stream stream;
    NetState *st; /* borrowed */
    TransportState state;
    bool paused;          /* pause_reading() was called */
    bool started;         /* reading may begin: connection_made was called */
    bool eof;             /* write_eof() was called */
    bool buffered;        /* the protocol is a BufferedProtocol */
    bool tls;             /* the protocol is a Tls */
    bool protocol_paused; /* pause_writing() was called */
    bool connected;       /* the protocol is to hear of connection_lost */
    bool lent;            /* `sock` has a descriptor of its own */
    int fd;               /* libuv's, the key in the loop's table; -1 once closed */
    Loop *loop;           /* owned */
    PyObject *protocol;   /* owned; None after connection_lost */
    PyObject
        *context;   /* owned: the contextvars.Context in which the protocol is called */
    PyObject *sock; /* owned: socket.socket */
    PyObject *server;  /* owned or NULL: asyncio.Server */
    PyObject *drained; /* owned or NULL: the future of _make_empty_waiter */
    Py_buffer
        view; /* what a BufferedProtocol's get_buffer gave; view.obj NULL: nothing */
    PyObject *weakrefs; /* CPython's */
} Transport;

/* Opens the stream on `fd`, a connected socket. 0, or -1 with an exception set: then the
 * descriptor stays the caller's. */
int transport_open(Transport *self, int fd, bool is_unix);

/* close() and abort(); `exc` (borrowed, may be NULL or None) is for connection_lost. */
void transport_close(Transport *self);
void transport_force_close(Transport *self, PyObject *exc);

/* Reports the exception that is set as asyncio's transports do, and closes by force. */
void transport_fail(Transport *self, const char *message);

/* Starts or stops reading as the state says. */
void transport_update_reading(Transport *self);

/* Calls pause_writing() when too much is queued. */
void transport_check_high(Transport *self);

/* Calls connection_lost(exc) and closes the stream. -1 when the protocol raised. */
int transport_lose(Transport *self, PyObject *exc);

/* Closes the stream and lets go of the socket. */
void transport_shut(Transport *self);

/* The ResourceWarning for a transport that nobody closed. */
void transport_warn_unclosed(Transport *self);

bool transport_is_closing(const Transport *self);
/* Whether writes are taken. They are while a closed transport still has something queued, as
 * in asyncio: its sslproto sends close_notify then. */
bool transport_is_writable(const Transport *self);

/* ---- transport_write.c: methods ----------------------------------------------------------- */

PyObject *transport_py_write(PyObject *op, PyObject *arg);
PyObject *transport_py_writelines(PyObject *op, PyObject *arg);
PyObject *transport_py_write_eof(PyObject *op, PyObject *arg);
PyObject *transport_py_can_write_eof(PyObject *op, PyObject *arg);
PyObject *transport_py_get_write_buffer_size(PyObject *op, PyObject *arg);
PyObject *transport_py_get_write_buffer_limits(PyObject *op, PyObject *arg);
PyObject *transport_py_set_write_buffer_limits(PyObject *op, PyObject *args,
                                               PyObject *kwargs);

int transport_setup(PyObject *module, NetState *st);

#endif
