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

/* A call for `func` with arguments in vectorcall form and `context` (all borrowed;
 * for None a copy of the current one), linked into `*list`, where it stays until it
 * is freed. `owner` (borrowed) lives at least as long. NULL with an exception set. */
PoolCall *pool_call_new(const PoolState *st, PyObject *owner, PoolCall **list,
                        PyObject *loop, PyObject *context, PyObject *func,
                        PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
void pool_call_free(PoolCall *call);

PoolJob *pool_call_job(PoolCall *call);

/* The future; borrowed. */
PyObject *pool_call_future(PoolCall *call);

/* With the loop's thread and the pool closed: cancels the futures of calls whose
 * workers were left behind. */
void pool_calls_cancel(PoolCall *list);

#endif
