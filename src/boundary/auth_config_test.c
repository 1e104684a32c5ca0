/* The configuration of token verification, and the bounds of its cache. */
#include "boundary/auth_testing.h"

#include "boundary/auth_internal.h"

static void config(void **state)
{
    (void)state;
    static const char good[] =
        "{\"tenant\":\"72F988BF-86f1-41af-91ab-2d7cd011db47\","
        "\"audienceHosts\":[\"managedhsm.localhost\",\"ManagedHSM.azure.net\"],"
        "\"issuers\":[{\"issuer\":\"" ISSUER "\",\"host\":\"localhost\",\"port\":8443,"
        "\"path\":\"/keys\",\"roots\":\"-----BEGIN\\n-----\\n\"}]}";
    struct auth_config c;
    char why[128];
    assert_int_equal(auth_config_parse(bytes_str(good), &c, why, sizeof why), HSM_OK);
    assert_string_equal(c.tenant, TENANT);
    assert_int_equal(c.audience_n, 2);
    assert_string_equal(c.audience_host[1], "managedhsm.azure.net");
    assert_int_equal(c.issuer_n, 1);
    assert_string_equal(c.issuer[0].issuer, ISSUER);
    assert_string_equal(c.issuer[0].host, "localhost");
    assert_int_equal(c.issuer[0].port, 8443);
    assert_string_equal(c.issuer[0].path, "/keys");
    assert_string_equal(c.issuer[0].roots_pem, "-----BEGIN\n-----\n");
    struct auth *a;
    struct auth_relay relay = {0};
    assert_int_equal(auth_new(&c, &relay, &a), HSM_E_BAD_PARAMETER); /* roots are no certificate */
    for (size_t n = 0; n + 1 < sizeof good; n++)
        assert_int_equal(auth_config_parse(bytes_of(good, n), &c, why, sizeof why),
                         HSM_E_BAD_PARAMETER);
    static const struct {
        const char *from;
        const char *to;
    } damage[] = {
        {"\"port\":8443", "\"port\":0"},
        {"\"port\":8443", "\"port\":65536"},
        {"\"port\":8443", "\"port\":\"8443\""},
        {"\"/keys\"", "\"keys\""},
        {"\"/keys\"", "\"/ke ys\""},
        {"\"/keys\"", "\"/k\\r\\nX:1\""},
        {"\"localhost\"", "\"local host\""},
        {"\"localhost\"", "\"localhost:1\""},
        {"\"localhost\"", "\"\""},
        {"\"roots\"", "\"root\""},
        {"72F988BF", "72F988B"},
        {"[\"managedhsm.localhost\",\"ManagedHSM.azure.net\"]", "[]"},
        {"[\"managedhsm.localhost\",\"ManagedHSM.azure.net\"]", "\"x\""},
        {"\"issuers\"", "\"issuer\""},
        {"\"issuer\":\"", "\"issuer\":\"a b"},
    };
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        char text[1024];
        const char *at = strstr(good, damage[i].from);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, damage[i].to,
                 at + strlen(damage[i].from));
        why[0] = 0;
        if (auth_config_parse(bytes_str(text), &c, why, sizeof why) != HSM_E_BAD_PARAMETER)
            fail_msg("accepted: %s", text);
        assert_int_not_equal(why[0], 0);
    }
}

static void cache_is_bounded(void **state)
{
    (void)state;
    struct auth_cache *c;
    struct auth_claims claims = {.oid = OID, .exp = NOW_S + 100};
    assert_int_equal(auth_cache_new(&c), HSM_OK);
    unsigned found = 0;
    uint8_t digest[32];
    static const struct auth_issuer issuer;
    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 20000; i++) {
            uint32_t h = i * 2654435761u;
            memset(digest, 0, sizeof digest);
            memcpy(digest, &h, sizeof h);
            if (round == 0) {
                struct identity *who;
                assert_int_equal(auth_identity_new(&claims, &issuer, &who), HSM_OK);
                struct auth_verdict v = {.generation = 1, .verified_s = NOW_S, .who = who};
                auth_cache_add(c, digest, &v, NOW_S);
                identity_unref(who);
            } else {
                struct auth_verdict v = {0};
                found += auth_cache_find(c, digest, 1, NOW_S, &v);
                identity_unref(v.who);
                assert_false(auth_cache_find(c, digest, 2, NOW_S, &v));
            }
        }
    }
    assert_true(found > 3000 && found <= 4096);
    auth_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config),
        cmocka_unit_test(cache_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
