/* A thread that bounds how long parked responses wait, even while a handler blocks the loop (ADR 16).
 * It writes the parked bytes when they have become due. It never takes the GIL.
 *
 * The loop lends the parked parts to the thread and takes them back before it touches the buffer
 * again. Each of these costs one atomic operation. So the thread writes only while the loop does
 * something else. The parts are fields of HttpServer: this and server_private.h are one thing.
 * Thread: the loop's; the watching thread is private to watch.c.
 */
#ifndef FLUVIAL_HTTP_WATCH_H
#define FLUVIAL_HTTP_WATCH_H

#include "base/py.h"
#include "base/system.h"

#include <stdatomic.h>
#include <time.h>
#include <uv.h>

typedef struct HttpServer HttpServer;

/* Nanoseconds for which bytes may be parked before the thread writes them. */
enum { WATCH_NS = 200000 };

typedef enum WatchState {
    WATCH_OURS,  /* the loop owns the parked parts */
    WATCH_LENT,  /* either side may take them */
    WATCH_TAKEN, /* the thread is writing them */
    WATCH_DONE,  /* the thread has written; see OutPart.sent */
} WatchState;

typedef struct OutWatch {
    _Atomic int state; /* WatchState */
    _Atomic uint64_t
        due; /* loop_now_ns(): when the thread may write; 0: nothing is parked */
    uint64_t
        armed; /* when the timer expires; 0: it is stopped. Used by the loop only */
    bool started,
        broken; /* broken: the thread could not be started; nothing is parked */
    _Atomic bool stop;
    uv_pid_t pid; /* of the process that started the thread */
    uv_thread_t thread;
    uv_sem_t ready; /* the thread has its timer */
#if FLUVIAL_LINUX
    timer_t timer;
#endif
} OutWatch;

/* Nothing is due: the thread has nothing to do. */
static inline void
watch_nothing_due(OutWatch *watch)
{
    atomic_store_explicit(&watch->due, 0, memory_order_relaxed);
}

/* Lends the parked parts to the thread, which writes them at `due`. */
static inline void
watch_lend(OutWatch *watch, uint64_t due)
{
    atomic_store_explicit(&watch->due, due, memory_order_relaxed);
    atomic_store(&watch->state, WATCH_LENT);
}

/* Takes the parked parts back. True when the thread has written some of them meanwhile. */
bool watch_take_back(HttpServer *server);

/* Makes sure that the thread wakes when the parked responses are due. Called when something else is
 * about to run while responses are parked. */
void watch_wake(HttpServer *server);

/* The loop is about to write the parked responses: the thread need not be woken while it does so. */
void watch_rest(HttpServer *server);

/* Ends the thread. */
void watch_stop(HttpServer *server);

#endif
