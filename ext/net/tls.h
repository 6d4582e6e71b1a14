/* TlsProtocol: what happens per record in TLS for asyncio, as a base of `fluvial._loop_tls.SSLProtocol`
 * (pysrc/fluvial/_loop_tls.py), whose other base is asyncio's own SSLProtocol: handshake,
 * shutdown, time limits and errors are asyncio's code. The loop's thread, under the GIL.
 *
 * OpenSSL is never called: Python's ssl module may be linked with another than ours. Records go
 * through its SSLObject and MemoryBIOs. The fields that asyncio's code reads and writes, too,
 * are members under asyncio's names, so that there is one truth.
 */
#ifndef FLUVIAL_NET_TLS_H
#define FLUVIAL_NET_TLS_H

#include "base/py.h"
#include "base/slice.h"
#include "net/net_state.h"

/* All objects are owned; NULL reads as None. */
typedef struct Tls {
    PyObject_HEAD
    NetState *st;       /* borrowed: the type holds the module that owns it */
    PyObject *state;    /* _state: a member of asyncio.sslproto.SSLProtocolState */
    PyObject *incoming; /* _incoming: ssl.MemoryBIO, what the peer sent */
    PyObject *outgoing; /* _outgoing: ssl.MemoryBIO, what is to be sent */
    PyObject *records; /* _records: has an ssl.SSLObject's read(), write(), pending() */
    PyObject *transport;    /* _transport: the one below */
    PyObject *app_protocol; /* _app_protocol: the one above */
    bool app_buffered;      /* _app_protocol_is_buffer */
    bool app_paused;        /* _app_reading_paused */
    bool app_choked;        /* _app_writing_paused: pause_writing() was called */
    bool below_paused;      /* _ssl_reading_paused: the transport below doesn't read */
    bool below_choked;      /* _ssl_writing_paused: the transport below has enough */
    Py_ssize_t backlog;     /* _write_buffer_size: bytes in asyncio's _write_backlog */
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
tls_check(NetState *st, PyObject *protocol)
{
    return PyObject_TypeCheck(protocol, st->tls_type);
}

int tls_setup(PyObject *module, NetState *st);

#endif
