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

/* The Sender for `req`: a new reference, or NULL with an exception set. It holds a reference on
 * `req`, and is AppCall.sender until it is deallocated. */
PyObject *sender_new(AppState *st, HttpRequest *req);

/* HttpOps.on_writable and on_gone: wakes everyone who waits in send(). Does nothing when AppCall.sender is
 * NULL. */
void sender_wake(HttpRequest *req);

/* Whether a task waits in send(). */
bool sender_is_awaited(const HttpRequest *req);

#endif
