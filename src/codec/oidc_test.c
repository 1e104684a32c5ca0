#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "codec/oidc.h"

static void issuers(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *path;
        unsigned port;
    } good[] = {
        {"https://Op.example", "op.example", "/.well-known/openid-configuration", 443},
        {"https://op.example/", "op.example", "/.well-known/openid-configuration", 443},
        {"https://op.example:8443/a/b", "op.example", "/a/b/.well-known/openid-configuration",
         8443},
        {"https://[::1]:1/", "::1", "/.well-known/openid-configuration", 1},
    };
    static const char *const bad[] = {"",
                                      "http://op.example",
                                      "https://",
                                      "https:///x",
                                      "https://op.example/?a",
                                      "https://op.example?a",
                                      "https://op.example/#a",
                                      "https://u@op.example/",
                                      "https://op.example/a b",
                                      "https://op.example:x/"};
    char host[256], path[OIDC_PATH_MAX];
    uint16_t port;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(oidc_issuer_parse(bytes_str(good[i].url), host, &port, path), HSM_OK);
        assert_string_equal(host, good[i].host);
        assert_string_equal(path, good[i].path);
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(oidc_issuer_parse(bytes_str(bad[i]), host, &port, path), HSM_E_MALFORMED);
}

static void metadata(void **state)
{
    (void)state;
    static const char issuer[] = "https://op.example:8443/x";
    static const struct {
        const char *json;
        hsm_err want;
    } rows[] = {
        {"{\"issuer\":\"https://op.example:8443/x\",\"jwks_uri\":\"https://OP.example:8443/k?a\"}",
         HSM_OK},
        {"{\"issuer\":\"https://op.example:8443/\",\"jwks_uri\":\"https://op.example:8443/k\"}",
         HSM_E_MALFORMED},
        {"{\"jwks_uri\":\"https://op.example:8443/k\"}", HSM_E_MALFORMED},
        {"{\"issuer\":\"https://op.example:8443/x\"}", HSM_E_MALFORMED},
        {"{\"issuer\":\"https://op.example:8443/x\",\"jwks_uri\":\"http://op.example:8443/k\"}",
         HSM_E_MALFORMED},
        {"{\"issuer\":\"https://op.example:8443/x\",\"jwks_uri\":\"https://op.example/k\"}",
         HSM_E_MISDIRECTED},
        {"{\"issuer\":\"https://op.example:8443/x\",\"jwks_uri\":\"https://evil.example:8443/k\"}",
         HSM_E_MISDIRECTED},
        {"{\"issuer\":\"https://op.example:8443/x\",\"jwks_uri\":\"https://op.example:8443\"}",
         HSM_E_MALFORMED},
        {"{\"issuer\":\"https://op.example:8443/x\",\"jwks_uri\":\"https://op.example:8443/"
         "k\\r\\n\"}",
         HSM_E_MALFORMED},
        {"[]", HSM_E_MALFORMED},
    };
    char path[OIDC_PATH_MAX];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(oidc_metadata_parse(bytes_str(rows[i].json), issuer, path), rows[i].want);
    assert_int_equal(oidc_metadata_parse(bytes_str(rows[0].json), issuer, path), HSM_OK);
    assert_string_equal(path, "/k?a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(issuers), cmocka_unit_test(metadata)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
