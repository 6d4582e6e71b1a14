/* The receiving side of asyncio's streams in C: does what StreamReaderProtocol.data_received() and
 * StreamReader.feed_data() do, on the reader's own attributes (ADR 15). It is used only as long as both
 * classes and both objects are unmodified. All objects are borrowed.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_TRANSPORT_READER_H
#define FLUVIAL_TRANSPORT_READER_H

#include "base/py.h"
#include "base/slice.h"
#include "transport/transport_state.h"

/* Whether reader_feed may be called for `protocol`: neither it nor its reader overrides the methods.
 * Called once per protocol. Never fails. */
bool reader_check(TransportState *st, PyObject *protocol);

typedef enum ReaderFed {
    READER_FAILED, /* an exception is set, which data_received() would have raised, too */
    READER_REFUSED, /* nothing was done: call data_received() */
    READER_FED,
} ReaderFed;

/* Does what protocol.data_received(data) would do. `data` is copied. */
ReaderFed reader_feed(TransportState *st, PyObject *protocol, Slice data);

/* 0, or -1 with an exception set. */
int reader_setup(TransportState *st);
int reader_traverse(TransportState *st, visitproc visit, void *arg);
void reader_clear(TransportState *st);

#endif
