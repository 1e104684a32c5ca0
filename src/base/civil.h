/* Gregorian dates in UTC, by arithmetic: gmtime_r's first call reads TZ and /etc/localtime, which a
 * sandboxed process must not. Pure. */
#ifndef BASE_CIVIL_H
#define BASE_CIVIL_H

#include <stdint.h>

struct civil {
    unsigned year, month, day; /* month 1 to 12, day 1 to 31 */
};

/* days: since 1970-01-01, at most 2^32. */
struct civil civil_of_days(uint64_t days);
/* The reverse; c must be a date from 1970-01-01 on. */
uint64_t civil_to_days(struct civil c);
unsigned civil_month_days(unsigned year, unsigned month);

#endif
