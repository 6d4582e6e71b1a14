/* The alarm (see alarm.h). Setting it costs a system call, so it is set again only if it would ring
 * too late. If it was set for a timer that has been cancelled since, it rings once for nothing.
 */
#include "base/py.h"

#include "loop/alarm.h"
#include "base/fd.h"

#if FLUVIAL_LINUX

#include <errno.h>
#include <fcntl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static void
alarm_on_ring(uv_poll_t *watch, int Py_UNUSED(status), int Py_UNUSED(events))
{
    /* Only ends the poll. The descriptor stays readable until the alarm is set again, which happens
     * before the next poll that may block. */
    container_of(watch, Alarm, watch)->rang = true;
}

int
alarm_open(Alarm *alarm, uv_loop_t *uv)
{
    *alarm = (Alarm){.at = ALARM_NEVER, .fd = -1};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    int err = uv_poll_init(uv, &alarm->watch, fd);
    if (err != 0) {
        (void)close(fd);
        return err;
    }
    alarm->watch.data = NULL;
    alarm->fd = fd;
    return uv_poll_start(&alarm->watch, UV_READABLE, alarm_on_ring);
}

void
alarm_set(Alarm *alarm, uint64_t at)
{
    if (!alarm->rang && alarm->at <= at) {
        return;
    }
    struct itimerspec spec = {{0, 0}, {0, 0}}; /* disarmed */
    if (at != ALARM_NEVER) {
        spec.it_value.tv_sec = (time_t)(at / 1000000000u);
        spec.it_value.tv_nsec = (long)(at % 1000000000u);
    }
    (void)timerfd_settime(alarm->fd, TFD_TIMER_ABSTIME, &spec, NULL);
    alarm->at = at;
    alarm->rang = false;
}

void
alarm_forked(Alarm *alarm)
{
    /* The descriptor stays in use until alarm_close; give it to another timer. */
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd >= 0) {
        (void)fd_replace(fd, alarm->fd);
        (void)close(fd);
    }
}

void
alarm_close(Alarm *alarm)
{
    if (alarm->fd >= 0) {
        uv_close((uv_handle_t *)&alarm->watch, NULL);
        (void)close(alarm->fd);
        alarm->fd = -1;
    }
}

#else

#include "loop/loop.h"

static void
alarm_on_ring(uv_timer_t *timer)
{
    container_of(timer, Alarm, timer)->rang = true; /* only ends the poll */
}

int
alarm_open(Alarm *alarm, uv_loop_t *uv)
{
    *alarm = (Alarm){.at = ALARM_NEVER};
    int err = uv_timer_init(uv, &alarm->timer);
    alarm->timer.data = NULL;
    return err;
}

void
alarm_set(Alarm *alarm, uint64_t at)
{
    if (!alarm->rang && alarm->at <= at) {
        return;
    }
    alarm->at = at;
    alarm->rang = false;
    if (at == ALARM_NEVER) {
        (void)uv_timer_stop(&alarm->timer);
        return;
    }
    /* libuv counts from its cached time, which is updated here. The delay is rounded up, so that the
     * alarm doesn't ring early. */
    uint64_t now = loop_now_ns();
    uint64_t ms = at <= now ? 0 : (at - now - 1) / 1000000u + 1;
    uv_update_time(alarm->timer.loop);
    (void)uv_timer_start(&alarm->timer, alarm_on_ring, ms, 0);
}

void
alarm_forked(Alarm *Py_UNUSED(alarm))
{
    /* The timer is not shared with the parent: it is memory of libuv's loop. */
}

void
alarm_close(Alarm *alarm)
{
    uv_close((uv_handle_t *)&alarm->timer, NULL);
}

#endif
