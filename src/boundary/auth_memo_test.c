/* What a worker remembers of tokens: exactly those bytes, while the verdict holds, a few of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "boundary/auth_internal.h"

#define NOW 1700000000u
#define GEN 7u

static struct identity *make_identity(uint64_t exp)
{
    struct identity *i = (struct identity *)calloc(1, sizeof *i);
    assert_non_null(i);
    atomic_init(&i->refs, 1);
    i->exp = exp;
    return i;
}

static bool knows(struct auth_memo *m, struct bytes token, uint64_t generation, uint64_t now_s)
{
    struct identity *who = auth_memo_find(m, token, generation, now_s);
    identity_unref(who);
    return who != NULL;
}

static void every_byte_counts(void **state)
{
    (void)state;
    struct auth_memo *m = NULL;
    uint8_t text[700];
    struct identity *who = make_identity(NOW + 3600);
    struct auth_verdict v = {.generation = GEN, .verified_s = NOW, .who = who};
    assert_int_equal(auth_memo_new(&m), HSM_OK);
    memset(text, 'A', sizeof text);
    struct bytes token = bytes_of(text, sizeof text);
    assert_false(knows(m, token, GEN, NOW));
    assert_false(knows(m, bytes_of(NULL, 0), GEN, NOW));
    auth_memo_add(m, token, &v);
    assert_true(knows(m, token, GEN, NOW));
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] ^= 1;
        assert_false(knows(m, token, GEN, NOW));
        text[i] ^= 1;
    }
    for (size_t n = 0; n < sizeof text; n++)
        assert_false(knows(m, bytes_of(text, n), GEN, NOW));
    assert_false(knows(m, bytes_of(text + 1, sizeof text - 1), GEN, NOW));
    assert_int_equal(atomic_load(&who->refs), 2);
    auth_memo_free(m);
    assert_int_equal(atomic_load(&who->refs), 1);
    identity_unref(who);
}

static void verdicts_end(void **state)
{
    (void)state;
    struct auth_memo *m = NULL;
    struct bytes token = bytes_str("header.payload.signature");
    struct identity *who = make_identity(NOW + 100);
    struct auth_verdict v = {.generation = GEN, .verified_s = NOW, .who = who};
    assert_int_equal(auth_memo_new(&m), HSM_OK);
    auth_memo_add(m, token, &v);
    assert_true(knows(m, token, GEN, NOW + AUTH_CACHE_TRUST_S - 1));
    assert_false(knows(m, token, GEN, NOW + AUTH_CACHE_TRUST_S));
    assert_false(knows(m, token, GEN + 1, NOW));
    assert_false(knows(m, token, GEN, NOW - 2));
    /* A later verdict takes the place of the former: that one never comes back. */
    v.verified_s = NOW + 250;
    auth_memo_add(m, token, &v);
    assert_true(knows(m, token, GEN, NOW + 399));
    assert_false(knows(m, token, GEN, NOW + 100 + AUTH_CLOCK_SKEW_S));
    assert_false(knows(m, token, GEN, NOW));
    assert_int_equal(atomic_load(&who->refs), 2);
    auth_memo_free(m);
    identity_unref(who);
}

static void few_are_kept(void **state)
{
    (void)state;
    static uint8_t text[4097];
    struct auth_memo *m = NULL;
    struct identity *who = make_identity(NOW + 3600);
    struct auth_verdict v = {.generation = GEN, .verified_s = NOW, .who = who};
    assert_int_equal(auth_memo_new(&m), HSM_OK);
    memset(text, 'x', sizeof text);
    auth_memo_add(m, bytes_of(text, sizeof text), &v);
    assert_false(knows(m, bytes_of(text, sizeof text), GEN, NOW));
    auth_memo_add(m, bytes_of(text, sizeof text - 1), &v);
    assert_true(knows(m, bytes_of(text, sizeof text - 1), GEN, NOW));
    for (unsigned i = 0; i < 1000; i++) {
        char t[32];
        (void)snprintf(t, sizeof t, "token-%u", i);
        v.verified_s = NOW + i / 100;
        auth_memo_add(m, bytes_str(t), &v);
        assert_true(knows(m, bytes_str(t), GEN, NOW + i / 100));
        assert_true(atomic_load(&who->refs) <= 1 + 16);
    }
    assert_int_equal(atomic_load(&who->refs), 1 + 16);
    auth_memo_free(m);
    assert_int_equal(atomic_load(&who->refs), 1);
    identity_unref(who);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(verdicts_end),
        cmocka_unit_test(few_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
