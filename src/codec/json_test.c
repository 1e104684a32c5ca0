#include "codec/json.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "base/mutate.h"

#define TOKS 256
static struct json_tok toks[TOKS];

static hsm_err parse(struct bytes text, struct json_doc *d)
{
    return json_parse(text, toks, TOKS, d);
}

#define T(s)                                                                                       \
    {                                                                                              \
        .p = (const uint8_t *)(s), .n = sizeof(s) - 1                                              \
    }

static const struct bytes refused[] = {
    /* structure */
    T(""),
    T(" "),
    T("["),
    T("]"),
    T("{"),
    T("}"),
    T("[]]"),
    T("{}}"),
    T("[1"),
    T("[1,"),
    T("[1,]"),
    T("[,1]"),
    T("[1,,2]"),
    T("[1 2]"),
    T("[\"\": 1]"),
    T("[\"a\",]"),
    T("[\"x\""),
    T("[\"x\"]]"),
    T("[][]"),
    T("[1]x"),
    T("[1]#"),
    T("1 2"),
    T("\"\"\"\""),
    T("{}{}"),
    T("{\"a\"}"),
    T("{\"a\":}"),
    T("{\"a\" 1}"),
    T("{\"a\":1,}"),
    T("{,}"),
    T("{1:1}"),
    T("{a:1}"),
    T("{'a':1}"),
    T("{\"a\"::1}"),
    T("{\"a\":1,,\"b\":2}"),
    T("{\"a\":1 \"b\":2}"),
    T("{\"a\":1]"),
    T("[1}"),
    T("{\"a\":\"b\"}/**/"),
    T("{\"a\":/*x*/1}"),
    T("// x\n1"),
    T("{\"a\":true} \"x\""),
    T("[\"a\",\n4\n,1,"),
    T("{null:null}"),
    T("{[]:1}"),
    T("[*]"),
    T("[<null>]"),
    T("[\v1]"),
    T("[\f1]"),
    T("\xc2\xa0[]"),
    T("\xe2\x81\xa0[]"),
    T("\xef\xbb\xbf{}"),
    T("[1]\0"),
    T("\0"),
    T("[\0]"),
    /* words */
    T("nul"),
    T("tru"),
    T("fals"),
    T("nulll"),
    T("True"),
    T("NULL"),
    T("truefalse"),
    T("NaN"),
    T("Infinity"),
    T("-Infinity"),
    T("undefined"),
    T("[nan]"),
    /* numbers */
    T("-"),
    T("+1"),
    T("01"),
    T("-01"),
    T("00"),
    T("1."),
    T(".1"),
    T("-.1"),
    T("1.e1"),
    T("1e"),
    T("1e+"),
    T("1E-"),
    T("1e1.5"),
    T("0x1"),
    T("1_000"),
    T("1,000"),
    T("--1"),
    T("1+2"),
    T("0e"),
    T("0e+"),
    T("2.e3"),
    T("1ea"),
    T("1.2.3"),
    T("-a"),
    T("1a"),
    T("\xef\xbc\x91"),
    T("- 1"),
    T("0.3e"),
    T("9.e+"),
    T("-2."),
    T("-012"),
    T("1eE2"),
    /* strings */
    T("\""),
    T("\"a"),
    T("'a'"),
    T("\"\\\""),
    T("\"\\x00\""),
    T("\"\\a\""),
    T("\"\\\\\\\""),
    T("\"\\u\""),
    T("\"\\u1\""),
    T("\"\\u12\""),
    T("\"\\u123\""),
    T("\"\\u123g\""),
    T("\"\\U0041\""),
    T("\"\\ \""),
    T("\"\t\""),
    T("\"\n\""),
    T("\"\x1f\""),
    T("\"a\0b\""),
    T("\"\\\0\""),
    T("\"\\\xe5\""),
    T("\"\\u00A\""),
    T("\\u0020\"x\""),
    T("abc"),
    /* surrogates */
    T("\"\\ud800\""),
    T("\"\\udfff\""),
    T("\"\\ud800\\u0041\""),
    T("\"\\ud800\\ud800\""),
    T("\"\\udc00\\ud800\""),
    T("\"\\ud800\\n\""),
    T("\"\\ud800x\""),
    T("\"\\ud83d\\u\""),
    T("\"\\ud83d\\ude0\""),
    T("\"\\ud83d\""),
    /* UTF-8 */
    T("\"\x80\""),
    T("\"\xbf\""),
    T("\"\xc0\xaf\""),
    T("\"\xc1\xbf\""),
    T("\"\xc3\""),
    T("\"\xe0\x80\xaf\""),
    T("\"\xe0\x9f\xbf\""),
    T("\"\xed\xa0\x80\""),
    T("\"\xed\xbf\xbf\""),
    T("\"\xf0\x80\x80\x80\""),
    T("\"\xf0\x8f\xbf\xbf\""),
    T("\"\xf4\x90\x80\x80\""),
    T("\"\xf5\x80\x80\x80\""),
    T("\"\xff\""),
    T("\"\xfe\""),
    T("\"\xe2\x82\""),
    T("\"\xf0\x9f\x98\""),
    T("\"\xe2(\xa1\""),
    T("[\xff]"),
    T("\"12345678\x80\""),
    /* duplicate names */
    T("{\"a\":1,\"a\":2}"),
    T("{\"a\":1,\"\\u0061\":2}"),
    T("{\"\\u0061\":1,\"b\":0,\"\\u0061\":2}"),
    T("{\"\":1,\"\":2}"),
    T("{\"\xc3\xa4\":1,\"\\u00e4\":2}"),
    T("{\"/\":1,\"\\/\":2}"),
    T("{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}"),
    T("[{\"x\":{\"a\":1,\"b\":[],\"a\":3}}]"),
    /* depth 17 */
    T("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"),
};

static const struct bytes accepted[] = {
    T("{}"),
    T("[]"),
    T("0"),
    T("-0"),
    T("null"),
    T("true"),
    T("false"),
    T("\"\""),
    T(" 1 "),
    T("[1]"),
    T("[ 1 , 2 ]"),
    T("[1\n]"),
    T("\r\n\t [] \n"),
    T("[[],[[]],{}]"),
    T("[null,1,\"1\"]"),
    T("{\"a\":1}"),
    T("{\"a\":{\"a\":1}}"),
    T("[{\"a\":1},{\"a\":2}]"),
    T("{\"\":0}"),
    T("{\"a\":1,\"A\":2,\"aa\":3}"),
    T("{\"a\":\"b\",\"b\":\"a\"}"),
    T("{\"a\\u0000b\":1}"),
    T("1.5"),
    T("-1.5e10"),
    T("1E400"),
    T("1e-400"),
    T("0e1"),
    T("0.0e+1"),
    T("123456789012345678901"),
    T("-0.000000000000000000001"),
    T("1E22"),
    T("123.456e78"),
    T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    T("\"\\u0000\""),
    T("\"\\u0041\\u00e4\\u20ac\""),
    T("\"\\ud83d\\ude00\""),
    T("\"\\uD834\\uDD1E\""),
    T("\"\\uDBFF\\uDFFF\""),
    T("\"\x7f\""),
    T("\"\xc2\x80\""),
    T("\"\xdf\xbf\""),
    T("\"\xe0\xa0\x80\""),
    T("\"\xed\x9f\xbf\""),
    T("\"\xee\x80\x80\""),
    T("\"\xef\xbf\xbf\""),
    T("\"\xf0\x90\x80\x80\""),
    T("\"\xf4\x8f\xbf\xbf\""),
    T("\"\xe2\x80\xa8\""),
    T("\"\\u005C\""),
    T("\"\\u0022\""),
    T("\"1234567 89012345 67890123456789012345678901234567890\""),
    T("\"a/*b*/c\""),
    T("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"),
};

static void refused_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct json_doc d;
        hsm_err err = parse(refused[i], &d);
        if (err != HSM_E_MALFORMED)
            fail_msg("accepted: %.*s", (int)refused[i].n, (const char *)refused[i].p);
    }
}

static void accepted_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        struct json_doc d;
        if (parse(accepted[i], &d) != HSM_OK)
            fail_msg("refused: %.*s", (int)accepted[i].n, (const char *)accepted[i].p);
        assert_int_equal(d.tok[0].next, d.n);
    }
}

static void too_few_tokens(void **state)
{
    (void)state;
    struct json_doc d;
    struct json_tok few[3];
    assert_int_equal(json_parse(bytes_str("[1,2,3]"), few, 3, &d), HSM_E_RANGE);
    assert_int_equal(json_parse(bytes_str("[1,2]"), few, 3, &d), HSM_OK);
    assert_int_equal(json_parse(bytes_str("1"), few, 0, &d), HSM_E_RANGE);
}

static void members(void **state)
{
    (void)state;
    struct json_doc d;
    assert_int_equal(
        parse(bytes_str("{\"a\":[1,{\"x\":2}],\"n\":null,\"k\\u0065y\":\"v\",\"t\":true}"), &d),
        HSM_OK);
    assert_int_equal(json_get(&d, 0, "x"), JSON_NONE); /* not of a nested object */
    assert_int_equal(json_get(&d, 0, "ke"), JSON_NONE);
    assert_int_equal(json_get(&d, 0, "keyy"), JSON_NONE);
    assert_int_equal(json_get(&d, JSON_NONE, "a"), JSON_NONE);
    assert_int_equal(json_get(&d, json_get(&d, 0, "a"), "a"), JSON_NONE);
    assert_int_equal(json_get_nn(&d, 0, "n"), JSON_NONE);
    assert_int_equal(json_type_of(&d, json_get(&d, 0, "n")), JSON_NULL);
    assert_true(bytes_eq_str(json_raw(&d, json_get(&d, 0, "key")), "v"));
    assert_true(bytes_eq_str(json_raw(&d, json_get(&d, 0, "a")), "[1,{\"x\":2}]"));
    assert_int_equal(json_count(&d, 0), 4);
    /* names keep no hash */
    assert_int_equal(d.tok[1].count, 0);
    uint32_t a = json_get(&d, 0, "a");
    assert_int_equal(json_count(&d, a), 2);
    uint32_t e = json_first(&d, a);
    assert_int_equal(json_type_of(&d, e), JSON_NUMBER);
    e = json_next(&d, a, e);
    assert_int_equal(json_type_of(&d, e), JSON_OBJECT);
    assert_int_equal(json_next(&d, a, e), JSON_NONE);
    size_t n = 0;
    for (uint32_t at = json_first(&d, 0); at != JSON_NONE; at = json_next(&d, 0, at))
        n++;
    assert_int_equal(n, 4);
    assert_int_equal(json_first(&d, json_get(&d, 0, "t")), JSON_NONE);
}

static void strings(void **state)
{
    (void)state;
    struct json_doc d;
    char out[64];
    size_t n = 0;
    struct bytes b;
    assert_int_equal(
        parse(bytes_str("[\"a\\u0000b\",\"\\ud83d\\ude00\\u00e4\\n\",\"plain\",1]"), &d), HSM_OK);
    assert_int_equal(json_string(&d, 1, out, sizeof out, &n), HSM_E_MALFORMED);
    assert_int_equal(json_string(&d, 4, out, sizeof out, &n), HSM_E_MALFORMED);
    assert_int_equal(json_string(&d, JSON_NONE, out, sizeof out, &n), HSM_E_MALFORMED);
    assert_int_equal(json_plain(&d, 2, &b), HSM_E_MALFORMED);
    assert_int_equal(json_string(&d, 2, out, 6, &n), HSM_E_RANGE);
    assert_int_equal(json_string(&d, 3, out, 4, &n), HSM_E_RANGE);
    assert_int_equal(json_string(&d, 2, out, 7, &n), HSM_OK);
    assert_true(bytes_eq_str(bytes_of(out, n), "\xf0\x9f\x98\x80\xc3\xa4\n"));
    assert_int_equal(json_string(&d, 3, out, 5, &n), HSM_OK);
    assert_true(bytes_eq_str(bytes_of(out, n), "plain"));
    assert_int_equal(json_plain(&d, 3, &b), HSM_OK);
    assert_true(bytes_eq_str(b, "plain"));
}

static void numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_int, is_trunc;
        int64_t v;
    } rows[] = {
        {"9223372036854775808", false, false, 0},
        {"-9223372036854775809", false, false, 0},
        {"1e19", false, false, 0},
        {"1e400", false, false, 0},
        {"99999999999999999999999e5", false, false, 0},
        {"\"1\"", false, false, 0},
        {"true", false, false, 0},
        {"1.5", false, true, 1},
        {"-1.9", false, true, -1},
        {"1e3", false, true, 1000},
        {"1.5e3", false, true, 1500},
        {"1.2345e2", false, true, 123},
        {"12345e-2", false, true, 123},
        {"1e-400", false, true, 0},
        {"0e999999999999999999999", false, true, 0},
        {"0.001e5", false, true, 100},
        {"1e-99999999999999999999999", false, true, 0},
        {"1700000000.123", false, true, 1700000000},
        {"-9223372036854775808", true, true, INT64_MIN},
        {"9223372036854775807", true, true, INT64_MAX},
        {"0", true, true, 0},
        {"-0", true, true, 0},
        {"-42", true, true, -42},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct json_doc d;
        int64_t v = 7;
        assert_int_equal(parse(bytes_str(rows[i].text), &d), HSM_OK);
        assert_int_equal(json_int(&d, 0, &v), rows[i].is_int ? HSM_OK : HSM_E_MALFORMED);
        assert_true(v == (rows[i].is_int ? rows[i].v : 7));
        v = 7;
        assert_int_equal(json_number_trunc(&d, 0, &v), rows[i].is_trunc ? HSM_OK : HSM_E_MALFORMED);
        assert_true(v == (rows[i].is_trunc ? rows[i].v : 7));
    }
    struct json_doc d;
    bool b = true;
    assert_int_equal(parse(bytes_str("[false,0]"), &d), HSM_OK);
    assert_int_equal(json_bool(&d, 2, &b), HSM_E_MALFORMED);
    assert_int_equal(json_bool(&d, JSON_NONE, &b), HSM_E_MALFORMED);
    assert_int_equal(json_bool(&d, 1, &b), HSM_OK);
    assert_false(b);
}

static void many_members(void **state)
{
    (void)state;
    static struct json_tok lots[5000];
    static char text[30000];
    for (int dup = 0; dup < 2; dup++) {
        struct wr w = wr_of(text, sizeof text);
        struct json_wr j = json_wr_of(&w);
        json_obj_open(&j);
        for (int64_t i = 0; i < 1000; i++) {
            char name[8] = {'k', (char)('0' + i / 100), (char)('0' + i / 10 % 10),
                            (char)('0' + i % 10)};
            json_name(&j, dup == 1 && i == 999 ? "k000" : name);
            json_put_int(&j, i);
        }
        json_obj_close(&j);
        struct json_doc d;
        assert_int_equal(json_parse(wr_view(&w), lots, 5000, &d),
                         dup == 1 ? HSM_E_MALFORMED : HSM_OK);
    }
}

/* One special byte at every place of strings of every length, against the plain rule. */
static void strings_are_escaped(void **state)
{
    (void)state;
    static const uint8_t special[] = {'"', '\\', '\n', 0, 0x1f, 0x20, 0x7e, 0x7f, 0x80, 0xff};
    static const char *const want[] = {"\\\"", "\\\\", "\\n",  "\\u0000", "\\u001f",
                                       " ",    "~",    "\x7f", "\\ufffd", "\\ufffd"};
    for (size_t n = 1; n <= 26; n++) {
        for (size_t at = 0; at < n; at++) {
            for (size_t s = 0; s < sizeof special; s++) {
                uint8_t text[26], got[128];
                char expect[128];
                memset(text, 'a', sizeof text);
                text[at] = special[s];
                struct wr w = wr_of(got, sizeof got);
                struct json_wr j = json_wr_of(&w);
                json_put_bytes(&j, bytes_of(text, n));
                json_put_bytes(&j, bytes_of(text, n));
                int k = snprintf(expect, sizeof expect, "\"%.*s%s%.*s\"", (int)at,
                                 "aaaaaaaaaaaaaaaaaaaaaaaaaa", want[s], (int)(n - at - 1),
                                 "aaaaaaaaaaaaaaaaaaaaaaaaaa");
                assert_int_equal(w.n, 2 * (size_t)k + 1);
                assert_memory_equal(got, expect, (size_t)k);
                assert_int_equal(got[k], ',');
                assert_memory_equal(got + k + 1, expect, (size_t)k);
            }
        }
    }
}

static void writer(void **state)
{
    (void)state;
    char text[512];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    json_name(&j, "s");
    json_put_str(&j, "q\"b\\n\n\x01\x7f\xc3\xa4");
    json_name_bytes(&j, bytes_str("n\"m"));
    json_put_bytes(&j, bytes_of("\xff"
                                "a",
                                2));
    json_name(&j, "arr");
    json_arr_open(&j);
    json_put_int(&j, INT64_MIN);
    json_put_int(&j, 0);
    json_put_bool(&j, true);
    json_put_bool(&j, false);
    json_put_null(&j);
    json_put_raw(&j, bytes_str("{\"r\":1}"));
    json_arr_open(&j);
    json_arr_close(&j);
    json_obj_open(&j);
    json_obj_close(&j);
    json_arr_close(&j);
    json_name(&j, "u");
    json_put_b64u(&j, bytes_of("\xfb\xff", 2));
    json_name(&j, "b");
    json_put_b64(&j, bytes_of("\xfb\xff", 2));
    json_name(&j, "c");
    json_str_open(&j);
    json_str_add_s(&j, "a\t");
    json_str_add(&j, bytes_str("/b"));
    json_str_close(&j);
    json_obj_close(&j);
    assert_int_equal(wr_ok(&w), HSM_OK);
    assert_true(bytes_eq_str(wr_view(&w),
                             "{\"s\":\"q\\\"b\\\\n\\n\\u0001\x7f\xc3\xa4\",\"n\\\"m\":\"\\ufffda\","
                             "\"arr\":[-9223372036854775808,0,true,false,null,{\"r\":1},[],{}],"
                             "\"u\":\"-_8\",\"b\":\"+/8=\",\"c\":\"a\\t/b\"}"));
    struct json_doc d;
    assert_int_equal(parse(wr_view(&w), &d), HSM_OK);
    /* every smaller buffer overflows, none is overrun */
    for (size_t cap = 0; cap < w.n; cap++) {
        struct wr small = wr_of(text, cap);
        struct json_wr js = json_wr_of(&small);
        json_put_b64u(&js, bytes_of("\xfb\xff\x01\x02", 4));
        json_put_b64(&js, bytes_of("\xfb\xff\x01\x02", 4));
        assert_true(small.n <= cap);
        assert_int_equal(wr_ok(&small), cap >= 8 + 11 ? HSM_OK : HSM_E_RANGE);
    }
}

static void one_mutant(struct bytes text, void *arg)
{
    (void)arg;
    struct json_doc d;
    if (parse(text, &d) != HSM_OK)
        return;
    for (uint32_t i = 0; i < d.n; i++) {
        const struct json_tok *t = &d.tok[i];
        assert_true(t->start + t->len <= text.n && t->next > i && t->next <= d.n);
    }
}

static void mutants(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++)
        mutate_each(accepted[i], one_mutant, NULL);
    mutate_each(bytes_str("{\"kid\":\"https://h/keys/a/"
                          "1\",\"alg\":\"RS256\",\"v\":[1,2.5e3,\"\\ud83d\\ude00\xc3\xa4\"]}"),
                one_mutant, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_texts),  cmocka_unit_test(accepted_texts),
        cmocka_unit_test(too_few_tokens), cmocka_unit_test(members),
        cmocka_unit_test(strings),        cmocka_unit_test(numbers),
        cmocka_unit_test(many_members),   cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(writer),         cmocka_unit_test(mutants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
