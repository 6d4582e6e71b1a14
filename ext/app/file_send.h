/* Sends a part of a file to a client. The kernel copies it (http/file_copy.h) to the socket, which
 * the connection lends meanwhile. That happens in turns on a thread of libuv's. Between the turns
 * the loop waits until the socket takes more, so that a slow client doesn't occupy a thread.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_FILE_SEND_H
#define FLUVIAL_APP_FILE_SEND_H

#include "base/py.h"
#include "app/server.h"
#include "app/waiting.h"
#include "http/file_copy.h"

/* Creates AppState.file_send_type: 0, or -1 with an exception set. */
int file_send_setup(PyObject *module, AppState *st);

/* What FileSend needs from the object that writes the response. */
typedef struct FileSendOps {
    /* The list to wait on, which on_writable and on_gone wake. It lives as long as `holder`. */
    WaitList *(*writers)(PyObject *holder);
    /* Sets the exception for UV_ECONNRESET (the client has gone) or another result of an http_ function. */
    void (*raise)(PyObject *holder, int err);
    /* http_abort; or http_abort_told when `holder` must be notified that the response is broken off. */
    void (*abort)(HttpRequest *req);
} FileSendOps;

/* An awaitable that sends `part` within the streamed response to `req`. Its result is the number of bytes
 * sent. If that is less than the size of `part`, the kernel can't copy the rest: the caller must read and
 * write it. The caller may close the descriptor at any time. Once sending has begun, cancelling breaks the
 * response off. `holder` is borrowed. A new reference, or NULL with an exception set. */
PyObject *file_send_new(HttpRequest *req, FilePart part, const FileSendOps *ops,
                        PyObject *holder);

#endif
