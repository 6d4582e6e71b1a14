/* A thread that writes the lines of a log, so that nobody else waits for whoever reads them. The
 * thread never needs the GIL. Its owner hands lines over, and may leave it while it is stuck in a
 * write: the last one of the two frees.
 * Thread: the owner's; the writing thread is inside.
 */
#ifndef FLUVIAL_HTTP_LOG_WRITER_H
#define FLUVIAL_HTTP_LOG_WRITER_H

#include "base/py.h"
#include "base/buf.h"

typedef struct LogWriter LogWriter;

/* Writes to a copy of the descriptor `fd`; the thread starts with the first lines. NULL when the
 * system has no more memory or descriptors. */
LogWriter *log_writer_new(int fd);
/* Takes the lines over; `lines` is empty afterwards, but when the memory or a thread is missing. */
void log_writer_put(LogWriter *writer, Buf *lines);
/* How many bytes were taken over and are not written yet. */
size_t log_writer_waiting(const LogWriter *writer);
/* Returns when all is written, or when nothing has been for half a second. */
void log_writer_settle(LogWriter *writer);
/* As log_writer_settle; gives the writer up. */
void log_writer_free(LogWriter *writer);

#endif
