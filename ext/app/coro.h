/* HandlerCoro: the awaitable between an asyncio Task and a handler's coroutine. It passes everything
 * through, and writes the response when the coroutine returns or raises. A handler that never suspends
 * therefore has its response within the Task's first step, and no handler needs a done callback (ADR 3).
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

/* Runs `next` for the request in a new task, whose first step is taken before this returns. For CALL_DONE
 * there is nothing to run: the call is ended. next.coro is stolen; `plan` (may be NULL) is borrowed.
 * `context` (borrowed) is the request's and must not be entered at the moment; NULL: a copy of the server's
 * is made. */
void coro_start(HttpRequest *req, const Plan *plan, CallNext next, PyObject *context);

/* The client has gone, or seems to have: cancels the task of a streamed response. A stream that waits in
 * send() is left alone, since send() raises for it. Handlers are never cancelled: they run to their end. */
void coro_end_stream(HttpRequest *req);

/* Nobody waits for the response any more: cancels the task of the handler or of its streamed response, once. */
void coro_cancel(HttpRequest *req);

/* The client went away: releases the task. If it waits for something that can no longer happen, the
 * garbage collector may now destroy it. */
void coro_let_go(HttpRequest *req);

#endif
