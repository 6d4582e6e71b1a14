/* The access log: one line for each response. In the plain layout the line is added when the response's head
 * is written; with an AccessFormat when the exchange is over. Lines are gathered, and handed to the writing
 * thread before the loop blocks. When the log's reader is too slow, lines past a limit are dropped and
 * counted. Owned by the server.
 * Thread: the loop's.
 */
#ifndef FLUVIAL_HTTP_ACCESS_LOG_H
#define FLUVIAL_HTTP_ACCESS_LOG_H

#include "base/py.h"
#include "base/buf.h"
#include "http/access_format.h"
#include "http/log_writer.h"
#include "http/request.h"

typedef struct AccessLog {
    LogWriter *writer;    /* owned; NULL: off */
    AccessFormat *format; /* owned; NULL: the plain layout */
    Buf lines;
    size_t limit;     /* bytes that may wait; 0: any number */
    uint64_t dropped; /* lines, not yet reported */
} AccessLog;

/* Sends the lines to a duplicate of `fd`; -1: no log. `limit` is in bytes. */
void access_log_open(AccessLog *log, int fd, size_t limit);
/* Adds one line in the plain layout, e.g. `INFO:     127.0.0.1:53124 - "GET /x HTTP/1.1" 200 OK`. `req` is NULL when the
 * request line could not be parsed. */
void access_log_add(AccessLog *log, const NetAddr *peer, const HttpRequest *req,
                    int status);
/* Adds one line by the format. */
void access_log_entry(AccessLog *log, const AccessEntry *entry);
/* Writes to a duplicate of `fd` from now on; lines that were added before may still go to the old file. 0 or a
 * negative UV_E*. Does nothing to a log that is off. */
int access_log_reopen(AccessLog *log, int fd);
void access_log_flush(AccessLog *log);
/* Waits until the last lines are written, but not for a reader that has stopped. */
void access_log_settle(AccessLog *log);
void access_log_free(AccessLog *log);

#endif
