/* Suspends a coroutine until something happens to a request: `await request.read()` and
 * `await sender.send()` are made of this. The awaitable first attempts its work. Only while that can't be
 * done yet does it suspend, on an asyncio future of the loop.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_WAITING_H
#define FLUVIAL_APP_WAITING_H

#include "base/py.h"
#include "app/app_state.h"
#include "loop/loop.h"

typedef struct Waiting Waiting;

/* The awaitables that wait for the same thing. A zeroed list is empty. It owns nothing: each awaitable
 * unlinks itself. */
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
    /* The awaitable ends before its work was done: it was cancelled, or never awaited. Any thread, with
     * the GIL. May be NULL. */
    void (*drop)(PyObject *owner);
} WaitOps;

/* Creates AppState.waiting_type and waiting_done. The latter is an awaitable that never suspends and may be
 * awaited any number of times. 0, or -1 with an exception set. */
int waiting_setup(PyObject *module, AppState *st);

/* An awaitable that calls ops->attempt (static) for `owner` (borrowed) when it is awaited. A new reference,
 * or NULL with an exception set. */
PyObject *waiting_new(const AppState *st, Loop *loop, const WaitOps *ops,
                      PyObject *owner);

/* An awaitable that raises the exception which is set now; that one is cleared. Methods that look like an
 * `async def` use it, because users expect their errors where they await. A new reference, or NULL with an
 * exception set. */
PyObject *waiting_failed(const AppState *st, Loop *loop);

/* Wakes everyone on the list: they attempt their work again in the loop's next round of callbacks. */
void waiting_wake(WaitList *list);

#endif
