/* `_core.Sender`: writes one streamed response piece by piece. send() suspends only while more
 * than the high-water mark waits to be written.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_SENDER_H
#define FLUVIAL_APP_SENDER_H

#include "base/py.h"
#include "app/app_state.h"
#include "http/request.h"

/* Creates AppState.sender_type and adds it to the module. 0, or -1 with an exception set. */
int sender_setup(PyObject *module, AppState *st);

/* The Sender for `req`, on which it holds a reference; registers itself as AppCall.sender until
 * it dies. A new reference, or NULL with an exception set. */
PyObject *sender_new(AppState *st, HttpRequest *req);

/* What dispatch forwards from HttpOps.on_writable and on_gone: wakes those who wait in send().
 * Does nothing when AppCall.sender is NULL. */
void sender_wake(HttpRequest *req);

/* Whether somebody waits in send(). */
bool sender_is_awaited(const HttpRequest *req);

#endif
