/* Suspending a coroutine until something happens to a request: what `await request.read()` and
 * `await sender.send()` hand to the Task. An awaitable first attempts its work, and suspends,
 * on an asyncio future of the loop, only as long as that can't be done yet.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_WAITING_H
#define FLUVIAL_APP_WAITING_H

#include "base/py.h"
#include "app/app_state.h"
#include "loop/loop.h"

typedef struct Waiting Waiting;

/* Those who wait for one thing. A zeroed list is empty; nothing is owned: each unlinks itself. */
typedef struct WaitList {
    Waiting *first, *last;
} WaitList;

typedef enum WaitStep {
    WAIT_DONE,    /* the result is there */
    WAIT_FAILED,  /* an exception is set */
    WAIT_BLOCKED, /* to be attempted again when the list is woken */
} WaitStep;

typedef struct WaitOps {
    /* Attempts the work for `owner` (borrowed). DONE: *result is a new reference. BLOCKED:
     * *list is where to wait; it lives as long as `owner`. */
    WaitStep (*attempt)(PyObject *owner, PyObject **result, WaitList **list);
    /* Nobody waits any more, before it was done: cancelled, or never awaited. Any thread, with the
     * GIL. May be NULL. */
    void (*drop)(PyObject *owner);
} WaitOps;

/* Creates AppState.waiting_type, and waiting_done, which can be awaited any number of times and
 * never suspends: 0, or -1 with an exception set. */
int waiting_setup(PyObject *module, AppState *st);

/* An awaitable that attempts `ops` (static) for `owner` (borrowed) when it is awaited. A new
 * reference, or NULL with an exception set. */
PyObject *waiting_new(const AppState *st, Loop *loop, const WaitOps *ops,
                      PyObject *owner);

/* An awaitable that raises the exception that is set, which is cleared: what an `async def` refuses is
 * raised where it is awaited. A new reference, or NULL with an exception set. */
PyObject *waiting_failed(const AppState *st, Loop *loop);

/* Lets everybody on the list attempt again, once the loop gets round to it. */
void waiting_wake(WaitList *list);

#endif
