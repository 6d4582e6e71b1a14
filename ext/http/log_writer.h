/* A thread that writes log lines, so that the loop never waits for a slow reader of the log. The thread
 * never takes the GIL. The owner hands lines over. It may give the writer up while the thread is
 * blocked in a write; whichever of the two ends last frees the memory.
 * Thread: the owner's; the writing thread is private to log_writer.c.
 */
#ifndef FLUVIAL_HTTP_LOG_WRITER_H
#define FLUVIAL_HTTP_LOG_WRITER_H

#include "base/py.h"
#include "base/buf.h"

typedef struct LogWriter LogWriter;

/* Writes to a duplicate of the descriptor `fd`. The thread starts with the first lines. NULL when out
 * of memory or descriptors. */
LogWriter *log_writer_new(int fd);
/* Takes the lines over and leaves `lines` empty. When out of memory the lines are lost. When no thread
 * can be started, `lines` stays as it is. */
void log_writer_put(LogWriter *writer, Buf *lines);
/* Writes to a duplicate of `fd` from now on; a write that has begun still goes to the old file. 0 or a negative
 * UV_E*, and then nothing has changed. */
int log_writer_reopen(LogWriter *writer, int fd);
/* The number of bytes that were taken over and are not yet written. */
size_t log_writer_waiting(const LogWriter *writer);
/* Returns when everything is written, or when nothing has been written for half a second. */
void log_writer_settle(LogWriter *writer);
/* As log_writer_settle; gives the writer up. */
void log_writer_free(LogWriter *writer);

#endif
