/* For LD_PRELOAD: timer_settime() returns 2 ms after it has set a timer, as for a thread that loses its
 * core then. Creates the file that SLOW_TIMER names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef int SetTime(timer_t, int, const struct itimerspec *, struct itimerspec *);

int
timer_settime(timer_t timer, int flags, const struct itimerspec *value,
              struct itimerspec *before)
{
    static SetTime *next;
    if (next == NULL) {
        next = (SetTime *)dlsym(RTLD_NEXT, "timer_settime");
        (void)close(open(getenv("SLOW_TIMER"), O_CREAT | O_WRONLY, 0600));
    }
    int result = next(timer, flags, value, before);
    if (value->it_value.tv_sec != 0 || value->it_value.tv_nsec != 0) {
        (void)usleep(2000);
    }
    return result;
}
