/* The first step of a request's coroutine, which needs no Task unless it suspends (ADR 26).
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_FIRST_STEP_H
#define FLUVIAL_APP_FIRST_STEP_H

#include "base/py.h"
#include "app/request_coro.h"

/* Takes the first step of `self` (borrowed) in `context` (borrowed; not entered by anyone), on the loop's thread
 * and outside any task's step. *task: a new reference to the asyncio.Task named `name` (borrowed) that takes
 * the next steps; NULL when there will be none and nobody asked for the task. 0, or -1 with an exception set
 * when no task could be made; an exception of the coroutine is in the task, or forgotten with it. */
int first_step_take(RequestCoro *self, PyObject *name, PyObject *context,
                    PyObject **task);

#endif
