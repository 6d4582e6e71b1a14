/* What ends a blocking poll when the earliest timer is due: a clock that is set before the poll. It
 * doesn't ring early. On Linux a timerfd, which counts nanoseconds; elsewhere a uv_timer, which
 * counts milliseconds.
 * Thread: the loop's; the GIL is not needed.
 */
#ifndef FLUVIAL_LOOP_ALARM_H
#define FLUVIAL_LOOP_ALARM_H

#include "base/py.h"

#include <uv.h>

#define ALARM_NEVER UINT64_MAX

typedef struct Alarm {
    uint64_t at; /* when it rings, in nanoseconds of loop_now_ns; or ALARM_NEVER */
    bool rang;   /* since it was set */
#ifdef __linux__
    int fd;
    uv_poll_t watch; /* of `fd` */
#else
    uv_timer_t timer;
#endif
} Alarm;

/* 0, or a negative UV_E* and nothing is open. */
int alarm_open(Alarm *alarm, uv_loop_t *uv);

/* Lets it ring at `at`, perhaps also before: then it is to be set again. */
void alarm_set(Alarm *alarm, uint64_t at);

/* In the child of a fork: lets go of the parent's clock without touching it. */
void alarm_forked(Alarm *alarm);

/* Closes what is open; its memory must stay until libuv's loop has run its close callbacks. */
void alarm_close(Alarm *alarm);

#endif
