#include "model/billing.h"

#include <stdio.h>
#include "base/civil.h"

#define DAY_S 86400u

/* ---- months ---- */

static uint64_t month_begin(unsigned year, unsigned month)
{
    return civil_to_days((struct civil){.year = year, .month = month, .day = 1}) * DAY_S;
}

static struct period month_at(unsigned year, unsigned month)
{
    uint64_t begin = month_begin(year, month);
    return (struct period){begin, begin + (uint64_t)civil_month_days(year, month) * DAY_S};
}

hsm_err month_parse(struct bytes text, struct period *ret)
{
    unsigned number[2] = {0, 0};
    if (text.n != MONTH_TEXT_LEN || text.p[4] != '-')
        return HSM_E_BAD_PARAMETER;
    for (size_t i = 0; i < MONTH_TEXT_LEN; i++) {
        if (i == 4)
            continue;
        if (text.p[i] < '0' || text.p[i] > '9')
            return HSM_E_BAD_PARAMETER;
        number[i > 4] = number[i > 4] * 10 + (unsigned)(text.p[i] - '0');
    }
    if (number[0] < 1970 || number[1] < 1 || number[1] > 12)
        return HSM_E_BAD_PARAMETER;
    *ret = month_at(number[0], number[1]);
    return HSM_OK;
}

static struct civil date_of(uint64_t t_s)
{
    return civil_of_days((t_s < BILLING_TIME_MAX ? t_s : BILLING_TIME_MAX) / DAY_S);
}

struct period month_of(uint64_t t_s)
{
    struct civil c = date_of(t_s);
    return month_at(c.year, c.month);
}

void month_format(uint64_t t_s, char dst[MONTH_TEXT_LEN + 1])
{
    char text[32];
    struct civil c = date_of(t_s);
    (void)snprintf(text, sizeof text, "%04u-%02u", c.year % 10000, c.month % 100);
    memcpy(dst, text, MONTH_TEXT_LEN);
    dst[MONTH_TEXT_LEN] = '\0';
}

/* ---- hours ---- */

/* How many of the hours 0 .. n-1 begin before t. */
static uint64_t begun_before(uint64_t from, uint64_t n, uint64_t t)
{
    uint64_t begun = t <= from ? 0 : (t - from + BILLING_HOUR_S - 1) / BILLING_HOUR_S;
    return begun < n ? begun : n;
}

uint64_t billing_hours(uint64_t provisioned_s, uint64_t until_s, uint64_t minimum, struct period p)
{
    uint64_t n = begun_before(provisioned_s, UINT64_MAX, until_s);
    if (n < minimum)
        n = minimum;
    return begun_before(provisioned_s, n, p.end) - begun_before(provisioned_s, n, p.begin);
}

/* ---- keys and operations ---- */

static bool is_type(struct bytes t)
{
    if (t.n == 0 || t.n > PRICE_BOOK_TYPE_MAX)
        return false;
    for (size_t i = 0; i < t.n; i++) {
        uint8_t c = t.p[i], low = c | 0x20;
        if (!(c >= '0' && c <= '9') && !(low >= 'a' && low <= 'z') && c != '-')
            return false;
    }
    return true;
}

static uint64_t sum_of(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

hsm_err key_amounts_add(struct key_amounts *a, struct bytes type, uint64_t amount)
{
    size_t i = 0;
    while (i < a->n && !bytes_eq_str(type, a->of[i].type))
        i++;
    if (i == a->n) {
        if (i == BILLING_TYPES_MAX || !is_type(type))
            return HSM_E_RANGE;
        memcpy(a->of[i].type, type.p, type.n);
        a->of[i].type[type.n] = '\0';
        a->of[i].amount = 0;
        a->n++;
    }
    a->of[i].amount = sum_of(a->of[i].amount, amount);
    return HSM_OK;
}

hsm_err key_amounts_read(const struct json_doc *d, uint32_t v, struct key_amounts *ret)
{
    struct key_amounts a = {.n = 0};
    if (v == JSON_NONE || json_type_of(d, v) != JSON_OBJECT)
        return HSM_E_BAD_PARAMETER;
    for (uint32_t m = json_first(d, v); m != JSON_NONE; m = json_next(d, v, m)) {
        struct bytes type;
        int64_t n = 0;
        if (json_plain(d, m, &type) != HSM_OK || json_int(d, json_value(m), &n) != HSM_OK ||
            n < 0 || key_amounts_add(&a, type, (uint64_t)n) != HSM_OK)
            return HSM_E_BAD_PARAMETER;
    }
    *ret = a;
    return HSM_OK;
}

void key_amounts_write(struct json_wr *j, const struct key_amounts *a)
{
    json_obj_open(j);
    for (size_t i = 0; i < a->n; i++) {
        json_name(j, a->of[i].type);
        json_put_int(j, a->of[i].amount < INT64_MAX ? (int64_t)a->of[i].amount : INT64_MAX);
    }
    json_obj_close(j);
}

void key_time_add(struct key_amounts *sum, const struct key_amounts *keys, uint64_t since_s,
                  uint64_t until_s, struct period p)
{
    uint64_t from = since_s > p.begin ? since_s : p.begin;
    uint64_t to = until_s < p.end ? until_s : p.end;
    for (size_t i = 0; from < to && i < keys->n; i++) {
        uint64_t time;
        if (keys->of[i].amount == 0)
            continue;
        if (__builtin_mul_overflow(keys->of[i].amount, to - from, &time))
            time = UINT64_MAX;
        if (key_amounts_add(sum, bytes_str(keys->of[i].type), time) != HSM_OK)
            continue;
    }
}

uint64_t counter_growth(uint64_t before, uint64_t now)
{
    return now >= before ? now - before : 0;
}

/* ---- prices ---- */

uint64_t billing_key_months(uint64_t key_seconds, struct period p)
{
    return (uint64_t)money_times(MONEY_UNIT, key_seconds, p.end - p.begin);
}

void billing_charge(const struct price_book *b, const struct usage *u, struct period p,
                    struct charge *ret)
{
    struct charge c = {.pool = money_times(b->hour, u->hours, 1)};
    for (size_t i = 0; i < u->key_seconds.n; i++) {
        const struct key_amount *k = &u->key_seconds.of[i];
        money month = 0;
        c.priced[i] = price_book_key(b, bytes_str(k->type), &month);
        c.key[i] = money_times(month, k->amount, p.end - p.begin);
        c.keys = money_sum(c.keys, c.key[i]);
    }
    if (b->per > 0)
        c.operations = money_times(b->operations, u->operations, b->per);
    *ret = c;
}
