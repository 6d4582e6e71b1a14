/* The access log: one line for each answer, gathered and written before the loop blocks.
 * Owned by the server; the loop's thread.
 */
#ifndef FLUVIAL_HTTP_ACCESS_LOG_H
#define FLUVIAL_HTTP_ACCESS_LOG_H

#include "base/py.h"
#include "base/buf.h"
#include "http/request.h"

typedef struct AccessLog {
    int fd; /* borrowed; -1: off */
    Buf lines;
} AccessLog;

/* One line, e.g. `INFO:     127.0.0.1:53124 - "GET /x HTTP/1.1" 200 OK`. `req` may be NULL: a
 * request line that could not be read. */
void access_log_add(AccessLog *log, const NetAddr *peer, const HttpRequest *req,
                    int status);
void access_log_flush(AccessLog *log);
void access_log_free(AccessLog *log);

#endif
