/* `_core.Pool`: the thread pool as Python sees it. Thread: the loop's, with the GIL. */
#ifndef FLUVIAL_POOL_POOL_TYPE_H
#define FLUVIAL_POOL_POOL_TYPE_H

#include "base/py.h"
#include "pool/pool_state.h"
#include "pool/pool.h"

/* Creates PoolState.pool_type and adds it to the module. 0, or -1 with an exception
 * set. */
int pool_type_setup(PyObject *module, PoolState *st);

/* The pool inside a `_core.Pool`, borrowed while `obj` lives (closed or not); NULL with
 * TypeError set when `obj` is something else. */
Pool *pool_check(const PoolState *st, PyObject *obj);

#endif
