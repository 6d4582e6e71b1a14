/* A part of a file on its way to a client: the kernel copies it (http/file_copy.h) on a thread of
 * libuv's, in turns, to the socket that the connection lends. Between the turns the loop waits for
 * the socket to take more, so that no slow client holds a thread.
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

/* What a response's object has to do with it. */
typedef struct FileSendOps {
    /* Where to wait; on_writable and on_gone wake it. Lives as long as `holder`. */
    WaitList *(*writers)(PyObject *holder);
    /* Raises for UV_ECONNRESET (the client is gone) and what http_ functions return. */
    void (*raise)(PyObject *holder, int err);
    /* http_abort or http_abort_told: who else is to learn that the response is broken off. */
    void (*abort)(HttpRequest *req);
} FileSendOps;

/* An awaitable that sends `part` of the streamed response to `req`; the bytes that it has sent are its
 * result. When that is fewer, the kernel can't send the others: they are to be read and written. The
 * descriptor may be closed at any time. Once it has begun, who stops waiting breaks the response off.
 * `holder` is borrowed. A new reference, or NULL with an exception set. */
PyObject *file_send_new(HttpRequest *req, FilePart part, const FileSendOps *ops,
                        PyObject *holder);

#endif
