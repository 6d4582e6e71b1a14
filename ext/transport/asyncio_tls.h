/* TlsProtocol: the usual course of TLS for asyncio. It is a base of `fluvial._loop.tls.SSLProtocol`
 * (pysrc/fluvial/_loop/tls.py), whose other base is asyncio's own SSLProtocol. Failures, debug mode and
 * limits are left to asyncio's code. asyncio_tls.c does what happens per record, asyncio_tls_steps.c what
 * happens once per connection.
 *
 * OpenSSL is never called directly (ADR 13), because Python's ssl module may be linked with a different
 * version than we are. Records go through its SSLObject and MemoryBIOs. Fields that asyncio's code also
 * reads and writes are members under asyncio's names, so that each value exists only once.
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
    PyObject *incoming; /* _incoming: ssl.MemoryBIO, bytes from the peer */
    PyObject *outgoing; /* _outgoing: ssl.MemoryBIO, bytes to be sent */
    PyObject *records; /* _records: has an ssl.SSLObject's read(), write(), pending() */
    PyObject *transport;    /* _transport: the transport below */
    PyObject *app_protocol; /* _app_protocol: the application's protocol above */
    PyObject *loop;         /* _loop */
    PyObject *app_state; /* _app_state: a member of asyncio.sslproto.AppProtocolState */
    PyObject *app_transport; /* _app_transport: what the application writes to */
    PyObject *waiter; /* _waiter: asyncio.Future that is done after the handshake */
    PyObject *handshake_limit; /* _ssl_handshake_timeout, in seconds */
    PyObject *shutdown_limit;  /* _ssl_shutdown_timeout, in seconds */
    PyObject *handshake_timer; /* _handshake_timeout_handle */
    PyObject *shutdown_timer;  /* _shutdown_timeout_handle */
    bool server_side;          /* _server_side */
    bool eof_received; /* _eof_received: the transport below has reached its end */
    bool app_buffered; /* _app_protocol_is_buffer */
    bool app_paused;   /* _app_reading_paused */
    bool app_choked;   /* _app_writing_paused: pause_writing() was called */
    bool
        below_paused; /* _ssl_reading_paused: reading from the transport below is paused */
    bool below_choked;  /* _ssl_writing_paused: writing to it is paused */
    Py_ssize_t backlog; /* _write_buffer_size: bytes in asyncio's _write_backlog */
    Py_ssize_t read_high, read_low;   /* _incoming_{high,low}_water, in bytes */
    Py_ssize_t write_high, write_low; /* _outgoing_{high,low}_water, in bytes */
} Tls;

/* 0; -1 with RuntimeError set for an object that was created by __new__ without __init__, or that the
 * garbage collector has cleared. tls_feed calls it itself. */
int tls_check_ready(Tls *self);

/* Handles bytes that the transport below has read. `data` is valid during the call. 0, or -1 with an
 * exception set, which asyncio's SSLProtocol would also raise. */
int tls_feed(Tls *self, Slice data);

/* asyncio's _do_read(): passes what can be decrypted to the application. The result is as for
 * tls_feed. */
int tls_read(Tls *self);

/* asyncio's _process_outgoing(): passes encrypted bytes to the transport below. 0 or -1. */
int tls_flush(Tls *self);

/* transport.write(data) of the application; `data` is borrowed. 0 or -1. */
int tls_write(Tls *self, PyObject *data);

/* Whether `protocol` (borrowed) is a Tls. */
static inline bool
tls_check(TransportState *st, PyObject *protocol)
{
    return PyObject_TypeCheck(protocol, st->tls_type);
}

/* The bytes pending in `incoming`; -1 with an exception set. */
Py_ssize_t tls_incoming(Tls *self);

/* The bytes that can be read without waiting: whole and incomplete records, and the rest of a record that
 * was read in part. -1 with an exception set. */
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
/* Continues the handshake or the shutdown after bytes have arrived. */
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
