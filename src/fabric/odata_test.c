#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "fabric/odata.h"

static void forms(void **state)
{
    (void)state;
    struct odata_filter f;
    assert_int_equal(odata_parse(bytes_str("userPrincipalName eq 'a@b'"), &f), HSM_OK);
    assert_int_equal(f.n, 1);
    assert_true(bytes_eq_str(f.clause[0].field, "userPrincipalName"));
    assert_string_equal(f.clause[0].value, "a@b");
    assert_int_equal(odata_parse(bytes_str("servicePrincipalNames/any(c:c eq 'x')"), &f), HSM_OK);
    assert_true(bytes_eq_str(f.clause[0].field, "servicePrincipalNames"));
    assert_string_equal(f.clause[0].value, "x");
    assert_int_equal(odata_parse(bytes_str("startswith(displayName,'it''s') and mail eq ''"), &f),
                     HSM_OK);
    assert_int_equal(f.n, 2);
    assert_true(f.clause[0].prefix);
    assert_string_equal(f.clause[0].value, "it's");
    assert_string_equal(f.clause[1].value, "");
}

static void refusals(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "a",
        "a eq",
        "a eq b",
        "a eq 'b",
        "a eq 'b' or c eq 'd'",
        "a eq 'b' and",
        "a eq 'b' x",
        "a/any(c:d eq 'x')",
        "a/any(c:c eq 'x'",
        "startswith(a 'b')",
        "a eq 'b' and a eq 'b' and a eq 'b' and a eq 'b' and a eq 'b'",
        "not(a eq 'b')",
    };
    struct odata_filter f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(odata_parse(bytes_str(bad[i]), &f), HSM_E_MALFORMED);
    char text[400] = "a eq '";
    memset(text + 6, 'x', 300);
    text[306] = '\'';
    assert_int_equal(odata_parse(bytes_of(text, 307), &f), HSM_E_MALFORMED);
}

static void comparison(void **state)
{
    (void)state;
    struct odata_clause c = {.value = "key"};
    assert_true(odata_value_fits(&c, "KEY"));
    assert_false(odata_value_fits(&c, "keyhold"));
    c.prefix = true;
    assert_true(odata_value_fits(&c, "Keyhold"));
    assert_false(odata_value_fits(&c, "ke"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(refusals),
        cmocka_unit_test(comparison),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
