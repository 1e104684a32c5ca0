#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/mutate.h"
#include "fabric/key_url.h"

#define V "0123456789abcdef0123456789ABCDEF"

static void good(void **state)
{
    (void)state;
    struct key_url u;
    assert_int_equal(
        key_url_parse(bytes_str("https://one.managedhsm.azure.net/keys/My-Key/" V), &u), HSM_OK);
    assert_true(bytes_eq_str(u.authority, "one.managedhsm.azure.net"));
    assert_true(bytes_eq_str(u.pool, "one"));
    assert_true(bytes_eq_str(u.name, "My-Key"));
    assert_true(bytes_eq_str(u.version, V));
    assert_int_equal(key_url_parse(bytes_str("https://one.managedhsm.localhost:8443/keys/k"), &u),
                     HSM_OK);
    assert_true(bytes_eq_str(u.authority, "one.managedhsm.localhost:8443"));
    assert_int_equal(u.version.n, 0);
    assert_int_equal(pool_url_parse(bytes_str("https://one.managedhsm.azure.net/"), &u), HSM_OK);
    assert_int_equal(pool_url_parse(bytes_str("https://one.managedhsm.azure.net"), &u), HSM_OK);
    assert_true(bytes_eq_str(u.pool, "one"));
}

static void wrong(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "",
        "https://",
        "http://one.managedhsm.azure.net/keys/k",
        "https://one/keys/k",
        "https://.azure.net/keys/k",
        "https://user@one.azure.net/keys/k",
        "https://one.azure.net:0x1/keys/k",
        "https://[::1]/keys/k",
        "https://one.azure.net/keys/",
        "https://one.azure.net/keys/k/",
        "https://one.azure.net/keys//" V,
        "https://one.azure.net/keys/a_b/" V,
        "https://one.azure.net/keys/k/" V "0",
        "https://one.azure.net/keys/k/" V "/x",
        "https://one.azure.net/keys/k/0123456789abcdef0123456789abcdeg",
        "https://one.azure.net/secrets/k/" V,
        "https://one.azure.net/keys/k?x=1",
        "https://one.azure.net/keys/k#f",
        " https://one.azure.net/keys/k",
    };
    struct key_url u;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (key_url_parse(bytes_str(keys[i]), &u) != HSM_E_INVALID_KEY_ID)
            fail_msg("taken: %s", keys[i]);
    assert_int_equal(pool_url_parse(bytes_str("https://one.azure.net/keys"), &u),
                     HSM_E_INVALID_KEY_ID);
    assert_int_equal(pool_url_parse(bytes_str("one.azure.net"), &u), HSM_E_INVALID_KEY_ID);
}

static void try_url(struct bytes in, void *arg)
{
    struct key_url u;
    (void)arg;
    if (key_url_parse(in, &u) == HSM_OK)
        assert_true(u.name.n > 0 && u.name.p + u.name.n <= in.p + in.n);
    hsm_err err = pool_url_parse(in, &u);
    assert_true(err == HSM_OK || err == HSM_E_INVALID_KEY_ID);
}

static void damaged(void **state)
{
    (void)state;
    mutate_each(bytes_str("https://one.managedhsm.azure.net:8443/keys/My-Key/" V), try_url, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(wrong),
        cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
