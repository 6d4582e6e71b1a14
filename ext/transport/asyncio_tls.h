/* TlsProtocol: what TLS for asyncio does per record. It is a base of `fluvial._loop.tls.SSLProtocol`
 * (pysrc/fluvial/_loop/tls.py), whose other base is asyncio's own SSLProtocol. These have the rest in
 * Python: the steps of handshake and shutdown, failures, limits.
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
    bool app_buffered;      /* _app_protocol_is_buffer */
    bool app_paused;        /* _app_reading_paused */
    bool app_choked;        /* _app_writing_paused: pause_writing() was called */
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

int tls_setup(PyObject *module, TransportState *st);

#endif
