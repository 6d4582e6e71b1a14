/* TlsProtocol: TLS for asyncio as far as nothing goes wrong, as a base of `fluvial._loop.tls.SSLProtocol`
 * (pysrc/fluvial/_loop/tls.py), whose other base is asyncio's own SSLProtocol: what fails, debug mode and
 * limits are asyncio's code. asyncio_tls.c has what happens per record, asyncio_tls_steps.c what happens once per
 * connection.
 *
 * OpenSSL is never called (ADR 13): Python's ssl module may be linked with another than ours. Records go
 * through its SSLObject and MemoryBIOs. The fields that asyncio's code reads and writes, too,
 * are members under asyncio's names, so that there is one truth.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_TRANSPORT_ASYNCIO_TLS_H
#define FLUVIAL_TRANSPORT_ASYNCIO_TLS_H

#include "base/py.h"
#include "base/slice.h"
#include "transport/transport_state.h"

/* All objects are owned; NULL reads as None. */
typedef struct Tls {
    PyObject_HEAD
    TransportState *st; /* borrowed: the type holds the module that owns it */
    PyObject *state;    /* _state: a member of asyncio.sslproto.SSLProtocolState */
    PyObject *incoming; /* _incoming: ssl.MemoryBIO, what the peer sent */
    PyObject *outgoing; /* _outgoing: ssl.MemoryBIO, what is to be sent */
    PyObject *records; /* _records: has an ssl.SSLObject's read(), write(), pending() */
    PyObject *transport;    /* _transport: the one below */
    PyObject *app_protocol; /* _app_protocol: the one above */
    PyObject *loop;         /* _loop */
    PyObject *app_state; /* _app_state: a member of asyncio.sslproto.AppProtocolState */
    PyObject *app_transport; /* _app_transport: what the application writes to */
    PyObject *waiter; /* _waiter: asyncio.Future, of who waits for the handshake */
    PyObject *handshake_limit; /* _ssl_handshake_timeout, in seconds */
    PyObject *shutdown_limit;  /* _ssl_shutdown_timeout, in seconds */
    PyObject *handshake_timer; /* _handshake_timeout_handle */
    PyObject *shutdown_timer;  /* _shutdown_timeout_handle */
    bool server_side;          /* _server_side */
    bool eof_received;  /* _eof_received: the transport below has come to its end */
    bool app_buffered;  /* _app_protocol_is_buffer */
    bool app_paused;    /* _app_reading_paused */
    bool app_choked;    /* _app_writing_paused: pause_writing() was called */
    bool below_paused;  /* _ssl_reading_paused: the transport below doesn't read */
    bool below_choked;  /* _ssl_writing_paused: the transport below has enough */
    Py_ssize_t backlog; /* _write_buffer_size: bytes in asyncio's _write_backlog */
    Py_ssize_t read_high, read_low;   /* _incoming_{high,low}_water, in bytes */
    Py_ssize_t write_high, write_low; /* _outgoing_{high,low}_water, in bytes */
} Tls;

/* 0; or -1 with RuntimeError set for one that was made by __new__ alone, or that the garbage
 * collector has cleared. tls_feed looks itself. */
int tls_check_ready(Tls *self);

/* Takes what the transport below has read. `data` is valid during the call. 0, or -1 with an
 * exception set, which is one that asyncio's SSLProtocol lets pass, too. */
int tls_feed(Tls *self, Slice data);

/* asyncio's _do_read(): gives the application what can be decrypted. The result as above. */
int tls_read(Tls *self);

/* asyncio's _process_outgoing(): gives the transport below what is encrypted. 0 or -1. */
int tls_flush(Tls *self);

/* transport.write(data) of the application; `data` is borrowed. 0 or -1. */
int tls_write(Tls *self, PyObject *data);

/* Whether `protocol` (borrowed) is one. */
static inline bool
tls_check(TransportState *st, PyObject *protocol)
{
    return PyObject_TypeCheck(protocol, st->tls_type);
}

/* A MemoryBIO's `pending` in bytes, of `incoming`; -1 with an exception set. */
Py_ssize_t tls_incoming(Tls *self);

/* What can be read without waiting: whole and begun records, and the rest of one that was
 * read in part. In bytes; -1 with an exception set. */
Py_ssize_t tls_unread(Tls *self);

/* ---- asyncio_tls_steps.c: all return 0, or -1 with an exception set --------------------------------- */

/* asyncio's connection_made(). */
int tls_begin(Tls *self, PyObject *transport);
/* asyncio's methods of these names: _set_state, _do_handshake, _do_flush, _do_shutdown,
 * _start_shutdown, _call_eof_received. */
int tls_set_state(Tls *self, PyObject *state);
int tls_handshake(Tls *self);
int tls_flush_and_shut(Tls *self);
int tls_shut_down(Tls *self);
int tls_start_shutdown(Tls *self);
int tls_call_eof_received(Tls *self);
/* Goes on with handshake or shutdown: bytes have come. */
int tls_step(Tls *self);
/* METH_NOARGS */
PyObject *tls_py_eof_received(PyObject *op, PyObject *ignored);

/* ---- asyncio_tls_state.c ------------------------------------------------------------------------------ */

/* Fills TransportState's fields for TLS in. 0, or -1 with an exception set. */
int tls_state_setup(TransportState *st);
int tls_steps_traverse(TlsSteps *st, visitproc visit, void *arg);
void tls_steps_clear(TlsSteps *st);

int tls_setup(PyObject *module, TransportState *st);

#endif
