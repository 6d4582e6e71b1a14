/* The bound on how long parked answers wait (ADR 16), also while a handler blocks the loop: a thread that
 * writes what is parked when its time has come. It never takes the GIL.
 *
 * The loop lends it the parked parts and takes them back before it touches the buffer again, which costs
 * one atomic operation each. So the thread writes only while the loop does something else.
 * Thread: the loop's; the watching thread is inside.
 */
#ifndef FLUVIAL_HTTP_WATCH_H
#define FLUVIAL_HTTP_WATCH_H

#include "base/py.h"

#include <stdatomic.h>
#include <time.h>
#include <uv.h>

typedef struct HttpServer HttpServer;

/* After so many nanoseconds the thread writes what is parked. */
enum { WATCH_NS = 400000 };

typedef enum WatchState {
    WATCH_OURS,  /* the loop's */
    WATCH_LENT,  /* whoever comes first */
    WATCH_TAKEN, /* the thread writes */
    WATCH_DONE,  /* the thread has written: OutPart.sent */
} WatchState;

typedef struct OutWatch {
    _Atomic int state; /* WatchState */
    _Atomic uint64_t
        due;        /* loop_now_ns(): when the thread may write; 0: nothing is parked */
    uint64_t armed; /* the loop's: when the timer expires; 0: it is stopped */
    bool started, broken; /* broken: there is no thread, nothing is parked */
    _Atomic bool stop;
    uv_pid_t pid; /* of the process that has the thread */
    uv_thread_t thread;
    uv_sem_t ready; /* the thread has its timer */
#ifdef __linux__
    timer_t timer;
#endif
} OutWatch;

/* The thread has nothing to look for any more. */
static inline void
watch_nothing_due(OutWatch *watch)
{
    atomic_store_explicit(&watch->due, 0, memory_order_relaxed);
}

/* Lends what is parked, to be written at `due`. */
static inline void
watch_lend(OutWatch *watch, uint64_t due)
{
    atomic_store_explicit(&watch->due, due, memory_order_relaxed);
    atomic_store(&watch->state, WATCH_LENT);
}

/* Takes it back. True when the thread has written meanwhile. */
bool watch_take_back(HttpServer *server);

/* Something else is about to run while answers are parked: the thread is woken when they are due. */
void watch_wake(HttpServer *server);

/* Nothing is parked any more at `now`: the thread need not be woken soon. */
void watch_rest(HttpServer *server, uint64_t now);

/* Ends the thread. */
void watch_stop(HttpServer *server);

#endif
