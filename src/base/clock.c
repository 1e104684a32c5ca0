#include "base/clock.h"

#include <string.h>
#include <time.h>
#include "base/civil.h"

uint64_t clock_mono_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_boot_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* 9999-12-31T23:59:59.999Z: what four digits of a year can say. */
#define FORMAT_MAX_MS 253402300799999u

static char *put_digits(char *p, unsigned v, unsigned n)
{
    for (unsigned i = n; i-- > 0; v /= 10)
        p[i] = (char)('0' + v % 10);
    return p + n;
}

/* Every audit line has one: no printf. */
void clock_format_ms(uint64_t unix_ms, char *dst, size_t cap)
{
    uint64_t ms = unix_ms < FORMAT_MAX_MS ? unix_ms : FORMAT_MAX_MS;
    struct civil c = civil_of_days(ms / 86400000);
    unsigned in_day = (unsigned)(ms % 86400000);
    char text[] = "YYYY-MM-DDTHH:MM:SS.mmmZ";
    char *p = put_digits(text, c.year, 4);
    p = put_digits(p + 1, c.month, 2);
    p = put_digits(p + 1, c.day, 2);
    p = put_digits(p + 1, in_day / 3600000, 2);
    p = put_digits(p + 1, in_day / 60000 % 60, 2);
    p = put_digits(p + 1, in_day / 1000 % 60, 2);
    (void)put_digits(p + 1, in_day % 1000, 3);
    size_t n = cap <= sizeof text ? cap - 1 : sizeof text - 1;
    memcpy(dst, text, n);
    dst[n] = '\0';
}
