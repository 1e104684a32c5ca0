#include "base/bytes.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void readers_refuse_short_input(void **state)
{
    (void)state;
    const uint8_t p[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct rd r = {.p = p, .n = 0};
    uint8_t v8 = 9;
    uint16_t v16 = 9;
    uint32_t v32 = 9;
    uint64_t v64 = 9;
    struct bytes b;
    assert_int_equal(rd_u8(&r, &v8), HSM_E_MALFORMED);
    r.n = 1;
    assert_int_equal(rd_u16(&r, &v16), HSM_E_MALFORMED);
    r.n = 3;
    assert_int_equal(rd_u32(&r, &v32), HSM_E_MALFORMED);
    r.n = 7;
    assert_int_equal(rd_u64(&r, &v64), HSM_E_MALFORMED);
    assert_int_equal(rd_bytes(&r, 8, &b), HSM_E_MALFORMED);
    assert_int_equal(rd_bytes(&r, SIZE_MAX, &b), HSM_E_MALFORMED);
    assert_int_equal(rd_end(&r), HSM_E_MALFORMED);
    /* nothing moved, nothing written */
    assert_ptr_equal(r.p, p);
    assert_int_equal(r.n, 7);
    assert_true(v8 == 9 && v16 == 9 && v32 == 9 && v64 == 9);
}

static void length_prefix_is_bounded(void **state)
{
    (void)state;
    const uint8_t p[] = {0, 0, 0, 3, 'a', 'b', 'c', 0xff, 0xff, 0xff, 0xff};
    struct rd r = {.p = p, .n = sizeof p};
    struct bytes b = {0};
    assert_int_equal(rd_lv(&r, 2, &b), HSM_E_MALFORMED);
    assert_int_equal(r.n, sizeof p);
    assert_int_equal(rd_lv(&r, 3, &b), HSM_OK);
    assert_true(bytes_eq_str(b, "abc"));
    assert_int_equal(rd_lv(&r, UINT32_MAX, &b), HSM_E_MALFORMED);
    assert_int_equal(r.n, 4);
}

static void writer_remembers_overflow(void **state)
{
    (void)state;
    uint8_t p[6];
    struct wr w = wr_of(p, sizeof p);
    wr_u32(&w, 1);
    wr_u32(&w, 2);
    wr_u8(&w, 3); /* would fit, but comes behind a hole */
    assert_int_equal(wr_ok(&w), HSM_E_RANGE);
    assert_int_equal(w.n, 4);
    wr_lv_close(&w, 0);
    assert_int_equal(wr_view(&w).n, 4);
}

static void round_trip(void **state)
{
    (void)state;
    uint8_t p[64];
    struct wr w = wr_of(p, sizeof p);
    size_t at = wr_lv_open(&w);
    wr_u8(&w, 0xfe);
    wr_u16(&w, 0xfedc);
    wr_u32(&w, 0xfedcba98u);
    wr_u64(&w, 0xfedcba9876543210u);
    wr_lv_close(&w, at);
    wr_lv(&w, bytes_str("xyz"));
    assert_int_equal(wr_ok(&w), HSM_OK);
    struct rd r = rd_of(wr_view(&w));
    struct bytes inner = {0};
    assert_int_equal(rd_lv(&r, 15, &inner), HSM_OK);
    struct rd i = rd_of(inner);
    uint8_t v8 = 0;
    uint16_t v16 = 0;
    uint32_t v32 = 0;
    uint64_t v64 = 0;
    assert_int_equal(rd_u8(&i, &v8), HSM_OK);
    assert_int_equal(rd_u16(&i, &v16), HSM_OK);
    assert_int_equal(rd_u32(&i, &v32), HSM_OK);
    assert_int_equal(rd_u64(&i, &v64), HSM_OK);
    assert_int_equal(rd_end(&i), HSM_OK);
    assert_true(v8 == 0xfe && v16 == 0xfedc && v32 == 0xfedcba98u && v64 == 0xfedcba9876543210u);
    assert_int_equal(rd_lv(&r, 3, &inner), HSM_OK);
    assert_true(bytes_eq_str(inner, "xyz"));
}

static void comparisons(void **state)
{
    (void)state;
    assert_false(bytes_eq(bytes_str("a"), bytes_str("ab")));
    assert_false(bytes_ieq(bytes_str("a"), bytes_str("b")));
    assert_false(bytes_ieq(bytes_str("@"), bytes_str("`"))); /* 0x40 and 0x60 are no letters */
    assert_true(bytes_ieq(bytes_str("aZ-9"), bytes_str("Az-9")));
    assert_true(bytes_eq((struct bytes){0}, bytes_str("")));
}

static void unknown_errors_are_internal(void **state)
{
    (void)state;
    assert_int_equal(hsm_err_http(HSM_E__COUNT), 500);
    assert_string_equal(hsm_err_name(0xffffffffu), "HSM_E_INTERNAL");
    assert_string_equal(hsm_err_code(HSM_E_KEY_NOT_FOUND), "KeyNotFound");
    assert_int_equal(hsm_err_http(HSM_OK), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_refuse_short_input),
        cmocka_unit_test(length_prefix_is_bounded),
        cmocka_unit_test(writer_remembers_overflow),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(comparisons),
        cmocka_unit_test(unknown_errors_are_internal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
