#include "model/duration.h"

#include "base/civil.h"

#define DAY_S      86400u
#define DIGITS_MAX 7u
#define YEAR_MAX   9999u

/* A number and its unit from the cursor. */
static hsm_err take_part(struct rd *r, uint32_t *ret_n, uint8_t *ret_unit)
{
    uint32_t n = 0;
    unsigned digits = 0;
    uint8_t c = 0;
    for (;; digits++) {
        if (rd_u8(r, &c) != HSM_OK)
            return HSM_E_BAD_PARAMETER;
        if (c < '0' || c > '9')
            break;
        if (digits == DIGITS_MAX)
            return HSM_E_BAD_PARAMETER;
        n = n * 10 + (c - '0');
    }
    if (digits == 0)
        return HSM_E_BAD_PARAMETER;
    *ret_n = n;
    *ret_unit = c;
    return HSM_OK;
}

hsm_err duration_parse(struct bytes text, struct duration *ret)
{
    static const char units[] = "YMWD";
    struct rd r = rd_of(text);
    struct duration d = {0};
    unsigned next = 0; /* unit that may come */
    uint8_t p;
    if (text.n > DURATION_TEXT_MAX || rd_u8(&r, &p) != HSM_OK || p != 'P' || r.n == 0)
        return HSM_E_BAD_PARAMETER;
    while (r.n > 0) {
        uint32_t n;
        uint8_t unit;
        TRY(take_part(&r, &n, &unit));
        while (next < 4 && (uint8_t)units[next] != unit)
            next++;
        if (next == 4)
            return HSM_E_BAD_PARAMETER;
        if (next < 2)
            d.months += next == 0 ? n * 12 : n;
        else
            d.days += next == 2 ? n * 7 : n;
        next++;
    }
    *ret = d;
    return HSM_OK;
}

uint64_t duration_nominal_days(struct duration d)
{
    return (uint64_t)d.months / 12 * 365 + (uint64_t)d.months % 12 * 30 + d.days;
}

static struct civil clamp_day(struct civil c)
{
    unsigned last = civil_month_days(c.year, c.month);
    c.day = c.day < last ? c.day : last;
    return c;
}

static uint64_t known(uint64_t t)
{
    return t < TIME_MAX_S ? t : TIME_MAX_S;
}

uint64_t duration_after(uint64_t t, struct duration d)
{
    t = known(t);
    struct civil c = civil_of_days(t / DAY_S);
    uint64_t month = (uint64_t)c.year * 12 + c.month - 1 + d.months;
    if (month / 12 > YEAR_MAX)
        return TIME_MAX_S;
    c.year = (unsigned)(month / 12);
    c.month = (unsigned)(month % 12) + 1;
    uint64_t days = civil_to_days(clamp_day(c)) + d.days;
    return known(days * DAY_S + t % DAY_S);
}

uint64_t duration_before(uint64_t t, struct duration d)
{
    t = known(t);
    struct civil c = civil_of_days(t / DAY_S);
    uint64_t month = (uint64_t)c.year * 12 + c.month - 1;
    if (month < (uint64_t)d.months + 1970u * 12)
        return 0;
    month -= d.months;
    c.year = (unsigned)(month / 12);
    c.month = (unsigned)(month % 12) + 1;
    uint64_t days = civil_to_days(clamp_day(c));
    return days < d.days ? 0 : (days - d.days) * DAY_S + t % DAY_S;
}
