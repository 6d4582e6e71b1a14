/* The Date field (see date.h). It isn't formatted with strftime, whose day and month names depend on the
 * locale.
 */
#include "base/py.h"

#include "http/date.h"

static void
digits_put(char *out, int value)
{
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

static void
date_format(char *line, time_t second)
{
    struct tm tm;
    (void)gmtime_r(&second, &tm);
    memcpy(line, "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", DATE_LINE + 1);
    memcpy(line + 6, &"SunMonTueWedThuFriSat"[3 * tm.tm_wday], 3);
    digits_put(line + 11, tm.tm_mday);
    memcpy(line + 14, &"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * tm.tm_mon], 3);
    digits_put(line + 18, (tm.tm_year + 1900) / 100);
    digits_put(line + 20, tm.tm_year % 100);
    digits_put(line + 23, tm.tm_hour);
    digits_put(line + 26, tm.tm_min);
    digits_put(line + 29, tm.tm_sec);
}

const char *
date_line(DateCache *cache, uint64_t now_ms)
{
    if (cache->checked != now_ms || cache->second == 0) {
        cache->checked = now_ms;
        time_t second = time(NULL);
        if (second != cache->second) {
            cache->second = second;
            date_format(cache->line, second);
        }
    }
    return cache->line;
}
