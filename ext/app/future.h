/* Makes and resolves the asyncio futures of a loop. Thread: the loop's. */
#ifndef FLUVIAL_APP_FUTURE_H
#define FLUVIAL_APP_FUTURE_H

#include "base/py.h"
#include "app/app_state.h"
#include "loop/loop.h"

/* loop.create_future(): a new reference, or NULL with an exception set. */
PyObject *future_new(const AppState *st, Loop *loop);

/* future.set_result(result), unless it is done or cancelled. Both are borrowed. 0, or -1 with an
 * exception set. */
int future_resolve(const AppState *st, PyObject *future, PyObject *result);

#endif
