#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/civil.h"
#include "base/mutate.h"
#include "model/duration.h"

static void texts(void **state)
{
    static const struct {
        const char *text;
        uint32_t months, days;
        uint64_t nominal;
    } good[] = {
        {"P28D", 0, 28, 28},
        {"P1M", 1, 0, 30},
        {"P18M", 18, 0, 545},
        {"P2Y", 24, 0, 730},
        {"P24M", 24, 0, 730},
        {"P4W", 0, 28, 28},
        {"P1Y2M3W4D", 14, 25, 450},
        {"P1Y4D", 12, 4, 369},
        {"P0D", 0, 0, 0},
        {"P007D", 0, 7, 7},
        {"P9999999Y9999999M", 129999987, 0, (uint64_t)10833332 * 365 + 90},
        {"P9999999W9999999D", 0, 79999992, 79999992},
    };
    static const char *const bad[] = {
        "",
        "P",
        "p1D",
        "1D",
        "P1",
        "PD",
        "P1d",
        "P1D ",
        " P1D",
        "P1M1Y",
        "P1D1W",
        "P1D1D",
        "P1Y1Y",
        "PT1H",
        "P1DT1H",
        "P1.5D",
        "P1,5D",
        "-P1D",
        "+P1D",
        "P-1D",
        "P1H",
        "P10000000D",
        "P1D\n",
        "P1DP1D",
        "P1Y 2M",
        "P1S",
        "PP1D",
        "P0x1D",
        "P00000001D",
        "P1Y2M3W4D5X",
        "P0000001Y0000001M0000001W0000001D",
    };
    struct duration d = {.months = 7, .days = 7};
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (duration_parse(bytes_str(bad[i]), &d) != HSM_E_BAD_PARAMETER || d.months != 7)
            fail_msg("'%s' is taken", bad[i]);
    assert_int_equal(duration_parse(bytes_of("P1D\0", 4), &d), HSM_E_BAD_PARAMETER);
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(duration_parse(bytes_str(good[i].text), &d), HSM_OK);
        assert_int_equal(d.months, good[i].months);
        assert_int_equal(d.days, good[i].days);
        assert_int_equal(duration_nominal_days(d), good[i].nominal);
    }
}

static uint64_t at(unsigned y, unsigned m, unsigned d, unsigned in_day)
{
    return civil_to_days((struct civil){.year = y, .month = m, .day = d}) * 86400 + in_day;
}

static struct duration of(const char *text)
{
    struct duration d;
    assert_int_equal(duration_parse(bytes_str(text), &d), HSM_OK);
    return d;
}

static void calendar(void **state)
{
    static const struct {
        const char *d;
        unsigned from[3], after[3], before[3];
    } c[] = {
        {"P1D", {2024, 2, 28}, {2024, 2, 29}, {2024, 2, 27}},
        {"P1D", {2023, 2, 28}, {2023, 3, 1}, {2023, 2, 27}},
        {"P1M", {2024, 1, 31}, {2024, 2, 29}, {2023, 12, 31}},
        {"P1M", {2023, 1, 31}, {2023, 2, 28}, {2022, 12, 31}},
        {"P1M", {2024, 3, 31}, {2024, 4, 30}, {2024, 2, 29}},
        {"P1M", {2100, 3, 30}, {2100, 4, 30}, {2100, 2, 28}},
        {"P2M", {2023, 12, 31}, {2024, 2, 29}, {2023, 10, 31}},
        {"P1Y", {2024, 2, 29}, {2025, 2, 28}, {2023, 2, 28}},
        {"P4Y", {2024, 2, 29}, {2028, 2, 29}, {2020, 2, 29}},
        {"P4Y", {2096, 2, 29}, {2100, 2, 28}, {2092, 2, 29}},
        {"P18M", {2024, 8, 31}, {2026, 2, 28}, {2023, 2, 28}},
        {"P1M1D", {2024, 1, 31}, {2024, 3, 1}, {2023, 12, 30}}, /* months first */
        {"P1Y1M1W", {2024, 12, 25}, {2026, 2, 1}, {2023, 11, 18}},
        {"P365D", {2024, 1, 1}, {2024, 12, 31}, {2023, 1, 1}},
        {"P0D", {2024, 2, 29}, {2024, 2, 29}, {2024, 2, 29}},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof c / sizeof c[0]; i++) {
        for (unsigned in_day = 0; in_day < 86400; in_day += 86399) {
            uint64_t t = at(c[i].from[0], c[i].from[1], c[i].from[2], in_day);
            assert_int_equal(duration_after(t, of(c[i].d)),
                             at(c[i].after[0], c[i].after[1], c[i].after[2], in_day));
            assert_int_equal(duration_before(t, of(c[i].d)),
                             at(c[i].before[0], c[i].before[1], c[i].before[2], in_day));
        }
    }
}

static void ends_of_time(void **state)
{
    uint64_t last = TIME_MAX_S;
    (void)state;
    assert_int_equal(at(9999, 12, 31, 86399), last);
    assert_int_equal(duration_after(last, of("P1D")), last);
    assert_int_equal(duration_after(last, of("P1M")), last);
    assert_int_equal(duration_after(at(9998, 12, 31, 5), of("P1Y")), at(9999, 12, 31, 5));
    assert_int_equal(duration_after(at(9998, 12, 31, 5), of("P1Y1D")), last);
    assert_int_equal(duration_after(0, of("P999999Y9999999M9999999W9999999D")), last);
    assert_int_equal(duration_after(0, of("P9999999W9999999D")), last);
    assert_int_equal(duration_after(UINT64_MAX, of("P1D")), last);
    assert_int_equal(duration_before(UINT64_MAX, of("P1D")), last - 86400);
    assert_int_equal(duration_before(at(1970, 3, 1, 7), of("P2M")), at(1970, 1, 1, 7));
    assert_int_equal(duration_before(at(1970, 3, 1, 7), of("P3M")), 0);
    assert_int_equal(duration_before(at(1970, 3, 1, 7), of("P2M1D")), 0);
    assert_int_equal(duration_before(0, of("P1D")), 0);
    assert_int_equal(duration_before(last, of("P999999Y9999999M9999999W9999999D")), 0);
}

static void try_parse(struct bytes sample, void *arg)
{
    struct duration d;
    (void)arg;
    if (duration_parse(sample, &d) == HSM_OK)
        assert_true(sample.n >= 3 && sample.n <= DURATION_TEXT_MAX);
}

static void mutated(void **state)
{
    (void)state;
    mutate_each(bytes_str("P1Y2M3W4D"), try_parse, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(calendar),
        cmocka_unit_test(ends_of_time),
        cmocka_unit_test(mutated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
