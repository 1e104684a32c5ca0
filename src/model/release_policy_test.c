#include "model/release_policy.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "base/mutate.h"

#define VECTORS KEYHOLD_SOURCE_DIR "/tests/vectors/release-policy/"
#define A       "\"authority\":\"https://a.example/\""
#define C       "{\"claim\":\"c\",\"equals\":\"v\"}"

static struct json_tok toks[RELEASE_POLICY_TOKENS];
static uint8_t out[RELEASE_POLICY_MAX];

static hsm_err canonical(struct bytes text, struct bytes *ret, const char **why)
{
    struct wr w = wr_of(out, sizeof out);
    *why = NULL;
    hsm_err err = release_policy_canonical(text, toks, &w, why);
    *ret = wr_view(&w);
    return err;
}

static void gives(const char *text, const char *want)
{
    struct bytes got;
    const char *why;
    hsm_err err = canonical(bytes_str(text), &got, &why);
    if (err != HSM_OK || !bytes_eq_str(got, want))
        fail_msg("%s: %s %.*s", text, why == NULL ? "" : why, (int)got.n, (const char *)got.p);
}

static void refuses(const char *text, const char *want)
{
    struct bytes got;
    const char *why;
    hsm_err err = canonical(bytes_str(text), &got, &why);
    if (err != HSM_E_BAD_PARAMETER || why == NULL || strcmp(why, want) != 0)
        fail_msg("%s: %s", text, why == NULL ? "taken" : why);
}

static void forms(void **state)
{
    (void)state;
    gives("{\"version\":\"1.0.0\",\"anyOf\":[{" A ",\"allOf\":[" C "]}]}",
          "{\"anyOf\":[{\"allOf\":[" C "]," A "}],\"version\":\"1.0.0\"}");
    gives(" { \"anyOf\" : [ { \"anyOf\" : [ { \"equals\" : true , \"claim\" : \"a.b-c.d\" } ] , " A
          " } ] , \"version\" : \"0.2\" } ",
          "{\"anyOf\":[{\"anyOf\":[{\"claim\":\"a.b-c.d\",\"equals\":true}]," A
          "}],\"version\":\"0.2\"}");
    gives("{\"version\":\"1.0\",\"anyOf\":[{" A ",\"allOf\":[{\"anyOf\":[" C ",{\"allOf\":[" C
          "]}]}," C "]},{" A ",\"anyOf\":[" C "]}]}",
          "{\"anyOf\":[{\"allOf\":[{\"anyOf\":[" C ",{\"allOf\":[" C "]}]}," C "]," A
          "},{\"anyOf\":[" C "]," A "}],\"version\":\"1.0\"}");
    /* values keep their type, numbers their text, strings their characters */
    gives("{\"version\":\"1.0.0\",\"anyOf\":[{" A
          ",\"allOf\":[{\"claim\":\"n\",\"equals\":-1.50e+3},{\"claim\":\"f\",\"equals\":false},"
          "{\"claim\":\"\\u00e4\",\"equals\":\"\\/\\u0041\\n\\\"\"}]}]}",
          "{\"anyOf\":[{\"allOf\":[{\"claim\":\"n\",\"equals\":-1.50e+3},{\"claim\":\"f\","
          "\"equals\":false},{\"claim\":\"\xc3\xa4\",\"equals\":\"/A\\n\\\"\"}]," A
          "}],\"version\":\"1.0.0\"}");
}

/* The policy P with something else at one place. */
static void wrong_condition(const char *condition, const char *want)
{
    char text[8192];
    (void)snprintf(text, sizeof text, "{\"version\":\"1.0.0\",\"anyOf\":[{" A ",\"allOf\":[%s]}]}",
                   condition);
    refuses(text, want);
    (void)snprintf(text, sizeof text,
                   "{\"version\":\"1.0.0\",\"anyOf\":[{" A ",\"allOf\":[" C ",{\"anyOf\":[%s]}]}]}",
                   condition);
    refuses(text, want);
}

static void wrong_policies(void **state)
{
    static const char *const object = "Key Release Policy: it is not a valid JSON object";
    static const char *const version = "Key Release Policy: unsupported 'version' property";
    static const char *const list =
        "Key Release Policy: 'anyOf' must be an array of authorities that is not empty";
    (void)state;
    refuses("", object);
    refuses("[]", object);
    refuses("{\"version\":\"1.0.0\"", object);
    refuses("{\"version\":\"1.0.0\",\"version\":\"1.0.0\"}", object);
    refuses("{\"version\":\"1.0.0\"}\xff", object);
    refuses("{}", "Key Release Policy: missing 'version' property");
    refuses("{\"anyOf\":[{" A ",\"allOf\":[" C "]}]}",
            "Key Release Policy: missing 'version' property");
    refuses("{\"version\":\"2.0\",\"anyOf\":[]}", version);
    refuses("{\"version\":1,\"anyOf\":[]}", version);
    refuses("{\"version\":null,\"anyOf\":[]}", version);
    refuses("{\"version\":\"1.0.0\"}", list);
    refuses("{\"version\":\"1.0.0\",\"anyOf\":[]}", list);
    refuses("{\"version\":\"1.0.0\",\"anyOf\":{}}", list);
    refuses("{\"version\":\"1.0.0\",\"allOf\":[{" A ",\"allOf\":[" C "]}]}", list);
    refuses("{\"version\":\"1.0.0\",\"anyOf\":[{" A ",\"allOf\":[" C "]}],\"x\":1}",
            "Key Release Policy: it has more properties than 'version' and 'anyOf'");
}

static void wrong_authorities(void **state)
{
    static const char *const urls[] = {"\"\"",
                                       "\"https://\"",
                                       "\"https:///x\"",
                                       "\"http://a.example\"",
                                       "\"HTTPS://a.example\"",
                                       "\"https://a b\"",
                                       "\"https://a\\u0000b\"",
                                       "\"https://a\\nb\"",
                                       "\"https://\xc3\xa4\"",
                                       "7",
                                       "null",
                                       "[\"https://a\"]"};
    static const char *const selector =
        "Key Release Policy: there must be exactly one of 'anyOf' and 'allOf', and nothing else";
    static const char *const empty =
        "Key Release Policy: 'anyOf' and 'allOf' must be arrays that are not empty";
    char text[512];
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        (void)snprintf(text, sizeof text,
                       "{\"version\":\"1.0.0\",\"anyOf\":[{\"authority\":%s,\"allOf\":[" C "]}]}",
                       urls[i]);
        refuses(text, "Key Release Policy: 'authority' must be an https URL");
    }
    refuses("{\"version\":\"1.0.0\",\"anyOf\":[{\"allOf\":[" C "]}]}",
            "Key Release Policy: 'authority' must be an https URL");
    refuses("{\"version\":\"1.0.0\",\"anyOf\":[1]}",
            "Key Release Policy: an authority must be an object");
    refuses("{\"version\":\"1.0.0\",\"anyOf\":[{" A "}]}", selector);
    refuses("{\"version\":\"1.0.0\",\"anyOf\":[{" A ",\"allOf\":[" C "],\"anyOf\":[" C "]}]}",
            selector);
    refuses("{\"version\":\"1.0.0\",\"anyOf\":[{" A ",\"allOf\":[" C "],\"x\":null}]}", selector);
    refuses("{\"version\":\"1.0.0\",\"anyOf\":[{" A ",\"allOf\":[]}]}", empty);
    refuses("{\"version\":\"1.0.0\",\"anyOf\":[{" A ",\"anyOf\":" C "}]}", empty);
    refuses("{\"version\":\"1.0.0\",\"anyOf\":[{" A ",\"anyOf\":null}]}", empty);
}

static void wrong_conditions(void **state)
{
    static const char *const operators[] = {"notEquals", "less",   "lessOrEquals",   "greater",
                                            "exists",    "Equals", "greaterOrEquals"};
    static const char *const one =
        "Key Release Policy: a claim needs 'equals', and no other operator is supported";
    static const char *const path =
        "Key Release Policy: 'claim' must be a name, or names separated by dots";
    static const char *const value =
        "Key Release Policy: value of 'equals' must be a string, a number, true or false";
    char text[4096];
    (void)state;
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        (void)snprintf(text, sizeof text, "{\"claim\":\"c\",\"%s\":1}", operators[i]);
        wrong_condition(text, one);
        (void)snprintf(text, sizeof text, "{\"claim\":\"c\",\"equals\":1,\"%s\":1}", operators[i]);
        wrong_condition(text, one);
    }
    wrong_condition("{\"claim\":\"c\"}", one);
    wrong_condition("{\"claim\":\"c\",\"condition\":\"equals\",\"value\":\"v\"}", one);
    wrong_condition("{\"claim\":\"c\",\"equals\":1,\"allOf\":[" C "]}", one);
    wrong_condition("{\"claim\":\"\",\"equals\":1}", path);
    wrong_condition("{\"claim\":\"a..b\",\"equals\":1}", path);
    wrong_condition("{\"claim\":\".a\",\"equals\":1}", path);
    wrong_condition("{\"claim\":\"a.\",\"equals\":1}", path);
    wrong_condition("{\"claim\":7,\"equals\":1}", path);
    wrong_condition("{\"claim\":\"c\",\"equals\":null}", value);
    wrong_condition("{\"claim\":\"c\",\"equals\":[1]}", value);
    wrong_condition("{\"claim\":\"c\",\"equals\":{}}", value);
    wrong_condition("1", "Key Release Policy: a condition must be an object");
    wrong_condition(
        "{}",
        "Key Release Policy: there must be exactly one of 'anyOf' and 'allOf', and nothing else");
    (void)snprintf(text, sizeof text, "{\"claim\":\"c\",\"equals\":\"%02049d\"}", 0);
    wrong_condition(text, "Key Release Policy: value of 'equals' is too long or malformed");
    (void)snprintf(text, sizeof text, "{\"claim\":\"c\",\"equals\":1%064d}", 0);
    wrong_condition(text, "Key Release Policy: value of 'equals' is too long or malformed");
    wrong_condition("{\"claim\":\"c\",\"equals\":\"\\u0000\"}",
                    "Key Release Policy: value of 'equals' is too long or malformed");
    (void)snprintf(text, sizeof text, "{\"claim\":\"%02049d\",\"equals\":1}", 0);
    wrong_condition(text, path);
}

static void depth_and_size(void **state)
{
    static char text[2 * RELEASE_POLICY_MAX];
    struct bytes got;
    const char *why;
    (void)state;
    for (unsigned depth = 1; depth < 12; depth++) {
        char *p = text;
        p += snprintf(p, 200, "{\"anyOf\":[{\"allOf\":[");
        for (unsigned i = 0; i < depth; i++)
            p += snprintf(p, 20, "{\"anyOf\":[");
        p += snprintf(p, 100, C);
        for (unsigned i = 0; i < depth; i++)
            p += snprintf(p, 20, "]}");
        p += snprintf(p, 200, "]," A "}],\"version\":\"1.0.0\"}");
        if (2 * depth + 5 <= JSON_DEPTH_MAX)
            gives(text, text);
        else
            refuses(text, "Key Release Policy: it is not a valid JSON object");
    }
    memset(text, ' ', sizeof text);
    assert_int_equal(canonical(bytes_of(text, RELEASE_POLICY_MAX + 1), &got, &why),
                     HSM_E_BAD_PARAMETER);
    assert_string_equal(why, "Key Release Policy: it is too large");
    /* more tokens than there are */
    memset(text, ',', sizeof text);
    text[0] = '[';
    for (size_t i = 1; i < RELEASE_POLICY_MAX; i += 2)
        text[i] = '1';
    text[RELEASE_POLICY_MAX - 1] = ']';
    assert_int_equal(canonical(bytes_of(text, RELEASE_POLICY_MAX), &got, &why),
                     HSM_E_BAD_PARAMETER);
    assert_string_equal(why, "Key Release Policy: it is too large");
}

static struct bytes file(const char *path)
{
    static char text[RELEASE_POLICY_MAX];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text, f);
    assert_true(n > 0 && n < sizeof text);
    (void)fclose(f);
    return bytes_of(text, n);
}

static void published_policies(void **state)
{
    static const struct {
        const char *path;
        size_t n; /* of the canonical text */
    } rows[] = {{VECTORS "policy-os-disk.json", 14195}, {VECTORS "policy-data-disk.json", 0}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct bytes got;
        const char *why;
        assert_int_equal(canonical(file(rows[i].path), &got, &why), HSM_OK);
        assert_true(rows[i].n == 0 || got.n == rows[i].n);
        assert_memory_equal(got.p, "{\"anyOf\":[{\"", 12);
        assert_null(memchr(got.p, '\n', got.n));
    }
}

static void one_mutant(struct bytes text, void *arg)
{
    struct bytes got;
    const char *why;
    (void)arg;
    hsm_err err = canonical(text, &got, &why);
    assert_true(err == HSM_OK ? got.n <= text.n : why != NULL);
}

static void mutations(void **state)
{
    (void)state;
    mutate_each(bytes_str("{\"version\":\"1.0.0\",\"anyOf\":[{" A ",\"allOf\":[" C
                          ",{\"anyOf\":[{\"claim\":\"a.b\",\"equals\":1.5}]}]}]}"),
                one_mutant, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(wrong_policies),
        cmocka_unit_test(wrong_authorities),
        cmocka_unit_test(wrong_conditions),
        cmocka_unit_test(depth_and_size),
        cmocka_unit_test(published_policies),
        cmocka_unit_test(mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
