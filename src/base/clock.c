#include "base/clock.h"

#include <stdio.h>
#include <time.h>

uint64_t clock_mono_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

struct civil {
    unsigned year, month, day;
};

/* Gregorian date of a day number since 1970-01-01, by 400-year eras that begin on 1 March. Not
 * gmtime_r: its first call reads TZ and /etc/localtime, which a sandboxed process must not. */
static struct civil civil_of_days(uint64_t days)
{
    uint64_t z = days + 719468;
    uint64_t era = z / 146097;
    unsigned doe = (unsigned)(z % 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    unsigned month = mp < 10 ? mp + 3 : mp - 9;
    unsigned year = yoe + (unsigned)(era * 400) + (month <= 2 ? 1 : 0);
    return (struct civil){.year = year, .month = month, .day = doy - (153 * mp + 2) / 5 + 1};
}

/* 9999-12-31T23:59:59.999Z: what four digits of a year can say. */
#define FORMAT_MAX_MS 253402300799999u

void clock_format_ms(uint64_t unix_ms, char *dst, size_t cap)
{
    uint64_t ms = unix_ms < FORMAT_MAX_MS ? unix_ms : FORMAT_MAX_MS;
    struct civil c = civil_of_days(ms / 86400000);
    unsigned in_day = (unsigned)(ms % 86400000);
    (void)snprintf(dst, cap, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", c.year, c.month, c.day,
                   in_day / 3600000, in_day / 60000 % 60, in_day / 1000 % 60, in_day % 1000);
}
