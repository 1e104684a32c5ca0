#include "codec/base64url.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/mutate.h"

static void bad_url_texts(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "A",      "AAAAA",  "=",    "==",   "AA=",  "AAA==",  "A===", "AAAA=",    "AAAA====",
        "AB",     "AAB",    "AA+A", "AA/A", "AA A", "AAAA\n", "AA=A", "\xc3\xa4", "AA.A",
        "AAAAAB", "AAAAAP", "AA,A", "AA@A", "AA[A", "AA`A",   "AA{A", "AA:A",     "AA^A",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t out[16];
        size_t n = 99;
        assert_int_equal(b64u_decode(out, bytes_str(bad[i]), &n), HSM_E_MALFORMED);
        assert_int_equal(n, 99);
    }
}

static void bad_standard_texts(void **state)
{
    (void)state;
    static const char *const bad[] = {"AA", "AAA", "AA=", "AA-A", "AA_A", "AB==", "AAB=", "===="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t out[16];
        size_t n = 99;
        assert_int_equal(b64_decode(out, bytes_str(bad[i]), &n), HSM_E_MALFORMED);
    }
}

static void error_leaves_zeros(void **state)
{
    (void)state;
    uint8_t out[16];
    size_t n;
    memset(out, 0xee, sizeof out);
    assert_int_equal(b64u_decode(out, bytes_str("AQIDBAUGBwg!"), &n), HSM_E_MALFORMED);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(out[i], 0);
}

static void rfc4648(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *std, *url;
    } rows[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/", "-_-_"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bytes p = bytes_str(rows[i].plain);
        char text[32];
        uint8_t back[32];
        size_t n;
        assert_true(bytes_eq_str(bytes_of(text, b64_encode(text, p.p, p.n)), rows[i].std));
        assert_int_equal(b64_decode(back, bytes_str(rows[i].std), &n), HSM_OK);
        assert_true(bytes_eq(bytes_of(back, n), p));
        assert_true(bytes_eq_str(bytes_of(text, b64u_encode(text, p.p, p.n)), rows[i].url));
        assert_int_equal(b64u_decode(back, bytes_str(rows[i].url), &n), HSM_OK);
        assert_true(bytes_eq(bytes_of(back, n), p));
    }
    uint8_t back[8];
    size_t n;
    assert_int_equal(b64u_decode(back, bytes_str("-_-_Zg=="), &n), HSM_OK);
    assert_int_equal(n, 4);
}

static void every_byte_round_trips(void **state)
{
    (void)state;
    uint8_t all[256];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)(i * 167 + 13);
    for (size_t len = 0; len <= sizeof all; len++) {
        char text[352];
        uint8_t back[300];
        size_t n;
        size_t text_n = b64u_encode(text, all, len);
        assert_true(text_n <= b64_encoded_max(len));
        assert_int_equal(b64u_decode(back, bytes_of(text, text_n), &n), HSM_OK);
        assert_int_equal(n, len);
        assert_memory_equal(back, all, len);
    }
}

static void one_mutant(struct bytes text, void *arg)
{
    (void)arg;
    uint8_t out[64];
    char again[64];
    size_t n;
    if (b64u_decode(out, text, &n) != HSM_OK)
        return;
    /* what is accepted has one spelling */
    size_t k = b64u_encode(again, out, n);
    assert_true(k <= text.n && memcmp(again, text.p, k) == 0);
}

static void mutants(void **state)
{
    (void)state;
    mutate_each(bytes_str("AQIDBAUGBwgJCgsMDQ4PEBE"), one_mutant, NULL);
    mutate_each(bytes_str("-_-_AA=="), one_mutant, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_url_texts),          cmocka_unit_test(bad_standard_texts),
        cmocka_unit_test(error_leaves_zeros),     cmocka_unit_test(rfc4648),
        cmocka_unit_test(every_byte_round_trips), cmocka_unit_test(mutants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
