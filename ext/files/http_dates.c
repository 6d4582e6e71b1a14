/* See http_dates.h. Names of days and months are those of the RFC, whatever the locale. What follows the date, or isn't
 * separated by one space, makes it something else.
 */
#include "base/py.h"

#include "files/http_dates.h"

#include <time.h>

enum {
    MOST_AHEAD =
        50, /* years; two digits that seem to lie further ahead are of the century before */
};

static const int64_t DAY = 86400;

typedef struct DateParts {
    int year, month, day; /* from 1 */
    int hour, minute, second;
} DateParts;

/* Cuts `len` characters off the text; {NULL, 0} when it is shorter. */
static Slice
date_cut(Slice *text, size_t len)
{
    if (text->len < len) {
        *text = slice_of(NULL, 0);
        return *text;
    }
    Slice part = slice_of(text->ptr, len);
    *text = slice_of(text->ptr + len, text->len - len);
    return part;
}

/* Cuts `len` digits off the text. With `padded` the first may be a space. */
static bool
date_cut_number(Slice *text, size_t len, bool padded, int *out)
{
    Slice digits = date_cut(text, len);
    if (padded && digits.len != 0 && digits.ptr[0] == ' ') {
        digits = slice_of(digits.ptr + 1, digits.len - 1);
    }
    uint64_t value = 0;
    bool is_number = slice_decimal(digits, 9999, &value);
    *out = (int)value;
    return is_number;
}

static bool
date_cut_text(Slice *text, Slice expected)
{
    return slice_eq(date_cut(text, expected.len), expected);
}

static bool
date_cut_month(Slice *text, int *month)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    Slice name = date_cut(text, 3);
    for (*month = 1; *month <= 12 && name.len != 0; ++*month) {
        if (memcmp(names + 3 * (*month - 1), name.ptr, 3) == 0) {
            return true;
        }
    }
    return false;
}

static bool
date_cut_time(Slice *text, DateParts *parts)
{
    return date_cut_number(text, 2, false, &parts->hour)
           && date_cut_text(text, SLICE(":"))
           && date_cut_number(text, 2, false, &parts->minute)
           && date_cut_text(text, SLICE(":"))
           && date_cut_number(text, 2, false, &parts->second);
}

/* Cuts the name of a day off the text. `*full`: it isn't abbreviated. */
static bool
date_cut_weekday(Slice *text, bool *full)
{
    static const char *const names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(names[i]);
        *full = text->len >= len && memcmp(text->ptr, names[i], len) == 0;
        if (*full || (text->len >= 3 && memcmp(text->ptr, names[i], 3) == 0)) {
            (void)date_cut(text, *full ? len : 3);
            return true;
        }
    }
    return false;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", after the day's name. */
static bool
date_read_fixed(Slice text, DateParts *parts)
{
    return date_cut_text(&text, SLICE(", "))
           && date_cut_number(&text, 2, false, &parts->day)
           && date_cut_text(&text, SLICE(" ")) && date_cut_month(&text, &parts->month)
           && date_cut_text(&text, SLICE(" "))
           && date_cut_number(&text, 4, false, &parts->year)
           && date_cut_text(&text, SLICE(" ")) && date_cut_time(&text, parts)
           && slice_eq(text, SLICE(" GMT"));
}

/* "Sunday, 06-Nov-94 08:49:37 GMT", of RFC 850, after the day's name. */
static bool
date_read_rfc850(Slice text, DateParts *parts)
{
    return date_cut_text(&text, SLICE(", "))
           && date_cut_number(&text, 2, false, &parts->day)
           && date_cut_text(&text, SLICE("-")) && date_cut_month(&text, &parts->month)
           && date_cut_text(&text, SLICE("-"))
           && date_cut_number(&text, 2, false, &parts->year)
           && date_cut_text(&text, SLICE(" ")) && date_cut_time(&text, parts)
           && slice_eq(text, SLICE(" GMT"));
}

/* "Sun Nov  6 08:49:37 1994", as asctime() writes it, after the day's name. */
static bool
date_read_asctime(Slice text, DateParts *parts)
{
    return date_cut_text(&text, SLICE(" ")) && date_cut_month(&text, &parts->month)
           && date_cut_text(&text, SLICE(" "))
           && date_cut_number(&text, 2, true, &parts->day)
           && date_cut_text(&text, SLICE(" ")) && date_cut_time(&text, parts)
           && date_cut_text(&text, SLICE(" "))
           && date_cut_number(&text, 4, false, &parts->year) && text.len == 0;
}

static bool
year_is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1 January 1970 to the day, in the Gregorian calendar. */
static int64_t
date_days(const DateParts *parts)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t years = parts->year - 1; /* since the year 1 */
    int64_t days = years * 365 + years / 4 - years / 100 + years / 400 - 719162;
    bool leap = parts->month > 2 && year_is_leap(parts->year);
    return days + before[parts->month - 1] + leap + parts->day - 1;
}

static bool
date_exists(const DateParts *parts)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = parts->month == 2 && year_is_leap(parts->year);
    return parts->year >= 1 && parts->day >= 1
           && parts->day <= days[parts->month - 1] + leap && parts->hour < 24
           && parts->minute < 60 && parts->second <= 60; /* 60: a leap second */
}

/* The year of which these are the last two digits. */
static int
date_full_year(int digits, int64_t now)
{
    time_t second = (time_t)now;
    struct tm tm;
    (void)gmtime_r(&second, &tm);
    int this_year = tm.tm_year + 1900;
    int year = this_year - this_year % 100 + digits;
    return year > this_year + MOST_AHEAD ? year - 100 : year;
}

bool
http_date_read(Slice text, int64_t now, int64_t *seconds)
{
    DateParts parts = {0};
    bool full;
    if (!date_cut_weekday(&text, &full)) {
        return false;
    }
    if (full && date_read_rfc850(text, &parts)) {
        parts.year = date_full_year(parts.year, now);
    } else if (full
               || !(date_read_fixed(text, &parts) || date_read_asctime(text, &parts))) {
        return false;
    }
    if (!date_exists(&parts)) {
        return false;
    }
    *seconds = date_days(&parts) * DAY + (int64_t)parts.hour * 3600
               + (int64_t)parts.minute * 60 + parts.second;
    return true;
}
