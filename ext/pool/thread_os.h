/* What the pool needs of the operating system's threads beyond libuv: detached threads,
 * signal masks, names, and how much CPU each has used.
 * Thread: any; the GIL is not needed.
 */
#ifndef FLUVIAL_POOL_THREAD_OS_H
#define FLUVIAL_POOL_THREAD_OS_H

#include "base/py.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

/* Starts a thread that blocks the signals of `mask`; all of them when that is NULL. With
 * a NULL `thread` it is detached, else to be joined. 0 or a negative UV_E*. */
int thread_start(pthread_t *thread, const sigset_t *mask, void *(*body)(void *),
                 void *arg);

/* The signals that the calling thread blocks. */
sigset_t thread_signals(void);

/* Names the calling thread, for debuggers and ps. */
void thread_set_name(const char *name);

/* A thread's CPU clock; another thread may read it, and gets nothing once the thread
 * ended. */
typedef struct ThreadClock {
    clockid_t id;
    bool valid;
} ThreadClock;

/* The calling thread's. */
ThreadClock thread_clock(void);

/* Nanoseconds of CPU used so far; 0 when the clock is gone. */
uint64_t thread_clock_read(ThreadClock clock);

/* The cores that this process may run on. */
uint32_t thread_cores(void);

#endif
