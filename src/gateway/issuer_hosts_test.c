#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "gateway/issuer_hosts.h"

#define OWN                                                                                        \
    "{\"issuer\":\"https://sts\",\"host\":\"localhost\",\"port\":1,\"path\":\"/"                   \
    "k\",\"roots\":\"x\"}"

static void of_pool_json(void **state)
{
    (void)state;
    struct issuer_hosts h;
    assert_int_equal(issuer_hosts_parse(
                         bytes_str("{\"auth\":{\"issuers\":[" OWN
                                   ",{\"issuer\":\"https://Op.example:9443/x\",\"audience\":\"a\"},"
                                   "{\"issuer\":\"https://b.example\",\"audience\":\"a\"}]}}"),
                         &h),
                     HSM_OK);
    assert_int_equal(h.n, 2);
    assert_true(issuer_hosts_has(&h, "op.example", 9443));
    assert_true(issuer_hosts_has(&h, "b.example", 443));
    assert_false(issuer_hosts_has(&h, "op.example", 443));
    assert_false(issuer_hosts_has(&h, "localhost", 1));
    static const char *const bad[] = {
        "",
        "[]",
        "{\"auth\":{\"issuers\":[{\"audience\":\"a\"}]}}",
        "{\"auth\":{\"issuers\":[{\"issuer\":\"http://a\",\"audience\":\"a\"}]}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(issuer_hosts_parse(bytes_str(bad[i]), &h), HSM_E_MALFORMED);
    assert_int_equal(issuer_hosts_read("/nonexistent/pool.json", &h), HSM_OK);
    assert_int_equal(h.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(of_pool_json)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
