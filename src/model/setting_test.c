#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "model/setting.h"

static void names_and_values(void **state)
{
    static const char *const wrong[] = {"", "1", "True ", "yes", "tru", "truefalse"};
    bool on = false;
    (void)state;
    assert_int_equal(setting_find(bytes_str("AllowKeyManagementOperationsThroughARM")),
                     SETTING_KEYS_THROUGH_ARM);
    assert_int_equal(setting_find(bytes_str("allowkeymanagementoperationsthrougharm")),
                     SETTING_KEYS_THROUGH_ARM);
    assert_int_equal(setting_find(bytes_str("AllowKeyManagementOperationsThrough")),
                     SETTING__COUNT);
    assert_int_equal(setting_find(bytes_str("")), SETTING__COUNT);
    assert_string_equal(setting_name(SETTING_KEYS_THROUGH_ARM),
                        "AllowKeyManagementOperationsThroughARM");
    assert_string_equal(setting_type(SETTING_KEYS_THROUGH_ARM), "boolean");
    assert_int_equal(setting_value_parse(bytes_str("TRUE"), &on), HSM_OK);
    assert_true(on);
    assert_string_equal(setting_text(on), "true");
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(setting_value_parse(bytes_str(wrong[i]), &on), HSM_E_BAD_PARAMETER);
    assert_true(on);
    assert_int_equal(setting_value_parse(bytes_str("false"), &on), HSM_OK);
    assert_false(on);
    assert_string_equal(setting_text(on), "false");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_and_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
