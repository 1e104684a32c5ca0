#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/text.h"

static void test_numbers(void **state)
{
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "1x", "0x1", "65536", "99999999999999999999"};
    long v = 7;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(text_number(bad[i], 65535, &v));
        assert_int_equal(v, 7);
    }
    assert_true(text_number("65535", 65535, &v));
    assert_int_equal(v, 65535);
    assert_true(text_number("0", 65535, &v));
    assert_int_equal(v, 0);
}

static void test_listen(void **state)
{
    static const char *const bad[] = {"",    ":",       "127.0.0.1", "127.0.0.1:",  ":80",
                                      "[]:", "a:65536", "a:-1",      "0123456789:1"};
    char addr[10] = "kept";
    uint16_t port = 7;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(text_listen(bad[i], addr, sizeof addr, &port));
        assert_string_equal(addr, "kept");
        assert_int_equal(port, 7);
    }
    assert_true(text_listen("127.0.0.1:0", addr, sizeof addr, &port));
    assert_string_equal(addr, "127.0.0.1");
    assert_int_equal(port, 0);
    assert_true(text_listen("[::1]:8443", addr, sizeof addr, &port));
    assert_string_equal(addr, "::1");
    assert_int_equal(port, 8443);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
