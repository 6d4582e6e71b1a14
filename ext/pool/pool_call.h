/* One call of Pool.submit: a callable with its arguments and context, run by a worker,
 * and the asyncio future that gets its result.
 * Thread: the loop's, with the GIL; the job itself runs on a worker.
 */
#ifndef FLUVIAL_POOL_POOL_CALL_H
#define FLUVIAL_POOL_POOL_CALL_H

#include "base/py.h"
#include "pool/pool_state.h"
#include "pool/pool.h"

typedef struct PoolCall PoolCall;

/* A new call of `func` with arguments in vectorcall form, to run in `context` (all borrowed; None
 * means a copy of the current context). It is linked into `*list` until it is freed. `owner`
 * (borrowed) must live at least as long. NULL with an exception set. */
PoolCall *pool_call_new(const PoolState *st, PyObject *owner, PoolCall **list,
                        Loop *loop, PyObject *context, PyObject *func,
                        PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
void pool_call_free(PoolCall *call);

PoolJob *pool_call_job(PoolCall *call);

/* The call of the list that has this future; NULL: none has. */
PoolCall *pool_call_find(PoolCall *list, const PyObject *future);

/* The future; borrowed. */
PyObject *pool_call_future(PoolCall *call);

/* On the loop's thread, after the pool was closed: cancels the futures of the calls that still run
 * because pool_close did not wait for their workers. */
void pool_calls_cancel(PoolCall *list);

#endif
