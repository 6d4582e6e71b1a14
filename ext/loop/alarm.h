/* The alarm ends a blocking poll when the earliest timer is due; it is set before the poll. On Linux
 * it is a timerfd, with a resolution of nanoseconds; elsewhere a uv_timer, with milliseconds. It
 * does not ring before the time that it was set to.
 * Thread: the loop's; the GIL is not needed.
 */
#ifndef FLUVIAL_LOOP_ALARM_H
#define FLUVIAL_LOOP_ALARM_H

#include "base/py.h"
#include "base/system.h"

#include <uv.h>

#define ALARM_NEVER UINT64_MAX

typedef struct Alarm {
    uint64_t at; /* when it rings, in nanoseconds of loop_now_ns; or ALARM_NEVER */
    bool rang;   /* since it was set */
#if FLUVIAL_LINUX
    int fd;
    uv_poll_t watch; /* of `fd` */
#else
    uv_timer_t timer;
#endif
} Alarm;

/* 0, or a negative UV_E* and nothing is open. */
int alarm_open(Alarm *alarm, uv_loop_t *uv);

/* Sets the alarm to ring at `at`. If it was set to an earlier time it may ring then as well, and
 * must be set again afterwards. */
void alarm_set(Alarm *alarm, uint64_t at);

/* In the child of a fork: detaches from the parent's timer without changing it. */
void alarm_forked(Alarm *alarm);

/* Closes the alarm. Its memory must stay until the libuv loop has run the close callbacks. */
void alarm_close(Alarm *alarm);

#endif
