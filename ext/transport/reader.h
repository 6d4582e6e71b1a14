/* asyncio's streams without their Python on the way in: what StreamReaderProtocol.data_received() and
 * StreamReader.feed_data() do, done in C on the reader's own attributes (ADR 15). Only as long as
 * both classes, and the two objects, are as asyncio made them. All objects are borrowed.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_TRANSPORT_READER_H
#define FLUVIAL_TRANSPORT_READER_H

#include "base/py.h"
#include "base/slice.h"
#include "transport/transport_state.h"

/* Whether reader_feed may be called for `protocol`: neither it nor its reader has methods of its
 * own. To be asked once. Never fails. */
bool reader_check(TransportState *st, PyObject *protocol);

typedef enum ReaderFed {
    READER_FAILED,  /* an exception is set, as data_received() would have raised */
    READER_REFUSED, /* nothing was done: the case is for data_received() */
    READER_FED,
} ReaderFed;

/* Does what protocol.data_received(data) would. Any memory is good for `data`. */
ReaderFed reader_feed(TransportState *st, PyObject *protocol, Slice data);

/* 0, or -1 with an exception set. */
int reader_setup(TransportState *st);
int reader_traverse(TransportState *st, visitproc visit, void *arg);
void reader_clear(TransportState *st);

#endif
