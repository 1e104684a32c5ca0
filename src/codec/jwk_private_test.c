#include "codec/jwk_private.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "base/mutate.h"
#include "codec/base64url.h"

static uint8_t buf[JWK_NUMBERS_MAX];

static hsm_err parse(const char *text, struct jwk_private *j, const char **member)
{
    *j = (struct jwk_private){0};
    memset(buf, 0xa5, sizeof buf);
    return jwk_private_parse(bytes_str(text), buf, j, member);
}

static void refused(const char *text, hsm_err want, const char *want_member)
{
    struct jwk_private j;
    const char *member = "not set";
    hsm_err err = parse(text, &j, &member);
    bool same = member == NULL || want_member == NULL ? member == want_member
                                                      : strcmp(member, want_member) == 0;
    if (err != want || !same)
        fail_msg("%s: error %d at %s", text, (int)err, member == NULL ? "the whole" : member);
    assert_null(j.kty.p);
    for (size_t i = 0; i < sizeof buf; i++)
        assert_int_equal(buf[i], 0);
}

/* {"kty":"oct","NAME":"base64url of n bytes FILL, of which the first is FIRST"} */
static const char *with_number(const char *name, size_t n, uint8_t first)
{
    static char text[2000];
    static uint8_t raw[1000];
    char b64[1400];
    memset(raw, 0x5a, sizeof raw);
    raw[0] = first;
    b64[b64u_encode(b64, raw, n)] = '\0';
    (void)snprintf(text, sizeof text, "{\"kty\":\"oct\",\"%s\":\"%s\"}", name, b64);
    return text;
}

static void all_members(void **state)
{
    struct jwk_private j;
    const char *member;
    (void)state;
    assert_int_equal(
        parse("{\"kty\":\"RSA-HSM\",\"n\":\"AQ\",\"e\":\"AQAB\",\"d\":\"Ag\",\"p\":\"Aw==\",\"q\":"
              "\"BA==\",\"dp\":\"BQ\",\"dq\":\"Bg\",\"qi\":\"Bw\",\"x\":\"CA\",\"y\":\"CQ\",\"k\":"
              "\"AAo\",\"crv\":\"P-256\",\"key_ops\":[\"sign\",\"anything\"],\"kid\":\"a\\nb\","
              "\"alg\":[{}]}",
              &j, &member),
        HSM_OK);
    const struct {
        struct bytes got;
        uint8_t last;
        size_t n;
    } rows[] = {{j.num.n, 1, 1}, {j.num.e, 1, 3},  {j.num.d, 2, 1},  {j.num.p, 3, 1},
                {j.num.q, 4, 1}, {j.num.dp, 5, 1}, {j.num.dq, 6, 1}, {j.num.qi, 7, 1},
                {j.num.x, 8, 1}, {j.num.y, 9, 1},  {j.num.k, 10, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].got.n, rows[i].n);
        assert_int_equal(rows[i].got.p[rows[i].n - 1], rows[i].last);
    }
    assert_true(bytes_eq_str(j.kty, "RSA-HSM") && bytes_eq_str(j.crv, "P-256"));
    assert_true(j.has_ops && j.op_n == 2 && bytes_eq_str(j.op[1], "anything"));
    assert_false(j.has_other);
}

static void absent_and_null(void **state)
{
    struct jwk_private j;
    const char *member;
    (void)state;
    assert_int_equal(parse("{}", &j, &member), HSM_OK);
    assert_true(j.kty.p == NULL && j.num.k.p == NULL && j.num.n.p == NULL && !j.has_ops);
    assert_int_equal(parse("{\"kty\":null,\"k\":null,\"key_ops\":null,\"oth\":null}", &j, &member),
                     HSM_OK);
    assert_true(j.kty.p == NULL && j.num.k.p == NULL && !j.has_ops && !j.has_other);
    assert_int_equal(parse("{\"k\":\"\",\"n\":\"\",\"key_ops\":[],\"oth\":[]}", &j, &member),
                     HSM_OK);
    assert_true(j.num.k.p != NULL && j.num.k.n == 0 && j.num.n.p != NULL && j.num.n.n == 0);
    assert_true(j.has_ops && j.op_n == 0 && j.has_other);
}

static void leading_zeros(void **state)
{
    struct jwk_private j;
    const char *member;
    (void)state;
    assert_int_equal(parse("{\"n\":\"AAAAAQ\",\"k\":\"AAAAAQ\",\"e\":\"AAAA\"}", &j, &member),
                     HSM_OK);
    assert_int_equal(j.num.n.n, 1);
    assert_int_equal(j.num.k.n, 4);
    assert_true(j.num.e.p != NULL && j.num.e.n == 0);
}

static void limits(void **state)
{
    static const struct {
        const char *name;
        size_t max, zeros;
    } rows[] = {{"n", 512, 8}, {"d", 512, 8},  {"e", 8, 8},    {"p", 256, 8},
                {"q", 256, 8}, {"dp", 256, 8}, {"dq", 256, 8}, {"qi", 256, 8},
                {"x", 66, 8},  {"y", 66, 8},   {"k", 64, 0}};
    struct jwk_private j;
    const char *member;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *name = rows[i].name;
        assert_int_equal(parse(with_number(name, rows[i].max, 1), &j, &member), HSM_OK);
        refused(with_number(name, rows[i].max + 1, 1), HSM_E_RANGE, name);
        refused(with_number(name, rows[i].max + 100, 1), HSM_E_RANGE, name);
        hsm_err zero = rows[i].zeros > 0 ? HSM_OK : HSM_E_RANGE;
        assert_int_equal(parse(with_number(name, rows[i].max + 1, 0), &j, &member), zero);
        refused(with_number(name, rows[i].max + 9, 0), HSM_E_RANGE, name);
    }
}

static void bad_texts(void **state)
{
    static const struct {
        const char *text, *member;
        hsm_err err;
    } rows[] = {
        {"", NULL, HSM_E_MALFORMED},
        {"[]", NULL, HSM_E_MALFORMED},
        {"\"k\"", NULL, HSM_E_MALFORMED},
        {"{\"kty\":\"oct\"", NULL, HSM_E_MALFORMED},
        {"{\"kty\":\"oct\"} ,", NULL, HSM_E_MALFORMED},
        {"{\"k\":\"AA\",\"k\":\"AA\"}", NULL, HSM_E_MALFORMED},
        {"{\"k\":\"AA\",\"\\u006b\":\"AA\"}", NULL, HSM_E_MALFORMED},
        {"{\"kty\":1}", "kty", HSM_E_MALFORMED},
        {"{\"kty\":\"RS\\u0041\"}", "kty", HSM_E_MALFORMED},
        {"{\"kty\":\"01234567890123456\"}", "kty", HSM_E_RANGE},
        {"{\"crv\":{}}", "crv", HSM_E_MALFORMED},
        {"{\"key_ops\":\"sign\"}", "key_ops", HSM_E_MALFORMED},
        {"{\"key_ops\":{\"a\":1}}", "key_ops", HSM_E_MALFORMED},
        {"{\"key_ops\":[1]}", "key_ops", HSM_E_MALFORMED},
        {"{\"key_ops\":[null]}", "key_ops", HSM_E_MALFORMED},
        {"{\"k\":17}", "k", HSM_E_MALFORMED},
        {"{\"k\":[\"AA\"]}", "k", HSM_E_MALFORMED},
        {"{\"k\":\"A\"}", "k", HSM_E_MALFORMED},
        {"{\"k\":\"AB\"}", "k", HSM_E_MALFORMED}, /* stray bits */
        {"{\"k\":\"AA===\"}", "k", HSM_E_MALFORMED},
        {"{\"k\":\"A=A=\"}", "k", HSM_E_MALFORMED},
        {"{\"k\":\"A+A/\"}", "k", HSM_E_MALFORMED},
        {"{\"k\":\"AA A\"}", "k", HSM_E_MALFORMED},
        {"{\"k\":\"A\\u0041\"}", "k", HSM_E_MALFORMED},
        {"{\"qi\":\"\xc3\xa4\xc3\xa4\"}", "qi", HSM_E_MALFORMED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refused(rows[i].text, rows[i].err, rows[i].member);
}

static void too_many(void **state)
{
    char text[4096] = "{";
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        size_t n = strlen(text);
        (void)snprintf(text + n, sizeof text - n, "\"m%u\":0,", i);
    }
    size_t n = strlen(text);
    (void)snprintf(text + n, sizeof text - n, "\"k\":\"AA\"}");
    refused(text, HSM_E_RANGE, NULL);
    refused("{\"key_ops\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
            "\"a\",\"a\",\"a\",\"a\",\"a\"]}",
            HSM_E_RANGE, "key_ops");
}

/* Any change of a good text: no crash, and numbers stay where they belong. */
static void changed(struct bytes text, void *arg)
{
    struct jwk_private j = {0};
    const char *member;
    (void)arg;
    if (jwk_private_parse(text, buf, &j, &member) != HSM_OK)
        return;
    const struct bytes all[] = {j.num.n,  j.num.e,  j.num.d, j.num.p, j.num.q, j.num.dp,
                                j.num.dq, j.num.qi, j.num.x, j.num.y, j.num.k};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        assert_true(all[i].p == NULL ||
                    (all[i].p >= buf && all[i].p + all[i].n <= buf + sizeof buf));
}

static void mutations(void **state)
{
    static const char good[] =
        "{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODw\",\"key_ops\":[\"sign"
        "\"],\"n\":\"AQ\",\"qi\":\"Bw==\"}";
    (void)state;
    mutate_each(bytes_str(good), changed, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_members),   cmocka_unit_test(absent_and_null),
        cmocka_unit_test(leading_zeros), cmocka_unit_test(limits),
        cmocka_unit_test(bad_texts),     cmocka_unit_test(too_many),
        cmocka_unit_test(mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
