/* Threads of the operating system (see thread_os.h), for systems with pthreads. Naming threads and
 * counting the usable cores differ between Linux and other systems.
 */
#include "base/py.h"

#include "pool/thread_os.h"
#include "base/system.h"

#include <sched.h>
#include <unistd.h>
#include <uv.h>

/* Python code may recurse deeply; some C libraries give threads only 128 KiB. */
enum { STACK_MIN = 1 << 20 };

static int
attributes_init(pthread_attr_t *attr, bool detached)
{
    int err = pthread_attr_init(attr);
    if (err != 0) {
        return err;
    }
    size_t stack = 0;
    (void)pthread_attr_getstacksize(attr, &stack);
    if (stack < STACK_MIN) {
        (void)pthread_attr_setstacksize(attr, STACK_MIN);
    }
    if (detached) {
        (void)pthread_attr_setdetachstate(attr, PTHREAD_CREATE_DETACHED);
    }
    return 0;
}

int
thread_start(pthread_t *thread, const sigset_t *mask, void *(*body)(void *), void *arg)
{
    pthread_attr_t attr;
    int err = attributes_init(&attr, thread == NULL);
    if (err != 0) {
        return -err;
    }
    sigset_t all, before;
    sigfillset(&all);
    /* A new thread inherits the mask of its creator. */
    (void)pthread_sigmask(SIG_SETMASK, mask == NULL ? &all : mask, &before);
    pthread_t unused;
    err = pthread_create(thread == NULL ? &unused : thread, &attr, body, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    return -err; /* libuv's codes are negated errno values */
}

sigset_t
thread_signals(void)
{
    sigset_t mask;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return mask;
}

void
thread_set_name(const char *name)
{
#ifdef __APPLE__
    (void)pthread_setname_np(name);
#else
    (void)pthread_setname_np(pthread_self(), name);
#endif
}

ThreadClock
thread_clock(void)
{
    ThreadClock clock = {.valid = false};
#ifndef __APPLE__
    clock.valid = pthread_getcpuclockid(pthread_self(), &clock.id) == 0;
#endif
    return clock;
}

uint64_t
thread_clock_read(ThreadClock clock)
{
    struct timespec used;
    if (!clock.valid || clock_gettime(clock.id, &used) != 0) {
        return 0;
    }
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

uint32_t
thread_cores(void)
{
#if FLUVIAL_LINUX
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return (uint32_t)CPU_COUNT(&set);
    }
#endif
    return uv_available_parallelism();
}
