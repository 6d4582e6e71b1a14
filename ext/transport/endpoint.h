/* The common part of datagram and pipe transports: an asyncio transport over a descriptor that a Python
 * file (a socket, a pipe) still owns. It is watched in the loop's set of user descriptors. endpoint.c
 * has the state machine, endpoint_type.c the common methods. datagram.c and pipe.c handle a descriptor
 * that is ready. ADR 8 explains why these aren't libuv handles.
 *
 * Other owners may close the file at any time. So file.fileno() is called before each use, and nothing is
 * ever read from or written to a number that has been reused for another file.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_TRANSPORT_ENDPOINT_H
#define FLUVIAL_TRANSPORT_ENDPOINT_H

#include "base/py.h"
#include "loop/loop.h"
#include "transport/transport_state.h"
#include "transport/pieces.h"

typedef enum EndpointState {
    ENDPOINT_OPEN,
    ENDPOINT_FLUSHING, /* close() was called; what is queued is being written */
    ENDPOINT_LOSING,   /* connection_lost is scheduled */
    ENDPOINT_LOST, /* connection_lost was called and the file closed; or not initialised */
} EndpointState;

typedef struct EndpointOps {
    FdReady on_readable;
    FdReady on_writable;         /* NULL: never queues anything */
    bool watched_while_flushing; /* on_readable is also called in ENDPOINT_FLUSHING */
} EndpointOps;

/* `extra` is asyncio.BaseTransport's only slot, which follows the object's header; a check at
 * import compares the sizes. */
typedef struct Endpoint {
    PyObject_HEAD
    PyObject *extra;        /* owned dict: BaseTransport's slot `_extra` */
    TransportState *st;     /* borrowed */
    const EndpointOps *ops; /* static; NULL before it is initialised */
    EndpointState state;
    bool started; /* reading may begin: connection_made was called */
    bool paused;  /* pause_reading() was called */
    bool
        unwatched; /* never watched for reading: a character device that is only written */
    bool reading;      /* the loop watches the descriptor for reading */
    bool writing;      /* the loop watches the descriptor for writing */
    bool always_ready; /* a file that can't be watched: it is read once per iteration */
    bool read_scheduled;  /* the next read of such a file is scheduled */
    bool protocol_paused; /* pause_writing() was called */
    int fd;               /* the file's descriptor, as the loop watches it */
    Loop *loop;           /* owned; NULL before it is initialised */
    PyObject
        *file; /* owned: socket.socket or a file; None once closed; users may set it */
    PyObject *fileno;   /* owned or NULL: file.fileno */
    PyObject *protocol; /* owned; None after connection_lost */
    PyObject
        *context; /* owned: the contextvars.Context in which the protocol is called */
    PyObject *weakrefs; /* CPython's */
    PyObject *dict;     /* CPython's: attributes that users set; owned or NULL */
    Pieces queue;
    size_t low, high; /* bytes: limits of the queue */
} Endpoint;

/* Initialises a new endpoint. `extra` is copied for get_extra_info(). All objects are borrowed. 0, or -1
 * with an exception set. */
int endpoint_open(Endpoint *self, const EndpointOps *ops, PyObject *loop,
                  PyObject *file, PyObject *protocol, PyObject *extra);

/* Schedules protocol.connection_made(self), and then the start of reading and the wake-up of
 * `waiter` (borrowed, may be None). 0, or -1 with an exception set: it is closed then. */
int endpoint_start(Endpoint *self, PyObject *waiter);

/* Calls protocol.<name>(arg, arg2) in the transport's context, with as many arguments as aren't NULL.
 * All objects are borrowed. */
PyObject *endpoint_call(Endpoint *self, PyObject *name, PyObject *arg, PyObject *arg2);

/* Whether the file still has its original descriptor: 0. Otherwise -1 with OSError set, or with the
 * SystemExit or KeyboardInterrupt that fileno() has raised. */
int endpoint_check_fd(Endpoint *self);

/* Reports the exception that is set as raised by the protocol. Closes nothing. */
void endpoint_report(Endpoint *self, const char *message);

/* Reports the exception that is set (an OSError only in debug mode), and closes by force. */
void endpoint_fail(Endpoint *self, const char *message);

/* Starts or stops watching the descriptor according to the state. */
void endpoint_update(Endpoint *self);

/* Queues what couldn't be written (see pieces_append). 0, or -1 with an exception set. */
int endpoint_queue(Endpoint *self, PyObject *data, size_t sent, PyObject *addr);

/* Must be called after a part of the queue was written. Calls resume_writing() when due, and continues
 * closing when the queue is empty. */
void endpoint_wrote(Endpoint *self);

/* Calls pause_writing() when too much is queued. */
void endpoint_check_high(Endpoint *self);

/* close() and abort(); `exc` (borrowed, may be NULL or None) is for connection_lost. */
void endpoint_close(Endpoint *self);
void endpoint_force_close(Endpoint *self, PyObject *exc);

/* Calls connection_lost(exc) and closes the file. -1 when the protocol raised. */
int endpoint_lose(Endpoint *self, PyObject *exc);

/* Closes the file without calling connection_lost. */
void endpoint_shut(Endpoint *self);

static inline bool
endpoint_is_reading(const Endpoint *self)
{
    return !self->paused && self->state == ENDPOINT_OPEN;
}

/* ---- endpoint_type.c: the base type, and methods that are not in every type ---------------- */

/* For types with their own fields. A dealloc calls _begin (false: the object was resurrected), releases its
 * own fields, and calls _end. */
int endpoint_traverse(PyObject *op, visitproc visit, void *arg);
int endpoint_clear(PyObject *op);
bool endpoint_dealloc_begin(PyObject *op);
void endpoint_dealloc_end(PyObject *op);
void endpoint_dealloc(PyObject *op);

PyObject *endpoint_py_read_ready(PyObject *op, PyObject *ignored);
PyObject *endpoint_py_pause_reading(PyObject *op, PyObject *ignored);
PyObject *endpoint_py_resume_reading(PyObject *op, PyObject *ignored);
PyObject *endpoint_py_is_reading(PyObject *op, PyObject *ignored);
PyObject *endpoint_py_get_write_buffer_size(PyObject *op, PyObject *ignored);
PyObject *endpoint_py_get_write_buffer_limits(PyObject *op, PyObject *ignored);
PyObject *endpoint_py_set_write_buffer_limits(PyObject *op, PyObject *args,
                                              PyObject *kwargs);
PyObject *endpoint_py_abort(PyObject *op, PyObject *ignored);

/* Creates the base type. 0, or -1 with an exception set. */
int endpoint_setup(PyObject *module, TransportState *st);

/* Creates a type that derives from it, from asyncio.<base>, and from asyncio.<other> (unless
 * NULL), and adds it to the module. 0, or -1 with an exception set. */
int endpoint_add_type(PyObject *module, PyType_Spec *spec, const char *base,
                      const char *other);

#endif
