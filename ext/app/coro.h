/* The awaitable between an asyncio Task and a handler's coroutine: passes everything through,
 * and answers the request when the coroutine returns or raises. So a handler that never
 * suspends is answered inside the Task's first step, and one that does needs no callback (ADR 3).
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_CORO_H
#define FLUVIAL_APP_CORO_H

#include "base/py.h"
#include "app/result.h"
#include "app/app_state.h"

/* Creates _core.HandlerCoro. 0, or -1 with an exception set. */
int coro_setup(PyObject *module, AppState *st);

/* Runs `next` for the request in a new task, whose first step happens now. `plan` (may be
 * NULL) is borrowed, and so is `context`, the request's, which nobody is in; NULL: it has none yet.
 * next.coro is taken over. Does nothing for CALL_DONE but to end the call. */
void coro_start(HttpRequest *req, const Plan *plan, CallNext next, PyObject *context);

/* The client is gone, or seems to be: cancels the task of a streamed answer that waits for
 * something else than room to write, since no send() can tell it. Does nothing to handlers: they
 * run to their end. */
void coro_end_stream(HttpRequest *req);

/* The client went away: lets the garbage collector have a task that waits for nothing that
 * can come. */
void coro_let_go(HttpRequest *req);

#endif
