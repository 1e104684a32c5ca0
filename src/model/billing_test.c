#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "model/billing.h"

#define HOUR (uint64_t)3600
#define DAY  (24 * HOUR)

static struct period month(const char *text)
{
    struct period p = {0, 0};
    assert_int_equal(month_parse(bytes_str(text), &p), HSM_OK);
    return p;
}

static void months(void **state)
{
    (void)state;
    struct period p = month("2026-11");
    char text[MONTH_TEXT_LEN + 1];
    assert_int_equal(p.begin, 1793491200);
    assert_int_equal(p.end - p.begin, 30 * DAY);
    assert_int_equal(month("2028-02").end - month("2028-02").begin, 29 * DAY);
    assert_int_equal(month("2026-12").begin, p.end);
    assert_int_equal(month("2027-01").begin, month("2026-12").end);
    assert_int_equal(month_of(p.end - 1).begin, p.begin);
    assert_int_equal(month_of(p.end).begin, p.end);
    month_format(p.end - 1, text);
    assert_string_equal(text, "2026-11");
    month_format(UINT64_MAX, text);
    assert_string_equal(text, "9999-12");
    static const char *const wrong[] = {"",        "2026",    "2026-1",  "2026-13",  "2026-00",
                                        "1969-12", "2026/11", "2026-1x", "2026-111", "-026-11"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(month_parse(bytes_str(wrong[i]), &p), HSM_E_BAD_PARAMETER);
}

static void hours_of_a_whole_month(void **state)
{
    (void)state;
    struct period p = month("2026-11");
    assert_int_equal(billing_hours(p.begin, p.end, 24, p), 720);
    assert_int_equal(billing_hours(p.begin - 5 * DAY, p.end + DAY, 24, p), 720);
    struct period dec = month("2026-12");
    assert_int_equal(billing_hours(p.begin, dec.end, 24, dec), 744);
}

static void a_started_hour_counts(void **state)
{
    (void)state;
    struct period p = month("2026-11");
    uint64_t t = p.begin + 3 * DAY;
    assert_int_equal(billing_hours(t, t, 0, p), 0);
    assert_int_equal(billing_hours(t, t + 1, 0, p), 1);
    assert_int_equal(billing_hours(t, t + HOUR, 0, p), 1);
    assert_int_equal(billing_hours(t, t + HOUR + 1, 0, p), 2);
    assert_int_equal(billing_hours(t, t - 1, 0, p), 0); /* a clock that was set back */
}

/* Purged at once: that day is billed. */
static void a_day_at_least(void **state)
{
    (void)state;
    struct period p = month("2026-11"), next = month("2026-12");
    assert_int_equal(billing_hours(p.begin + HOUR, p.begin + HOUR + 60, 24, p), 24);
    assert_int_equal(billing_hours(p.begin, p.begin + 24 * HOUR, 24, p), 24);
    assert_int_equal(billing_hours(p.begin, p.begin + 24 * HOUR + 1, 24, p), 25);
    /* Late on the last day the rest of the day's hours fall into the next month. */
    uint64_t t = p.end - 90 * 60;
    assert_int_equal(billing_hours(t, t + 60, 24, p), 2);
    assert_int_equal(billing_hours(t, t + 60, 24, next), 22);
}

/* Whatever the moments are, months add up to the whole, and no hour is in two of them. */
static void months_add_up(void **state)
{
    (void)state;
    const struct period year = {month("2026-01").begin, month("2027-12").end};
    for (uint64_t i = 0; i < 400; i++) {
        uint64_t from = year.begin + i * 70001, until = from + i * i * 211;
        uint64_t sum = 0;
        for (struct period p = month_of(year.begin); p.begin < year.end; p = month_of(p.end))
            sum += billing_hours(from, until, 24, p);
        assert_int_equal(sum, billing_hours(from, until, 24, year));
        uint64_t whole = (until - from + HOUR - 1) / HOUR;
        assert_int_equal(sum, whole < 24 ? 24 : whole);
    }
}

static uint64_t amount(const struct key_amounts *a, const char *type)
{
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->of[i].type, type) == 0)
            return a->of[i].amount;
    return 0;
}

static void key_time(void **state)
{
    (void)state;
    struct period p = month("2026-11"), next = month("2026-12");
    struct key_amounts keys = {.n = 0}, sum = {.n = 0}, later = {.n = 0};
    assert_int_equal(key_amounts_add(&keys, bytes_str("RSA-2048"), 3), HSM_OK);
    assert_int_equal(key_amounts_add(&keys, bytes_str("EC-P-256"), 1), HSM_OK);
    assert_int_equal(key_amounts_add(&keys, bytes_str("oct-256"), 0), HSM_OK);
    struct key_amounts full = {.n = 0};
    /* Ten hours, six of them in November. */
    uint64_t since = p.end - 6 * HOUR, until = p.end + 4 * HOUR;
    key_time_add(&sum, &keys, since, until, p);
    key_time_add(&later, &keys, since, until, next);
    assert_int_equal(amount(&sum, "RSA-2048"), 18 * HOUR);
    assert_int_equal(amount(&sum, "EC-P-256"), 6 * HOUR);
    assert_int_equal(amount(&later, "RSA-2048"), 12 * HOUR);
    assert_int_equal(sum.n, 2);
    key_time_add(&sum, &keys, until, since, p);
    assert_int_equal(amount(&sum, "RSA-2048"), 18 * HOUR);
    for (char type[4] = "T-a"; full.n < BILLING_TYPES_MAX; type[2]++)
        assert_int_equal(key_amounts_add(&full, bytes_str(type), 1), HSM_OK);
    key_time_add(&full, &keys, since, until, p);
    assert_int_equal(full.n, BILLING_TYPES_MAX);
    assert_int_equal(counter_growth(10, 15), 5);
    assert_int_equal(counter_growth(10, 4), 0);
}

static void key_types(void **state)
{
    (void)state;
    struct key_amounts a = {.n = 0};
    char type[8] = "T-0";
    static const char *const wrong[] = {"", "a b", "a\"", "1234567890123456789012345", "RSA*"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(key_amounts_add(&a, bytes_str(wrong[i]), 1), HSM_E_RANGE);
    for (unsigned i = 0; i < BILLING_TYPES_MAX; i++) {
        type[2] = (char)('a' + i);
        assert_int_equal(key_amounts_add(&a, bytes_str(type), i), HSM_OK);
    }
    assert_int_equal(key_amounts_add(&a, bytes_str("one-more"), 1), HSM_E_RANGE);
    assert_int_equal(key_amounts_add(&a, bytes_str("T-b"), UINT64_MAX), HSM_OK);
    assert_int_equal(amount(&a, "T-b"), UINT64_MAX);
}

static void amounts_as_json(void **state)
{
    (void)state;
    static const char text[] = "{\"RSA-2048\":3,\"EC-P-256\":0}";
    static const char *const wrong[] = {"[]",          "{\"a\":-1}",  "{\"a\":\"1\"}",
                                        "{\"a b\":1}", "{\"a\":1.5}", "null"};
    struct json_tok toks[16];
    struct json_doc d;
    struct key_amounts a = {.n = 0};
    uint8_t buf[256];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    assert_int_equal(json_parse(bytes_str(text), toks, 16, &d), HSM_OK);
    assert_int_equal(key_amounts_read(&d, 0, &a), HSM_OK);
    key_amounts_write(&j, &a);
    assert_true(bytes_eq_str(wr_view(&w), text));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(json_parse(bytes_str(wrong[i]), toks, 16, &d), HSM_OK);
        assert_int_equal(key_amounts_read(&d, 0, &a), HSM_E_BAD_PARAMETER);
    }
    assert_int_equal(key_amounts_read(&d, JSON_NONE, &a), HSM_E_BAD_PARAMETER);
    assert_int_equal(a.n, 2);
}

static void charges(void **state)
{
    (void)state;
    struct period p = month("2026-11");
    struct price_book b;
    struct charge c;
    struct usage u = {.hours = 720, .operations = 25000};
    price_book_default(&b);
    /* Two RSA-2048 keys all month, an EC key for half of it, one AES key. */
    assert_int_equal(key_amounts_add(&u.key_seconds, bytes_str("RSA-2048"), 60 * DAY), HSM_OK);
    assert_int_equal(key_amounts_add(&u.key_seconds, bytes_str("EC-P-256"), 15 * DAY), HSM_OK);
    assert_int_equal(key_amounts_add(&u.key_seconds, bytes_str("oct-256"), 30 * DAY), HSM_OK);
    billing_charge(&b, &u, p, &c);
    assert_int_equal(c.pool, (money)2304 * MONEY_UNIT);
    assert_int_equal(c.keys, 4500000);
    assert_int_equal(c.key[0], 2000000);
    assert_int_equal(c.key[1], 2500000);
    assert_true(c.priced[1]);
    assert_false(c.priced[2]);
    assert_int_equal(c.operations, 75000);
    assert_int_equal(billing_key_months(15 * DAY, p), 500000);
    assert_int_equal(billing_key_months(60 * DAY, p), 2000000);
    b.per = 0;
    billing_charge(&b, &u, p, &c);
    assert_int_equal(c.operations, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(months),
        cmocka_unit_test(hours_of_a_whole_month),
        cmocka_unit_test(a_started_hour_counts),
        cmocka_unit_test(a_day_at_least),
        cmocka_unit_test(months_add_up),
        cmocka_unit_test(key_time),
        cmocka_unit_test(key_types),
        cmocka_unit_test(amounts_as_json),
        cmocka_unit_test(charges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
