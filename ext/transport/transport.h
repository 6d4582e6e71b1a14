/* StreamTransport: a Stream as an asyncio.Transport. transport.c holds the state machine that
 * calls the protocol, transport_type.c what Python sees.
 *
 * The descriptor is libuv's. The Python socket object that it came from is kept for
 * get_extra_info("socket") and sendfile. When libuv closes the descriptor, the object is detached, or
 * closed if libuv has a duplicate. So no number is ever closed twice.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_TRANSPORT_TRANSPORT_H
#define FLUVIAL_TRANSPORT_TRANSPORT_H

#include "base/py.h"
#include "net/addr.h"
#include "transport/transport_state.h"
#include "net/stream.h"

#include <sys/types.h>

typedef enum TransportPhase {
    TRANSPORT_OPEN,
    TRANSPORT_FLUSHING, /* close() was called; what is queued is being written */
    TRANSPORT_LOSING,   /* connection_lost is scheduled */
    TRANSPORT_LOST, /* connection_lost was called; the stream is closed or closing */
} TransportPhase;

/* The fields before `stream` are those of asyncio's own classes, whose slots follow the object's
 * header; a check at import compares the sizes. */
typedef struct Transport {
    PyObject_HEAD
    PyObject *extra;    /* owned dict or NULL: BaseTransport's slot `_extra` */
    PyObject *mixin[4]; /* owned, NULL: _FlowControlMixin's slots, which aren't used */
    Stream stream;
    LoopRef held;       /* libuv's reference, while the stream is open or closing */
    TransportState *st; /* borrowed */
    TransportPhase state;
    bool paused;           /* pause_reading() was called */
    bool started;          /* reading may begin: connection_made was called */
    bool eof;              /* write_eof() was called */
    bool buffered;         /* the protocol is a BufferedProtocol */
    unsigned bulk;         /* bytes to offer to the next read; 0: the loop's buffer */
    bool tls;              /* the protocol is a Tls */
    bool reader;           /* reader_feed may be used for the protocol */
    bool protocol_paused;  /* pause_writing() was called */
    bool connected;        /* connection_lost must be called */
    int fd;                /* libuv's, hidden from Python; -1 once closed */
    NetAddr local, remote; /* AF_UNSPEC: not known, or in `extra` */
    Loop *loop;            /* owned */
    PyObject *protocol;    /* owned; None after connection_lost */
    PyObject
        *context;   /* owned: the contextvars.Context in which the protocol is called */
    PyObject *sock; /* owned or NULL: the basis of get_extra_info("socket") */
    ino_t inode;    /* of the connection, to recognise `sock`; 0 without `sock` */
    PyObject *server;  /* owned or NULL: asyncio.Server */
    PyObject *drained; /* owned or NULL: the future of _make_empty_waiter */
    Py_buffer
        view; /* the buffer from a BufferedProtocol's get_buffer; view.obj NULL: none */
    PyObject *weakrefs; /* CPython's */
} Transport;

/* Opens the stream on `fd`, a connected socket. 0, or -1 with an exception set: then the
 * descriptor stays the caller's. */
int transport_open(Transport *self, int fd);

/* A transport for `fd`, which a server has accepted from `peer` (AF_UNSPEC: to be looked up). Takes
 * ownership of `fd`, also on errors. Calls protocol.connection_made() at once. Must be called within
 * `context`. All objects are borrowed. A new reference, or NULL with an exception set. */
PyObject *transport_accepted(TransportState *st, Loop *loop, int fd,
                             const NetAddr *peer, PyObject *protocol, PyObject *context,
                             PyObject *server);

/* Calls connection_made(self). */
void transport_made(Transport *self);

/* close() and abort(); `exc` (borrowed, may be NULL or None) is for connection_lost. */
void transport_close(Transport *self);
void transport_force_close(Transport *self, PyObject *exc);

/* Reports the exception that is set as asyncio's transports do, and closes by force. */
void transport_fail(Transport *self, const char *message);

/* Starts or stops reading according to the state. */
void transport_update_reading(Transport *self);

/* Calls pause_writing() when too much is queued. */
void transport_check_high(Transport *self);

/* Calls connection_lost(exc) and closes the stream. -1 when the protocol raised. */
int transport_lose(Transport *self, PyObject *exc);

/* Closes the stream and releases the socket. */
void transport_shut(Transport *self);

/* Issues the ResourceWarning for a transport that nobody closed. */
void transport_warn_unclosed(Transport *self);

bool transport_is_closing(const Transport *self);
/* Whether writes are accepted. As in asyncio, this also holds while a closed transport still has bytes
 * queued: asyncio's sslproto sends close_notify then. */
bool transport_is_writable(const Transport *self);

/* protocol.<name>(arg) in the transport's context; without an argument when `arg` is NULL. All
 * borrowed. */
PyObject *transport_call(Transport *self, PyObject *name, PyObject *arg);

static inline Transport *
transport_of(Stream *s)
{
    return container_of(s, Transport, stream);
}

/* ---- transport_read.c: functions for StreamOps -------------------------------------------- */

void transport_on_alloc(Stream *s, uv_buf_t *buf);
void transport_on_data(Stream *s, Slice data);
void transport_on_eof(Stream *s);

/* ---- transport_info.c --------------------------------------------------------------------- */

/* Reads the addresses of `fd` for get_extra_info(); the peer's only if `remote` isn't set. 0, or -1
 * with an exception set. */
int transport_learn_names(Transport *self, int fd);

PyObject *transport_py_get_extra_info(PyObject *op, PyObject *args, PyObject *kwargs);
/* Keeps `sock` (stolen), which has its own descriptor for the connection. */
void transport_keep_socket(Transport *self, PyObject *sock);

/* Whether a descriptor still belongs to the connection: it may have been closed and reused. */
PyObject *transport_py_owns(PyObject *op, PyObject *number);
/* A duplicate of the descriptor, for Python. The caller owns it. */
PyObject *transport_py_dup(PyObject *op, PyObject *ignored);

/* ---- transport_write.c: methods ----------------------------------------------------------- */

PyObject *transport_py_write(PyObject *op, PyObject *arg);
PyObject *transport_py_writelines(PyObject *op, PyObject *arg);
PyObject *transport_py_write_eof(PyObject *op, PyObject *arg);
PyObject *transport_py_can_write_eof(PyObject *op, PyObject *arg);
PyObject *transport_py_get_write_buffer_size(PyObject *op, PyObject *arg);
PyObject *transport_py_get_write_buffer_limits(PyObject *op, PyObject *arg);
PyObject *transport_py_set_write_buffer_limits(PyObject *op, PyObject *args,
                                               PyObject *kwargs);

int transport_type_setup(PyObject *module, TransportState *st);

#endif
