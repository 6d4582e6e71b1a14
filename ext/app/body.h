/* A request's streamed body on its way from the connection to the handler. Pieces are kept here until
 * `await request.read()` takes them. Past a high-water mark the connection stops reading.
 *
 * Thread: the loop's. The queue is AppCall.body, made by the first function that needs it.
 */
#ifndef FLUVIAL_APP_BODY_H
#define FLUVIAL_APP_BODY_H

#include "base/py.h"
#include "app/app_state.h"
#include "app/call.h"

/* HttpOps.on_body, for requests with HTTP_BODY_STREAM: a piece of the body has arrived. */
void body_feed(HttpRequest *req, Slice piece);
/* Nothing more will come, or the response is complete: wakes the readers, which check the request again. */
void body_end(HttpRequest *req);
/* HttpOps.on_gone: readers get ClientDisconnect once they have read what had arrived. Also sets
 * AppCall.gone for Request.disconnected, so it must be called in every body mode. */
void body_gone(HttpRequest *req);
/* HttpOps.app_clear: frees AppCall.body. */
void body_clear(AppCall *call);

/* The awaitable of Request.until_gone(): its result is None, once the client has left or the response is
 * complete. Otherwise as body_read. */
PyObject *body_until_gone(AppState *st, PyObject *request);

/* The awaitable of Request.read(): a new reference, or NULL with an exception set. `request`
 * is the `_core.Request`, borrowed. */
PyObject *body_read(AppState *st, PyObject *request);

#endif
