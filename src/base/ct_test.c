#include "base/ct.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void every_bit_counts(void **state)
{
    (void)state;
    uint8_t a[33] = {0};
    uint8_t b[33] = {0};
    for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
        b[bit / 8] = (uint8_t)(1u << bit % 8);
        assert_false(ct_eq(a, b, sizeof a));
        b[bit / 8] = 0;
    }
    assert_true(ct_eq(a, b, sizeof a));
    assert_true(ct_eq(a, b, 0));
}

static void masks(void **state)
{
    (void)state;
    static const uint32_t nonzero[] = {1, 2, 0x80, 0x7fffffffu, 0x80000000u, 0xffffffffu};
    for (size_t i = 0; i < sizeof nonzero / sizeof nonzero[0]; i++)
        assert_int_equal(ct_mask_nz32(nonzero[i]), 0xffffffffu);
    assert_int_equal(ct_mask_nz32(0), 0);
    assert_int_equal(ct_select32(0xffffffffu, 5, 7), 5);
    assert_int_equal(ct_select32(0, 5, 7), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_bit_counts), cmocka_unit_test(masks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
