/* JSON bodies to wire structs, with every refusal a client can provoke. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/body.h"
#include "model/alg.h"
#include "model/rotation.h"

#define SCRATCH_N (1u << 20)

struct kit {
    struct json_tok toks[BODY_TOKENS_MAX];
    uint8_t mem[SCRATCH_N];
    struct scratch scratch;
    char detail[ROUTE_DETAIL_MAX];
    uint8_t out[SCRATCH_N];
    struct wr w;
};
static struct kit kit;

static hsm_err run(unsigned op, const char *json)
{
    static struct route r;
    r = (struct route){.op = op, .name = bytes_str("k1"), .setting = bytes_str("s1")};
    memcpy(r.scope, "/keys", 6);
    r.guid = bytes_str("g");
    kit.scratch = (struct scratch){.p = kit.mem, .cap = sizeof kit.mem};
    kit.w = wr_of(kit.out, sizeof kit.out);
    struct body_ctx c = {
        .toks = kit.toks,
        .tok_cap = BODY_TOKENS_MAX,
        .scratch = &kit.scratch,
        .detail = kit.detail,
    };
    return body_write(&r, bytes_str(json), &c, &kit.w);
}

#define DECODE(type, m)                                                                            \
    struct wire_##type m;                                                                          \
    assert_int_equal(wire_##type##_decode(wr_view(&kit.w), &m), HSM_OK)

static void test_key_create(void **state)
{
    (void)state;
    assert_int_equal(
        run(OP_KEY_CREATE, "{\"kty\":\"RSA\",\"key_size\":2048,\"public_exponent\":3}"), HSM_OK);
    DECODE(key_create, rsa);
    assert_int_equal(rsa.kty, KTY_RSA);
    assert_int_equal(rsa.key_size, 2048);
    assert_int_equal(rsa.public_exponent, 3);
    assert_int_equal(run(OP_KEY_CREATE, "{\"kty\":\"RSA\",\"public_exponent\":0}"), HSM_OK);
    DECODE(key_create, exponent);
    assert_int_equal(exponent.public_exponent, 0);
    assert_int_equal(rsa.has_ops, 0);
    assert_int_equal(rsa.attr_set, 0);
    assert_true(bytes_eq_str(rsa.name, "k1"));
    assert_int_equal(
        run(OP_KEY_CREATE,
            "{\"kty\":\"EC-HSM\",\"crv\":\"P-384\",\"key_ops\":[\"sign\",\"verify\"],"
            "\"attributes\":{\"enabled\":false,\"exportable\":true,\"exp\":2000000000,\"nbf\":1},"
            "\"tags\":{\"b\":\"2\",\"a\":\"1\\u00e9\"},"
            "\"release_policy\":{\"contentType\":\"application/json\",\"data\":\"e30\","
            "\"immutable\":true},\"unknown\":{\"x\":[1,2]}}"),
        HSM_OK);
    DECODE(key_create, ec);
    assert_int_equal(ec.kty, KTY_EC);
    assert_int_equal(ec.crv, CRV_P384);
    assert_int_equal(ec.key_ops, KEY_OP_SIGN | KEY_OP_VERIFY);
    assert_int_equal(ec.attr_set, ATTR_ENABLED | ATTR_EXPORTABLE | ATTR_NBF | ATTR_EXP);
    assert_int_equal(ec.attr_flags, ATTR_EXPORTABLE);
    assert_int_equal(ec.exp, 2000000000);
    assert_int_equal(ec.nbf, 1);
    assert_true(bytes_eq_str(ec.release_policy, "{}"));
    assert_int_equal(ec.policy_immutable, 1);
    struct bytes item;
    struct wire_tag tag;
    assert_true(wire_list_next(&ec.tags, &item));
    assert_int_equal(wire_tag_decode(item, &tag), HSM_OK);
    assert_true(bytes_eq_str(tag.name, "a")); /* sorted */
    assert_true(bytes_eq_str(tag.value, "1\xc3\xa9"));
    assert_true(wire_list_next(&ec.tags, &item));
    assert_false(wire_list_next(&ec.tags, &item));
    /* explicit nulls and empty things mean absent */
    assert_int_equal(run(OP_KEY_CREATE,
                         "{\"kty\":\"oct-HSM\",\"key_size\":null,\"crv\":null,\"key_ops\":[],"
                         "\"attributes\":{},\"tags\":null,\"release_policy\":null,"
                         "\"public_exponent\":null}"),
                     HSM_OK);
    DECODE(key_create, oct);
    assert_int_equal(oct.kty, KTY_OCT);
    assert_int_equal(oct.key_size, 0);
    assert_int_equal(oct.has_ops, 0);
    assert_int_equal(oct.tags.n, 0);
}

static void test_key_create_refusals(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "null",
        "\"x\"",
        "{} x",
        "{}",
        "{\"kty\":\"DSA\"}",
        "{\"kty\":7}",
        "{\"kty\":\"RSA\",\"kty\":\"EC\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-999\"}",
        "{\"kty\":\"RSA\",\"key_size\":\"2048\"}",
        "{\"kty\":\"RSA\",\"key_size\":2048.5}",
        "{\"kty\":\"RSA\",\"key_size\":-1}",
        "{\"kty\":\"RSA\",\"key_size\":99999999}",
        "{\"kty\":\"RSA\",\"public_exponent\":4294967297}",
        "{\"kty\":\"RSA\",\"key_ops\":\"sign\"}",
        "{\"kty\":\"RSA\",\"key_ops\":[\"sing\"]}",
        "{\"kty\":\"RSA\",\"key_ops\":[1]}",
        "{\"kty\":\"RSA\",\"attributes\":[]}",
        "{\"kty\":\"RSA\",\"attributes\":{\"enabled\":\"yes\"}}",
        "{\"kty\":\"RSA\",\"attributes\":{\"exp\":\"1\"}}",
        "{\"kty\":\"RSA\",\"attributes\":{\"nbf\":-5}}",
        "{\"kty\":\"RSA\",\"tags\":[]}",
        "{\"kty\":\"RSA\",\"tags\":{\"a\":1}}",
        "{\"kty\":\"RSA\",\"tags\":{\"a\":null}}",
        "{\"kty\":\"RSA\",\"tags\":{\"a\":\"x\\u0000\"}}",
        "{\"kty\":\"RSA\",\"tags\":{\"1\":\"\",\"2\":\"\",\"3\":\"\",\"4\":\"\",\"5\":\"\",\"6\":"
        "\"\","
        "\"7\":\"\",\"8\":\"\",\"9\":\"\",\"10\":\"\",\"11\":\"\",\"12\":\"\",\"13\":\"\",\"14\":"
        "\"\","
        "\"15\":\"\",\"16\":\"\"}}",
        "{\"kty\":\"RSA\",\"release_policy\":{}}",
        "{\"kty\":\"RSA\",\"release_policy\":{\"data\":\"!\"}}",
        "{\"kty\":\"RSA\",\"release_policy\":\"e30\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        hsm_err err = run(OP_KEY_CREATE, bad[i]);
        if (err != HSM_E_BAD_PARAMETER)
            fail_msg("%s: %s", bad[i], hsm_err_name(err));
        assert_true(kit.detail[0] != '\0');
    }
    assert_int_equal(run(OP_KEY_CREATE, "{\"kty\":\"AKP-HSM\",\"alg\":\"ML-DSA-65\"}"),
                     HSM_E_NOT_IMPLEMENTED);
    assert_int_equal(run(OP_KEY_CREATE,
                         "{\"kty\":\"oct-HSM\",\"attributes\":{\"external_key\":{\"id\":\"x\"}}}"),
                     HSM_E_NOT_IMPLEMENTED);
}

static void test_key_import(void **state)
{
    static const char *const bad[] = {"{}",
                                      "{\"key\":null}",
                                      "{\"key\":\"a\"}",
                                      "{\"key\":[{}]}",

                                      "{\"key\":{\"d\":\"AA\",\"d\":\"AA\"}}",
                                      "{\"key\":{},\"tags\":[]}",
                                      "{\"key\":{},\"attributes\":{\"enabled\":0}}",
                                      "{\"key\":{},\"release_policy\":{}}"};
    (void)state;
    /* The JWK is not looked at here. */
    assert_int_equal(run(OP_KEY_IMPORT,
                         "{\"Hsm\":true, \"key\": {\"kty\" :7,\"x\":[ ]} ,\"tags\":{\"a\":"
                         "\"b\"},\"attributes\":{\"enabled\":false,\"exp\":9}}"),
                     HSM_OK);
    DECODE(key_import, m);
    assert_true(bytes_eq_str(m.name, "k1"));
    assert_true(bytes_eq_str(m.key, "{\"kty\" :7,\"x\":[ ]}"));
    assert_int_equal(m.attr_set, ATTR_ENABLED | ATTR_EXP);
    assert_int_equal(m.attr_flags, 0);
    assert_int_equal(m.exp, 9);
    assert_true(m.tags.n > 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        hsm_err err = run(OP_KEY_IMPORT, bad[i]);
        if (err != HSM_E_BAD_PARAMETER)
            fail_msg("%s: %s", bad[i], hsm_err_name(err));
    }
    static char text[40000];
    (void)snprintf(text, sizeof text, "{\"key\":{\"k\":\"%032761d\"}}", 0);
    assert_int_equal(run(OP_KEY_IMPORT, text), HSM_E_BAD_PARAMETER);
    (void)snprintf(text, sizeof text, "{\"key\":{\"k\":\"%032760d\"}}", 0);
    assert_int_equal(run(OP_KEY_IMPORT, text), HSM_OK);
}

static void test_key_restore(void **state)
{
    static char text[1200000];
    static const char *const none[] = {"{\"value\":\"\"}", "{\"value\":\"A\"}",
                                       "{\"value\":\"+/\"}", "{\"value\":\"AA\\u0041\"}"};
    (void)state;
    assert_int_equal(run(OP_KEY_RESTORE, "{\"value\":\"YS5iLg\"}"), HSM_OK);
    DECODE(key_backup, m);
    assert_true(bytes_eq_str(m.value, "a.b."));
    /* what is no backup is not told apart here */
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(run(OP_KEY_RESTORE, none[i]), HSM_OK);
        DECODE(key_backup, empty);
        assert_int_equal(empty.value.n, 0);
    }
    assert_int_equal(run(OP_KEY_RESTORE, "{}"), HSM_E_BAD_PARAMETER);
    assert_int_equal(run(OP_KEY_RESTORE, "{\"value\":null}"), HSM_E_BAD_PARAMETER);
    assert_int_equal(run(OP_KEY_RESTORE, "{\"value\":{}}"), HSM_E_BAD_PARAMETER);
    assert_int_equal(run(OP_KEY_RESTORE, "[]"), HSM_E_BAD_PARAMETER);
    /* the largest, and one character more */
    for (int more = 0; more < 2; more++) {
        int n = 1186667 + more;
        (void)snprintf(text, sizeof text, "{\"value\":\"%0*d\"}", n, 0);
        memset(text + 10, 'A', (size_t)n);
        assert_int_equal(run(OP_KEY_RESTORE, text), HSM_OK);
        DECODE(key_backup, large);
        assert_int_equal(large.value.n, more == 0 ? 890000 : 0);
    }
}

static void test_key_update(void **state)
{
    (void)state;
    assert_int_equal(run(OP_KEY_UPDATE, "{}"), HSM_OK);
    DECODE(key_update, none);
    assert_int_equal(none.has_ops, 0);
    assert_int_equal(none.has_tags, 0);
    assert_int_equal(run(OP_KEY_UPDATE, "{\"key_ops\":[],\"tags\":{},"
                                        "\"attributes\":{\"exportable\":false}}"),
                     HSM_OK);
    DECODE(key_update, all);
    assert_int_equal(all.has_ops, 1); /* given, though empty */
    assert_int_equal(all.has_tags, 1);
    assert_int_equal(all.attr_set, ATTR_EXPORTABLE);
    assert_int_equal(all.attr_flags, 0);
}

static void test_crypto(void **state)
{
    (void)state;
    assert_int_equal(run(OP_WRAP, "{\"alg\":\"A128KW\",\"value\":\"AAECAw\"}"), HSM_OK);
    DECODE(crypto, wrap);
    assert_int_equal(wrap.alg, ALG_A128KW);
    assert_int_equal(wrap.value.n, 4);
    assert_memory_equal(wrap.value.p, "\x00\x01\x02\x03", 4);
    assert_int_equal(wrap.has, 0);
    /* one client pads: nothing may be appended because of it */
    assert_int_equal(run(OP_WRAP, "{\"alg\":\"A128KW\",\"value\":\"AAECAw==\"}"), HSM_OK);
    DECODE(crypto, padded);
    assert_int_equal(padded.value.n, 4);
    assert_int_equal(run(OP_DECRYPT,
                         "{\"alg\":\"A256GCM\",\"value\":\"\",\"iv\":\"BGWNuVoowWgC-9iD\","
                         "\"aad\":\"EBES\",\"tag\":\"DSRswC3H-4sE3dBLy6VmWQ\"}"),
                     HSM_OK);
    DECODE(crypto, gcm);
    assert_int_equal(gcm.has, CRYPTO_HAS_IV | CRYPTO_HAS_AAD | CRYPTO_HAS_TAG);
    assert_int_equal(gcm.iv.n, 12);
    assert_int_equal(gcm.tag.n, 16);
    assert_int_equal(gcm.value.n, 0);
    assert_int_equal(run(OP_VERIFY, "{\"alg\":\"ES256\",\"digest\":\"AQI\",\"value\":\"Aw\"}"),
                     HSM_OK);
    DECODE(crypto, verify);
    assert_int_equal(verify.digest.n, 2);
    assert_int_equal(verify.value.n, 1);
    static const char *const bad[] = {
        "{\"value\":\"AA\"}",
        "{\"alg\":\"A128KW\"}",
        "{\"alg\":\"A128KW\",\"value\":null}",
        "{\"alg\":\"a128kw\",\"value\":\"AA\"}",
        "{\"alg\":\"A128KW\",\"value\":\"A\"}",
        "{\"alg\":\"A128KW\",\"value\":\"A+/A\"}",
        "{\"alg\":\"A128KW\",\"value\":[1]}",
        "{\"alg\":\"A128KW\",\"value\":\"AA\",\"iv\":5}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (run(OP_ENCRYPT, bad[i]) != HSM_E_BAD_PARAMETER)
            fail_msg("%s", bad[i]);
    }
    assert_int_equal(run(OP_VERIFY, "{\"alg\":\"ES256\",\"value\":\"AA\"}"), HSM_E_BAD_PARAMETER);
}

/* before, then that many characters of base64url, then after */
static void long_json(char *json, const char *before, size_t chars, const char *after)
{
    size_t n = strlen(before);
    memcpy(json, before, n);
    memset(json + n, 'A', chars);
    memcpy(json + n + chars, after, strlen(after) + 1);
}

static void test_crypto_limits(void **state)
{
    (void)state;
    size_t n = 131072;
    char *json = calloc(1, n * 2 + 100);
    assert_non_null(json);
    for (int over = 0; over < 2; over++) {
        size_t chars = (n + (size_t)over * 3) / 3 * 4 + 3;
        hsm_err want = over ? HSM_E_BAD_PARAMETER : HSM_OK;
        long_json(json, "{\"alg\":\"A256GCM\",\"value\":\"", chars, "\"}");
        assert_int_equal(run(OP_ENCRYPT, json), want);
        /* what is verified may be as long as what was signed: a message, or a DigestInfo */
        long_json(json, "{\"alg\":\"HS256\",\"value\":\"AA\",\"digest\":\"", chars, "\"}");
        assert_int_equal(run(OP_VERIFY, json), want);
    }
    free(json);
}

static void test_roles(void **state)
{
    (void)state;
    assert_int_equal(run(OP_ROLE_ASSIGNMENT_PUT,
                         "{\"properties\":{\"roleDefinitionId\":\"/Microsoft.KeyVault/x\","
                         "\"principalId\":\"p\"}}"),
                     HSM_OK);
    DECODE(role_assignment_put, a);
    assert_true(bytes_eq_str(a.scope, "/keys"));
    assert_true(bytes_eq_str(a.role_id, "/Microsoft.KeyVault/x"));
    assert_int_equal(run(OP_ROLE_ASSIGNMENT_PUT, "{\"properties\":{\"principalId\":\"p\"}}"),
                     HSM_E_BAD_PARAMETER);
    assert_int_equal(run(OP_ROLE_ASSIGNMENT_PUT, "{}"), HSM_E_BAD_PARAMETER);
    assert_int_equal(run(OP_ROLE_DEFINITION_PUT, "{}"), HSM_OK);
    assert_int_equal(
        run(OP_ROLE_DEFINITION_PUT,
            "{\"properties\":{\"roleName\":\"r\",\"description\":null,\"type\":\"CustomRole\","
            "\"assignableScopes\":[\"/\"],\"permissions\":[{\"dataActions\":[\"a\",\"b\"],"
            "\"actions\":[]},{\"notDataActions\":[\"c\"]}]}}"),
        HSM_OK);
    DECODE(role_definition_put, d);
    struct bytes item, action;
    struct wire_permission p;
    assert_true(wire_list_next(&d.permissions, &item));
    assert_int_equal(wire_permission_decode(item, &p), HSM_OK);
    assert_true(wire_list_next(&p.data_actions, &action));
    assert_true(bytes_eq_str(action, "a"));
    assert_true(wire_list_next(&d.permissions, &item));
    assert_int_equal(wire_permission_decode(item, &p), HSM_OK);
    assert_true(wire_list_next(&p.not_data_actions, &action));
    assert_true(bytes_eq_str(action, "c"));
    assert_int_equal(
        run(OP_ROLE_DEFINITION_PUT, "{\"properties\":{\"assignableScopes\":[\"/keys\"]}}"),
        HSM_E_BAD_PARAMETER);
    assert_int_equal(run(OP_ROLE_DEFINITION_PUT, "{\"properties\":{\"permissions\":[1]}}"),
                     HSM_E_BAD_PARAMETER);
}

/* The four forms that clients send differ in everything but x5c. */
static void test_sd(void **state)
{
    (void)state;
    assert_int_equal(
        run(OP_SD_DOWNLOAD,
            "{\"certificates\":[{\"kty\":\"RSA\",\"key_ops\":[\"verify\"],\"n\":\"AQI\",\"e\":"
            "\"AQAB\","
            "\"x5c\":[\"MII\\/\"],\"x5t\":\"x\",\"x5t#S256\":\"y\",\"alg\":\"RSA-OAEP-256\"},"
            "{\"kty\":\"RSA-HSM\",\"key_ops\":[\"\"],\"x5c\":[\"AAAA\",\"junk!\"],"
            "\"alg\":\"RSA-OAEP-256\",\"use\":\"enc\"}],\"required\":2}"),
        HSM_OK);
    DECODE(sd_download, m);
    assert_int_equal(m.required, 2);
    struct bytes item;
    struct wire_sd_cert cert;
    assert_true(wire_list_next(&m.certificates, &item));
    assert_int_equal(wire_sd_cert_decode(item, &cert), HSM_OK);
    assert_int_equal(cert.der.n, 3);
    assert_memory_equal(cert.der.p, "\x30\x82\x3f", 3);
    assert_int_equal(cert.n.n, 2);
    assert_true(wire_list_next(&m.certificates, &item));
    assert_int_equal(wire_sd_cert_decode(item, &cert), HSM_OK);
    assert_int_equal(cert.n.n, 0);
    assert_false(wire_list_next(&m.certificates, &item));
    assert_int_equal(run(OP_SD_DOWNLOAD, "{\"certificates\":[]}"), HSM_OK);
    DECODE(sd_download, none);
    assert_int_equal(none.required, 0); /* the boundary's default */
    static const char *const bad[] = {
        "{}",
        "{\"certificates\":[],\"required\":0}",
        "{\"certificates\":[],\"required\":\"2\"}",
        "{\"certificates\":[1]}",
        "{\"certificates\":[{\"kty\":\"RSA\"}]}",
        "{\"certificates\":[{\"kty\":\"RSA\",\"x5c\":[]}]}",
        "{\"certificates\":[{\"kty\":\"RSA\",\"x5c\":[\"!\"]}]}",
        "{\"certificates\":[{\"kty\":\"RSA\",\"x5c\":[1]}]}",
        "{\"certificates\":[{\"kty\":\"EC\",\"x5c\":[\"AAAA\"]}]}",
        "{\"certificates\":[{\"kty\":\"RSA\",\"alg\":\"RSA1_5\",\"x5c\":[\"AAAA\"]}]}",
        "{\"certificates\":[{\"kty\":\"RSA\",\"use\":\"sig\",\"x5c\":[\"AAAA\"]}]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (run(OP_SD_DOWNLOAD, bad[i]) != HSM_E_BAD_PARAMETER)
            fail_msg("%s", bad[i]);
    }
}

static void test_rotation_policy(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{\"lifetimeActions\":{}}",
        "{\"lifetimeActions\":[1]}",
        "{\"lifetimeActions\":[{\"trigger\":\"P1Y\"}]}",
        "{\"lifetimeActions\":[{\"action\":\"Rotate\"}]}",
        "{\"lifetimeActions\":[{\"action\":{\"type\":1}}]}",
        "{\"lifetimeActions\":[{\"action\":{\"type\":\"RotateRotateRotate\"}}]}",
        "{\"lifetimeActions\":[{\"trigger\":{\"timeAfterCreate\":90}}]}",
        "{\"attributes\":{\"expiryTime\":\"P000000000000000000000000000000001D\"}}",
        "{\"attributes\":[]}",
        "{\"attributes\":{\"expiryTime\":730}}",
    };
    struct bytes item;
    struct wire_lifetime_action a;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (run(OP_ROTATION_PUT, bad[i]) != HSM_E_BAD_PARAMETER)
            fail_msg("%s", bad[i]);
    assert_int_equal(run(OP_ROTATION_PUT,
                         "{\"id\":\"x\",\"lifetimeActions\":[{\"trigger\":{\"timeAfterCreate\":"
                         "\"P18M\",\"timeBeforeExpiry\":null},\"action\":{\"type\":\"rotate\"}},"
                         "{\"action\":{\"type\":\"Notify\"},\"trigger\":"
                         "{\"timeBeforeExpiry\":\"P30D\"}}],"
                         "\"attributes\":{\"expiryTime\":\"P2Y\",\"created\":1}}"),
                     HSM_OK);
    DECODE(rotation_put, m);
    assert_true(bytes_eq_str(m.name, "k1"));
    assert_true(bytes_eq_str(m.expiry, "P2Y"));
    assert_true(wire_list_next(&m.actions, &item));
    assert_int_equal(wire_lifetime_action_decode(item, &a), HSM_OK);
    assert_int_equal(a.type, ROTATION_ROTATE);
    assert_true(bytes_eq_str(a.after_create, "P18M") && a.before_expiry.n == 0);
    assert_true(wire_list_next(&m.actions, &item));
    assert_int_equal(wire_lifetime_action_decode(item, &a), HSM_OK);
    assert_int_equal(a.type, ROTATION_NOTIFY);
    assert_true(bytes_eq_str(a.before_expiry, "P30D") && a.after_create.n == 0);
    assert_false(wire_list_next(&m.actions, &item));
    static const char *const blank[] = {"{}", "{\"lifetimeActions\":[],\"attributes\":{}}",
                                        "{\"lifetimeActions\":null,\"attributes\":null}",
                                        "{\"attributes\":{\"expiryTime\":null}}"};
    for (size_t i = 0; i < sizeof blank / sizeof blank[0]; i++) {
        assert_int_equal(run(OP_ROTATION_PUT, blank[i]), HSM_OK);
        DECODE(rotation_put, none);
        assert_int_equal(none.actions.n + none.expiry.n, 0);
    }
    /* What the boundary refuses: unknown types, more actions than there can be. */
    assert_int_equal(run(OP_ROTATION_PUT, "{\"lifetimeActions\":[{},{},{},{},{},{}]}"), HSM_OK);
    DECODE(rotation_put, many);
    unsigned n = 0;
    for (; wire_list_next(&many.actions, &item); n++) {
        assert_int_equal(wire_lifetime_action_decode(item, &a), HSM_OK);
        assert_int_equal(a.type, ROTATION_NONE);
    }
    assert_int_equal(n, ROTATION_ACTIONS_MAX + 1);
}

/* What is no count at all is refused here; a wrong count is the boundary's to refuse. */
static void test_rng(void **state)
{
    static const struct {
        const char *json;
        uint32_t count;
    } good[] = {
        {"{\"count\":1}", 1},
        {"{\"count\":129}", 129},
        {"{}", 0},
        {"{\"count\":null}", 0},
        {"{\"count\":-1}", 0},
        {"{\"count\":4294967297}", UINT32_MAX},
        {"{\"count\":-9223372036854775808}", 0},
    };
    static const char *const bad[] = {
        "", "[]", "{\"count\":\"1\"}", "{\"count\":1.5}", "{\"count\":true}", "{\"count\":[1]}"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(run(OP_RNG, good[i].json), HSM_OK);
        DECODE(rng, m);
        assert_int_equal(m.count, good[i].count);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(run(OP_RNG, bad[i]), HSM_E_BAD_PARAMETER);
}

static void test_settings(void **state)
{
    static const char *const bad[] = {"",
                                      "{}",
                                      "{\"value\":null}",
                                      "{\"value\":true}",
                                      "{\"value\":1}",
                                      "{\"value\":[\"true\"]}"};
    (void)state;
    assert_int_equal(run(OP_SETTING_UPDATE, "{\"value\":\"true\"}"), HSM_OK);
    DECODE(setting_update, m);
    assert_true(bytes_eq_str(m.name, "s1"));
    assert_true(bytes_eq_str(m.value, "true"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(run(OP_SETTING_UPDATE, bad[i]), HSM_E_BAD_PARAMETER);
    assert_string_equal(kit.detail, "Property 'value' must be a string.");
    assert_int_equal(run(OP_SETTING_GET, ""), HSM_OK);
    DECODE(setting_ref, ref);
    assert_true(bytes_eq_str(ref.name, "s1"));
}

/* Operations without a body ignore whatever comes. */
static void test_bodiless(void **state)
{
    (void)state;
    static const unsigned ops[] = {
        OP_KEY_GET,       OP_KEY_DELETE,           OP_KEY_RECOVER,         OP_KEY_PURGE,
        OP_KEY_LIST,      OP_ROLE_ASSIGNMENT_LIST, OP_ROLE_DEFINITION_GET, OP_SD_DOWNLOAD_STATUS,
        OP_UNIMPLEMENTED, OP_SETTING_LIST,         OP_SETTING_GET,         OP_KEY_ROTATE,
        OP_ROTATION_GET};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        assert_int_equal(run(ops[i], "{not json"), HSM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_create),
        cmocka_unit_test(test_key_create_refusals),
        cmocka_unit_test(test_key_import),
        cmocka_unit_test(test_key_restore),
        cmocka_unit_test(test_key_update),
        cmocka_unit_test(test_crypto),
        cmocka_unit_test(test_crypto_limits),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_sd),
        cmocka_unit_test(test_rng),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_rotation_policy),
        cmocka_unit_test(test_bodiless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
