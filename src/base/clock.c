#include "base/clock.h"

#include <stdio.h>
#include <time.h>
#include "base/civil.h"

uint64_t clock_mono_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
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
