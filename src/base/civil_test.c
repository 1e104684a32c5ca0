#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/civil.h"

/* Every day of 1970 to 9999, counted one after the other. */
static void every_day(void **state)
{
    uint64_t day = 0;
    (void)state;
    for (unsigned y = 1970; y <= 9999; y++) {
        for (unsigned m = 1; m <= 12; m++) {
            for (unsigned d = 1; d <= civil_month_days(y, m); d++, day++) {
                struct civil c = civil_of_days(day);
                if (c.year != y || c.month != m || c.day != d || civil_to_days(c) != day)
                    fail_msg("day %llu is %u-%u-%u, not %u-%u-%u", (unsigned long long)day, c.year,
                             c.month, c.day, y, m, d);
            }
        }
    }
    assert_int_equal(day, 253402300800u / 86400);
}

static void lengths_of_months(void **state)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    (void)state;
    for (unsigned m = 1; m <= 12; m++)
        assert_int_equal(civil_month_days(2027, m), days[m - 1]);
    assert_int_equal(civil_month_days(2024, 2), 29);
    assert_int_equal(civil_month_days(2000, 2), 29);
    assert_int_equal(civil_month_days(2100, 2), 28);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_day),
        cmocka_unit_test(lengths_of_months),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
