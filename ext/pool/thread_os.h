/* Thread functions of the operating system that libuv lacks: detached threads, signal masks, names,
 * and the CPU time that a thread has used.
 * Thread: any; the GIL is not needed.
 */
#ifndef FLUVIAL_POOL_THREAD_OS_H
#define FLUVIAL_POOL_THREAD_OS_H

#include "base/py.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

/* Starts a thread that blocks the signals of `mask`, or all signals when it is NULL. With a NULL
 * `thread` it is detached; otherwise it must be joined. 0 or a negative UV_E*. */
int thread_start(pthread_t *thread, const sigset_t *mask, void *(*body)(void *),
                 void *arg);

/* The signals that the calling thread blocks. */
sigset_t thread_signals(void);

/* Names the calling thread, for debuggers and ps. */
void thread_set_name(const char *name);

/* The CPU clock of a thread. Other threads may read it; once the thread has ended it reads as 0. */
typedef struct ThreadClock {
    clockid_t id;
    bool valid;
} ThreadClock;

/* The clock of the calling thread. */
ThreadClock thread_clock(void);

/* Nanoseconds of CPU time used so far; 0 when the thread has ended. */
uint64_t thread_clock_read(ThreadClock clock);

/* The number of cores that this process may use. */
uint32_t thread_cores(void);

#endif
