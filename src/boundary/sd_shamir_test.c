#include <stdio.h>
#include "boundary/sd.h"
#include "boundary/sd_testing.h"

static void kdf_answers(void **state)
{
    struct vectors *v = vectors_load("primitives.json");
    uint32_t list = vec_get(v, 0, "kdf");
    unsigned n = 0;
    (void)state;
    for (uint32_t at = json_first(&v->doc, list); at != JSON_NONE;
         at = json_next(&v->doc, list, at)) {
        uint8_t key[128], want[64], got[64] = {0};
        char label[128], context[128];
        size_t key_n = vec_hex(v, vec_get(v, at, "key_hex"), key, sizeof key);
        size_t want_n = vec_hex(v, vec_get(v, at, "output_hex"), want, sizeof want);
        vec_text(v, vec_get(v, at, "label"), label, sizeof label);
        vec_text(v, vec_get(v, at, "context"), context, sizeof context);
        sd_kdf(key, key_n, label, context, vec_int(v, at, "bits"), got);
        assert_int_equal(want_n * 8, vec_int(v, at, "bits"));
        assert_memory_equal(got, want, want_n);
        n++;
    }
    assert_int_equal(n, 7);
    free(v);
}

struct split {
    uint8_t share[10][128];
    unsigned n, required;
    uint8_t secret[64];
    size_t secret_n;
};

static void load_split(const struct vectors *v, uint32_t at, struct split *s)
{
    s->n = vec_int(v, at, "n");
    s->required = vec_int(v, at, "required");
    s->secret_n = vec_hex(v, vec_get(v, at, "secret_hex"), s->secret, sizeof s->secret);
    uint32_t list = vec_get(v, at, "share_bytes_le_hex");
    unsigned i = 0;
    for (uint32_t e = json_first(&v->doc, list); e != JSON_NONE; e = json_next(&v->doc, list, e))
        assert_int_equal(vec_hex(v, e, s->share[i++], 128), 2 * s->secret_n);
    assert_int_equal(i, s->n);
}

/* Every choice of required shares gives the secret. */
static unsigned join_all(const struct split *s)
{
    unsigned subsets = 0;
    for (unsigned mask = 0; mask < 1u << s->n; mask++) {
        const uint8_t *chosen[10];
        uint8_t got[64];
        unsigned k = 0;
        if ((unsigned)__builtin_popcount(mask) != s->required)
            continue;
        for (unsigned i = s->n; i-- > 0;) {
            if ((mask >> i & 1) != 0)
                chosen[k++] = s->share[i];
        }
        assert_int_equal(sd_shamir_join(chosen, k, s->secret_n, got), HSM_OK);
        assert_memory_equal(got, s->secret, s->secret_n);
        subsets++;
    }
    return subsets;
}

static void shamir_answers(void **state)
{
    struct vectors *v = vectors_load("primitives.json");
    uint32_t list = vec_get(v, 0, "shamir");
    unsigned n = 0;
    (void)state;
    for (uint32_t at = json_first(&v->doc, list); at != JSON_NONE;
         at = json_next(&v->doc, list, at)) {
        struct split s;
        load_split(v, at, &s);
        assert_true(join_all(&s) > 0);
        n++;
    }
    assert_int_equal(n, 9);
    free(v);
}

static void split(struct split *s, unsigned n, unsigned required)
{
    uint8_t *share[10];
    s->n = n;
    s->required = required;
    s->secret_n = 64;
    for (size_t i = 0; i < 64; i++)
        s->secret[i] = (uint8_t)(i < 2 ? 0xff * i : i * 37 + n);
    for (unsigned i = 0; i < 10; i++)
        share[i] = s->share[i];
    assert_int_equal(sd_shamir_split(s->secret, s->secret_n, n, required, share), HSM_OK);
}

static void split_and_join(void **state)
{
    (void)state;
    for (unsigned n = 2; n <= 10; n++) {
        for (unsigned required = 2; required <= n; required++) {
            struct split s;
            split(&s, n, required);
            assert_true(join_all(&s) > 0);
            for (unsigned i = 0; i < n; i++) {
                for (size_t b = 0; b < 64; b++)
                    assert_int_equal(s.share[i][2 * b + 1] >> 1, i + 1);
            }
        }
    }
}

static unsigned y_of(const uint8_t *share, size_t b)
{
    return share[2 * b] | (share[2 * b + 1] & 1u) << 8;
}

/* One share says nothing: all of 0..256 occur for every secret byte, about equally often, and each
 * byte has its own polynomial. The bounds are seven standard deviations wide. */
static void shares_are_uniform(void **state)
{
    enum {
        ROUNDS = 3000
    };
    static unsigned count[257];
    static const uint8_t secret[64];
    uint8_t share[2][128];
    uint8_t *const shares[2] = {share[0], share[1]};
    unsigned equal_neighbours = 0;
    (void)state;
    for (unsigned r = 0; r < ROUNDS; r++) {
        assert_int_equal(sd_shamir_split(secret, 64, 2, 2, shares), HSM_OK);
        for (size_t b = 0; b < 64; b++) {
            assert_true(y_of(share[0], b) <= 256);
            count[y_of(share[0], b)]++;
            equal_neighbours += b > 0 && y_of(share[0], b) == y_of(share[0], b - 1);
        }
    }
    for (unsigned y = 0; y <= 256; y++)
        assert_in_range(count[y], 747 - 191, 747 + 191); /* ROUNDS * 64 / 257 = 747 */
    assert_in_range(equal_neighbours, 735 - 190, 735 + 190);
}

static void bad_parameters(void **state)
{
    uint8_t secret[4] = {0};
    uint8_t share[130][8];
    uint8_t *shares[130];
    (void)state;
    for (unsigned i = 0; i < 130; i++)
        shares[i] = share[i];
    assert_int_equal(sd_shamir_split(secret, 4, 3, 1, shares), HSM_E_BAD_PARAMETER);
    assert_int_equal(sd_shamir_split(secret, 4, 3, 0, shares), HSM_E_BAD_PARAMETER);
    assert_int_equal(sd_shamir_split(secret, 4, 3, 4, shares), HSM_E_BAD_PARAMETER);
    assert_int_equal(sd_shamir_split(secret, 4, 127, 2, shares), HSM_E_BAD_PARAMETER);
    assert_int_equal(sd_shamir_split(secret, 4, 126, 126, shares), HSM_OK);
    const uint8_t *all[126];
    uint8_t got[4];
    for (unsigned i = 0; i < 126; i++)
        all[i] = share[i];
    assert_int_equal(sd_shamir_join(all, 126, 4, got), HSM_OK);
    assert_memory_equal(got, secret, 4);
}

static void bad_shares(void **state)
{
    struct split s;
    uint8_t got[64];
    (void)state;
    split(&s, 3, 2);
    const uint8_t *twice[2] = {s.share[0], s.share[0]};
    assert_int_equal(sd_shamir_join(twice, 2, 64, got), HSM_E_CRYPTO);
    const uint8_t *pair[2] = {s.share[0], s.share[1]};
    assert_int_equal(sd_shamir_join(pair, 1, 64, got), HSM_E_CRYPTO);
    assert_int_equal(sd_shamir_join(pair, 2, 0, got), HSM_E_CRYPTO);
    assert_int_equal(sd_shamir_join(pair, 2, 64, got), HSM_OK);

    s.share[1][63 * 2 + 1] ^= 8; /* x of one word differs */
    assert_int_equal(sd_shamir_join(pair, 2, 64, got), HSM_E_CRYPTO);
    s.share[1][63 * 2 + 1] ^= 8;
    for (size_t b = 0; b < 64; b++)
        s.share[1][2 * b + 1] &= 1; /* x = 0 would be the secret itself */
    assert_int_equal(sd_shamir_join(pair, 2, 64, got), HSM_E_CRYPTO);
    for (size_t b = 0; b < 64; b++)
        s.share[1][2 * b + 1] |= 0xfe; /* x = 127 */
    assert_int_equal(sd_shamir_join(pair, 2, 64, got), HSM_E_CRYPTO);

    split(&s, 3, 2);
    s.share[0][20] = 1; /* y = 257 */
    s.share[0][21] |= 1;
    assert_int_equal(sd_shamir_join(pair, 2, 64, got), HSM_E_CRYPTO);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(got[i], 0);
}

/* y(1) = y(2) = 256 is the constant polynomial 256: no byte. */
static void a_sum_of_256_is_refused(void **state)
{
    static const uint8_t a[2] = {0x00, 0x03};
    static const uint8_t b[2] = {0x00, 0x05};
    const uint8_t *pair[2] = {a, b};
    uint8_t got = 1;
    (void)state;
    assert_int_equal(sd_shamir_join(pair, 2, 1, &got), HSM_E_CRYPTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kdf_answers),
        cmocka_unit_test(shamir_answers),
        cmocka_unit_test(split_and_join),
        cmocka_unit_test(shares_are_uniform),
        cmocka_unit_test(bad_parameters),
        cmocka_unit_test(bad_shares),
        cmocka_unit_test(a_sum_of_256_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
