/* What the pool needs of the operating system's threads beyond libuv: detached threads
 * that take no signals, names, and how much CPU each has used. No GIL anywhere.
 */
#ifndef FLUVIAL_APP_THREAD_OS_H
#define FLUVIAL_APP_THREAD_OS_H

#include "base/py.h"

#include <pthread.h>
#include <time.h>

/* Starts a thread with all signals blocked. With a NULL `thread` it is detached,
 * else to be joined. 0 or a negative UV_E*. */
int thread_start(pthread_t *thread, void *(*body)(void *), void *arg);

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
