/* The bound on how long parked answers wait (ADR 16), also while a handler blocks the loop: a thread that
 * writes what is parked when its time has come. It never takes the GIL.
 *
 * The loop lends it the parked parts and takes them back before it touches the buffer again, which costs
 * one atomic operation each. So the thread writes only while the loop does something else.
 */
#ifndef FLUVIAL_HTTP_WATCH_H
#define FLUVIAL_HTTP_WATCH_H

#include "base/py.h"

#include <stdatomic.h>
#include <uv.h>

typedef struct HttpServer HttpServer;

typedef enum WatchState {
    WATCH_OURS,  /* the loop's */
    WATCH_LENT,  /* whoever comes first */
    WATCH_TAKEN, /* the thread writes */
    WATCH_DONE,  /* the thread has written: OutPart.sent */
} WatchState;

typedef struct OutWatch {
    _Atomic int state;          /* WatchState */
    _Atomic uint64_t due;       /* loop_now_ns(): when the thread may write */
    _Atomic uint32_t loans;     /* how often the loop lent */
    _Atomic bool awake;         /* the thread looks now and then */
    bool started, stop, broken; /* broken: there is no thread, nothing is parked */
    uv_pid_t pid;               /* of the process that has the thread */
    uv_thread_t thread;
    uv_mutex_t lock;
    uv_cond_t woken;
} OutWatch;

/* Lends what is parked, to be written at `due`. */
static inline void
watch_lend(OutWatch *watch, uint64_t due)
{
    atomic_store_explicit(&watch->due, due, memory_order_relaxed);
    atomic_store_explicit(&watch->loans, watch->loans + 1, memory_order_relaxed);
    atomic_store(&watch->state, WATCH_LENT);
}

/* Takes it back. True when the thread has written meanwhile. */
bool watch_take_back(HttpServer *server);

/* Something else is about to run while answers are parked: from now on the thread looks. */
void watch_wake(HttpServer *server);

/* Ends the thread. */
void watch_stop(HttpServer *server);

#endif
