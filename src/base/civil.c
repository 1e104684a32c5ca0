#include "base/civil.h"

/* Eras of 400 years that begin on 1 March: leap days are then the last days of their years. */
#define ERA_DAYS       146097u
#define DAYS_TO_1970   719468u               /* since 0000-03-01 */
#define MONTH_START(m) ((153 * (m) + 2) / 5) /* day of the year, m counted from March */

struct civil civil_of_days(uint64_t days)
{
    uint64_t z = days + DAYS_TO_1970;
    uint64_t era = z / ERA_DAYS;
    unsigned doe = (unsigned)(z % ERA_DAYS);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    unsigned month = mp < 10 ? mp + 3 : mp - 9;
    unsigned year = yoe + (unsigned)(era * 400) + (month <= 2 ? 1 : 0);
    return (struct civil){.year = year, .month = month, .day = doy - MONTH_START(mp) + 1};
}

uint64_t civil_to_days(struct civil c)
{
    unsigned year = c.month <= 2 ? c.year - 1 : c.year;
    unsigned mp = c.month <= 2 ? c.month + 9 : c.month - 3;
    unsigned yoe = year % 400;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + MONTH_START(mp) + c.day - 1;
    return (uint64_t)(year / 400) * ERA_DAYS + doe - DAYS_TO_1970;
}

unsigned civil_month_days(unsigned year, unsigned month)
{
    if (month == 2)
        return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}
