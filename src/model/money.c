#include "model/money.h"

#include <stdio.h>

#define WHOLE_DIGITS    7u
#define FRACTION_DIGITS 6u

/* Digits from the cursor, at least one; *ret_n of them. */
static hsm_err take_digits(struct rd *r, unsigned max, uint64_t *ret, unsigned *ret_n)
{
    uint64_t v = 0;
    unsigned n = 0;
    for (; r->n > 0 && *r->p >= '0' && *r->p <= '9'; n++) {
        uint8_t c;
        if (n == max)
            return HSM_E_BAD_PARAMETER;
        TRY(rd_u8(r, &c));
        v = v * 10 + (c - '0');
    }
    *ret = v;
    *ret_n = n;
    return n > 0 ? HSM_OK : HSM_E_BAD_PARAMETER;
}

hsm_err money_parse(struct bytes text, money *ret)
{
    struct rd r = rd_of(text);
    uint64_t whole = 0, fraction = 0;
    unsigned n = 0;
    uint8_t point;
    TRY(take_digits(&r, WHOLE_DIGITS, &whole, &n));
    if (n > 1 && text.p[0] == '0')
        return HSM_E_BAD_PARAMETER;
    n = FRACTION_DIGITS;
    if (r.n > 0) {
        if (rd_u8(&r, &point) != HSM_OK || point != '.')
            return HSM_E_BAD_PARAMETER;
        TRY(take_digits(&r, FRACTION_DIGITS, &fraction, &n));
    }
    for (; n < FRACTION_DIGITS; n++)
        fraction *= 10;
    uint64_t all = whole * MONEY_UNIT + fraction;
    if (r.n > 0 || all > (uint64_t)PRICE_MAX)
        return HSM_E_BAD_PARAMETER;
    *ret = (money)all;
    return HSM_OK;
}

void money_format(money m, char dst[MONEY_TEXT_MAX])
{
    int n = snprintf(dst, MONEY_TEXT_MAX, "%lld.%06lld", (long long)(m / MONEY_UNIT),
                     (long long)(m % MONEY_UNIT));
    for (int cut = 0; cut < 4 && dst[n - 1] == '0'; cut++)
        dst[--n] = '\0';
}

money money_sum(money a, money b)
{
    money sum;
    return __builtin_add_overflow(a, b, &sum) ? MONEY_MAX : sum;
}

/* Of n / per the whole part is multiplied first; what is left is smaller than per. */
money money_times(money price, uint64_t n, uint64_t per)
{
    uint64_t whole, left, part, half = per / 2 + per % 2;
    if (__builtin_mul_overflow((uint64_t)price, n / per, &whole) ||
        __builtin_mul_overflow((uint64_t)price, n % per, &left))
        return MONEY_MAX;
    part = left / per + (left % per >= half && left % per > 0);
    if (__builtin_add_overflow(whole, part, &whole) || whole > (uint64_t)MONEY_MAX)
        return MONEY_MAX;
    return (money)whole;
}
