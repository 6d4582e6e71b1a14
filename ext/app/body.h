/* A request's streamed body between the connection and the handler: pieces gather here until
 * `await request.read()` takes them; past a high-water mark the connection stops reading.
 *
 * Thread: the loop's. The queue is AppCall.body, made by the first call that needs it.
 */
#ifndef FLUVIAL_APP_BODY_H
#define FLUVIAL_APP_BODY_H

#include "base/py.h"
#include "app/app_state.h"
#include "app/call.h"

/* What dispatch forwards from HttpOps, for requests in mode HTTP_BODY_STREAM. */
void body_feed(HttpRequest *req, Slice piece);
/* Nothing more will come: readers look at the request again. Also for the end of the response. */
void body_end(HttpRequest *req);
/* on_gone: readers get ClientDisconnect once what had arrived is read. Also marks the call as
 * gone for Request.disconnected; to be called in every body mode. */
void body_gone(HttpRequest *req);
/* app_clear: frees AppCall.body. */
void body_clear(AppCall *call);

/* The awaitable of Request.until_gone(): None once the client has left or the response is over. As for
 * body_read. */
PyObject *body_until_gone(AppState *st, PyObject *request);

/* The awaitable of Request.read(): a new reference, or NULL with an exception set. `request`
 * is the `_core.Request`, borrowed. */
PyObject *body_read(AppState *st, PyObject *request);

#endif
