/* Limits of guessing, and what is kept of passwords. */
#include "fabric/identity/test_dir.h"

#include "fabric/identity/guess_limit.h"
#include "fabric/identity/secret_hash.h"

#define NOW 1795307240u

static struct guess_limit g;

static bool try(const char *name, const char *address, bool good, uint64_t now_s)
{
    if (!guess_allowed(&g, bytes_str(name), address, now_s))
        return false;
    guess_note(&g, bytes_str(name), address, good, now_s);
    return true;
}

static unsigned tries(const char *name, const char *address, unsigned max)
{
    unsigned n = 0;
    while (n < max && try(name, address, false, NOW))
        n++;
    return n;
}

static void one_name_from_one_address(void **state)
{
    (void)state;
    assert_int_equal(guess_limit_init(&g), HSM_OK);
    assert_int_equal(tries("A@x", "10.0.0.1", 50), GUESS_PER_NAME);
    assert_false(try("a@X", "10.0.0.1", true, NOW)); /* also the right one, in any case */
    assert_true(try("a@x", "10.0.0.2", true, NOW));
    assert_true(try("b@x", "10.0.0.1", true, NOW));
    assert_false(try("a@x", "10.0.0.1", true, NOW + GUESS_SPAN_S - 1));
    assert_true(try("a@x", "10.0.0.1", true, NOW + GUESS_SPAN_S));
}

static void a_success_forgets(void **state)
{
    (void)state;
    assert_int_equal(guess_limit_init(&g), HSM_OK);
    for (unsigned round = 0; round < 5; round++) {
        assert_int_equal(tries("a@x", "10.0.0.1", GUESS_PER_NAME - 1), GUESS_PER_NAME - 1);
        assert_true(try("a@x", "10.0.0.1", true, NOW));
    }
}

static void all_names_from_one_address(void **state)
{
    (void)state;
    char name[32];
    unsigned n = 0;
    assert_int_equal(guess_limit_init(&g), HSM_OK);
    do
        snprintf(name, sizeof name, "user%u@x", n);
    while (n < 200 && tries(name, "10.0.0.1", 1) == 1 && ++n);
    assert_int_equal(n, GUESS_PER_ADDR);
    assert_true(try("somebody@x", "10.0.0.2", false, NOW));
}

static void one_name_from_anywhere(void **state)
{
    (void)state;
    char address[32];
    unsigned n = 0;
    assert_int_equal(guess_limit_init(&g), HSM_OK);
    do
        snprintf(address, sizeof address, "10.0.%u.%u", n / 250, n % 250);
    while (n < 2000 && tries("a@x", address, 1) == 1 && ++n);
    assert_int_equal(n, GUESS_NAME_ALL);
}

static void hashes(void **state)
{
    (void)state;
    char a[SECRET_HASH_MAX], b[SECRET_HASH_MAX], text[41];
    assert_int_equal(secret_hash_password(bytes_str("p1"), a), HSM_OK);
    assert_int_equal(secret_hash_password(bytes_str("p1"), b), HSM_OK);
    assert_string_not_equal(a, b);
    assert_null(strstr(a, "p1"));
    assert_true(secret_hash_fits(bytes_str(a), bytes_str("p1")));
    assert_false(secret_hash_fits(bytes_str(a), bytes_str("p2")));
    assert_false(secret_hash_fits(bytes_str(a), bytes_str("")));
    assert_int_equal(secret_text_random(text, 40), HSM_OK);
    assert_int_equal(strlen(text), 40);
    assert_int_equal(secret_hash_random(bytes_str(text), b), HSM_OK);
    assert_true(secret_hash_fits(bytes_str(b), bytes_str(text)));
    for (size_t i = 0; b[i] != 0; i++) {
        char bad[SECRET_HASH_MAX];
        memcpy(bad, b, sizeof bad);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        assert_false(secret_hash_fits(bytes_str(bad), bytes_str(text)));
        assert_false(secret_hash_fits(bytes_of(b, i), bytes_str(text)));
    }
    assert_false(secret_hash_fits(bytes_str(""), bytes_str("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_name_from_one_address),
        cmocka_unit_test(a_success_forgets),
        cmocka_unit_test(all_names_from_one_address),
        cmocka_unit_test(one_name_from_anywhere),
        cmocka_unit_test(hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
