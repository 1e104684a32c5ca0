/* Key material: generation, the private format, AES, and what holds for every key. */
#include "boundary/keymat_testing.h"

#include <openssl/evp.h>
#include <pthread.h>
#include "base/mutate.h"
#include "codec/jws.h"

static struct testing_keys keys;

static int make_keys(void **state)
{
    (void)state;
    testing_keys_make(&keys, 1);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    testing_keys_free(&keys);
    return 0;
}

/* ---- specification and generation ------------------------------------------------------------ */
static void spec_defaults_and_limits(void **state)
{
    static const struct {
        struct keymat_spec in, out;
        bool ok;
    } rows[] = {
        {{KTY_RSA, CRV_NONE, 0, 0}, {KTY_RSA, CRV_NONE, 2048, 65537}, true},
        {{KTY_RSA, CRV_NONE, 4096, 3}, {KTY_RSA, CRV_NONE, 4096, 3}, true},
        {{KTY_RSA, CRV_NONE, 1024, 0}, {0}, false},
        {{KTY_RSA, CRV_NONE, 2049, 0}, {0}, false},
        {{KTY_RSA, CRV_NONE, 8192, 0}, {0}, false},
        {{KTY_RSA, CRV_NONE, 2048, 1}, {0}, false},
        {{KTY_RSA, CRV_NONE, 2048, 17}, {0}, false},
        {{KTY_EC, CRV_NONE, 0, 0}, {KTY_EC, CRV_P256, 256, 0}, true},
        {{KTY_EC, CRV_P256K, 0, 0}, {KTY_EC, CRV_P256K, 256, 0}, true},
        {{KTY_EC, CRV_P521, 0, 0}, {KTY_EC, CRV_P521, 521, 0}, true},
        {{KTY_EC, (enum key_curve)9, 0, 0}, {0}, false},
        {{KTY_OCT, CRV_NONE, 0, 0}, {KTY_OCT, CRV_NONE, 256, 0}, true},
        {{KTY_OCT, CRV_NONE, 192, 0}, {KTY_OCT, CRV_NONE, 192, 0}, true},
        {{KTY_OCT, CRV_NONE, 64, 0}, {0}, false},
        {{KTY_OCT, CRV_NONE, 512, 0}, {0}, false},
        {{KTY_NONE, CRV_NONE, 0, 0}, {0}, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct keymat_spec s = rows[i].in;
        const char *why = NULL;
        hsm_err err = keymat_spec_check(&s, &why);
        assert_int_equal(err, rows[i].ok ? HSM_OK : HSM_E_BAD_PARAMETER);
        assert_int_equal(rows[i].ok, why == NULL);
        if (!rows[i].ok)
            continue;
        assert_int_equal(s.kty, rows[i].out.kty);
        assert_int_equal(s.crv, rows[i].out.crv);
        assert_int_equal(s.bits, rows[i].out.bits);
        assert_int_equal(s.public_exponent, rows[i].out.public_exponent);
    }
}

static void generation_refuses_bad_specs(void **state)
{
    struct keymat_spec s = {.kty = KTY_RSA, .bits = 1024};
    struct secret_buf b;
    struct keymat_public pub;
    (void)state;
    assert_int_equal(keymat_generate(&s, &b, &pub), HSM_E_BAD_PARAMETER);
}

static void exponent_three(void **state)
{
    static struct done d;
    struct keymat_spec s = {.kty = KTY_RSA, .bits = 2048, .public_exponent = 3};
    struct secret_buf b = {0};
    struct keymat_public pub;
    struct keymat *k = NULL;
    uint8_t digest[32] = {1};
    (void)state;
    assert_int_equal(keymat_generate(&s, &b, &pub), HSM_OK);
    assert_int_equal(pub.e_len, 1);
    assert_int_equal(pub.e[0], 3);
    assert_int_equal(keymat_open(bytes_of(b.p, b.n), &k), HSM_OK);
    struct wire_crypto in = {.alg = ALG_PS256, .value = bytes_of(digest, 32)};
    testing_run(k, KEY_OP_SIGN, &in, &d);
    assert_int_equal(d.err, HSM_OK);
    keymat_unref(k);
    secret_buf_done(&b);
}

/* As rotation makes them after a key that came from elsewhere. */
static void unusual_specs(void **state)
{
    static const struct {
        struct keymat_spec s;
        size_t e_len;
        hsm_err err;
    } rows[] = {
        {{KTY_OCT, CRV_NONE, 512, 0}, 0, HSM_OK},
        {{KTY_OCT, CRV_NONE, 8, 0}, 0, HSM_OK},
        {{KTY_OCT, CRV_NONE, 520, 0}, 0, HSM_E_BAD_PARAMETER},
        {{KTY_OCT, CRV_NONE, 12, 0}, 0, HSM_E_BAD_PARAMETER},
        {{KTY_RSA, CRV_NONE, 2048, 17}, 1, HSM_OK},
        {{KTY_RSA, CRV_NONE, 2048, 0xfffffffffffffffbu}, 8, HSM_OK},
        {{KTY_RSA, CRV_NONE, 2048, 65536}, 0, HSM_E_BAD_PARAMETER},
        {{KTY_RSA, CRV_NONE, 2048, 1}, 0, HSM_E_BAD_PARAMETER},
        {{KTY_RSA, CRV_NONE, 2056, 17}, 0, HSM_E_BAD_PARAMETER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct secret_buf b = {0};
        struct keymat_public pub;
        struct keymat *made = NULL;
        assert_int_equal(keymat_generate(&rows[i].s, &b, &pub), rows[i].err);
        if (rows[i].err != HSM_OK)
            continue;
        assert_int_equal(pub.e_len, rows[i].e_len);
        assert_int_equal(keymat_open(bytes_of(b.p, b.n), &made), HSM_OK);
        keymat_unref(made);
        secret_buf_done(&b);
    }
}

static void new_keys_differ(void **state)
{
    struct keymat_spec s = {.kty = KTY_OCT};
    struct secret_buf a = {0};
    struct secret_buf b = {0};
    struct keymat_public pub;
    (void)state;
    assert_int_equal(keymat_generate(&s, &a, &pub), HSM_OK);
    assert_int_equal(keymat_generate(&s, &b, &pub), HSM_OK);
    assert_int_equal(a.n, b.n);
    assert_memory_not_equal(a.p, b.p, a.n);
    secret_buf_done(&a);
    secret_buf_done(&b);
}

/* ---- the private format ---------------------------------------------------------------------- */
static void try_open(struct bytes sample, void *arg)
{
    struct keymat *k = NULL;
    unsigned *opened = (unsigned *)arg;
    hsm_err err = keymat_open(sample, &k);
    if (err == HSM_OK)
        ++*opened;
    else
        assert_int_equal(err, HSM_E_CORRUPT);
    keymat_unref(k);
}

static unsigned damaged_opens(enum key_type kty, enum key_curve crv, size_t *ret_bits)
{
    struct keymat_spec s = {.kty = kty, .crv = crv};
    struct secret_buf b = {0};
    struct keymat_public pub;
    unsigned opened = 0;
    assert_int_equal(keymat_generate(&s, &b, &pub), HSM_OK);
    mutate_each(bytes_of(b.p, b.n), try_open, &opened);
    uint8_t longer[KEYMAT_PRIVATE_MAX];
    memcpy(longer, b.p, b.n);
    longer[b.n] = 0;
    struct keymat *k = NULL;
    assert_int_equal(keymat_open(bytes_of(longer, b.n + 1), &k), HSM_E_CORRUPT);
    *ret_bits = b.n * 8;
    secret_buf_done(&b);
    return opened;
}

static void damaged_private_parts(void **state)
{
    size_t bits;
    (void)state;
    /* oct: every bit of the key itself makes another good key; nothing else may pass. */
    assert_int_equal(damaged_opens(KTY_OCT, CRV_NONE, &bits), 256);
    /* EC: a changed scalar is a number in range (the seal above is what protects it); a changed
     * point is not on the curve. */
    assert_true(damaged_opens(KTY_EC, CRV_P256, &bits) <= 256);
    /* RSA: changed primes or modulus do not multiply; another e may be one. */
    assert_true(damaged_opens(KTY_RSA, CRV_NONE, &bits) <= 24);
}

static void ec_scalar_range(void **state)
{
    uint8_t raw[256];
    uint8_t scalar[32];
    struct keymat *k = NULL;
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        memset(scalar, i == 0 ? 0x00 : 0xff, sizeof scalar);
        struct wr w = wr_of(raw, sizeof raw);
        keymat_head_put(&w, KTY_EC, CRV_P256, 256);
        wr_lv(&w, bytes_of(scalar, 32));
        wr_lv(&w, bytes_of(keys.ec_pub[0].x, 32));
        wr_lv(&w, bytes_of(keys.ec_pub[0].y, 32));
        assert_int_equal(keymat_open(wr_view(&w), &k), HSM_E_CORRUPT);
    }
}

/* ---- AES ------------------------------------------------------------------------------------- */
static void aes_round_trips(void **state)
{
    static uint8_t plain[65536];
    static const uint8_t iv[16] = {1, 2, 3};
    static const size_t lengths[] = {0, 1, 15, 16, 17, 31, 32, 40, 255, 256, 65536};
    static const unsigned gcm[] = {ALG_A128GCM, ALG_A192GCM, ALG_A256GCM};
    static const unsigned cbc[] = {ALG_A128CBC, ALG_A192CBC, ALG_A256CBC};
    static const unsigned pad[] = {ALG_A128CBCPAD, ALG_A192CBCPAD, ALG_A256CBCPAD};
    static const unsigned kw[] = {ALG_A128KW, ALG_A192KW, ALG_A256KW};
    static const unsigned kwp[] = {ALG_A128KWPAD, ALG_A192KWPAD, ALG_A256KWPAD};
    (void)state;
    testing_fill(plain, sizeof plain);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
            struct bytes value = bytes_of(lengths[l] == 0 ? NULL : plain, lengths[l]);
            struct wire_crypto bare = {.value = value};
            struct wire_crypto aad = {
                .value = value, .has = CRYPTO_HAS_AAD, .aad = bytes_of(plain, 33)};
            struct wire_crypto with_iv = {
                .value = value, .has = CRYPTO_HAS_IV, .iv = bytes_of(iv, 16)};
            testing_round_trip(keys.oct[i], gcm[i], false, &bare);
            testing_round_trip(keys.oct[i], gcm[i], false, &aad);
            testing_round_trip(keys.oct[i], pad[i], false, &with_iv);
            if (value.n > 0 && value.n % 16 == 0)
                testing_round_trip(keys.oct[i], cbc[i], false, &with_iv);
            if (value.n >= 16 && value.n % 8 == 0) {
                testing_round_trip(keys.oct[i], kw[i], true, &bare);
                testing_round_trip(keys.oct[i], ALG_CKM_AES_KEY_WRAP, true, &bare);
            }
            if (value.n > 0) {
                testing_round_trip(keys.oct[i], kwp[i], true, &bare);
                testing_round_trip(keys.oct[i], ALG_CKM_AES_KEY_WRAP_PAD, true, &bare);
            }
        }
    }
}

static void gcm_makes_its_own_iv(void **state)
{
    static struct done a, b;
    static const uint8_t iv[12];
    static const uint8_t text[5] = "four";
    struct wire_crypto in = {.alg = ALG_A256GCM,
                             .value = bytes_of(text, 4),
                             .has = CRYPTO_HAS_IV,
                             .iv = bytes_of(iv, 12)};
    (void)state;
    testing_run(keys.oct[2], KEY_OP_ENCRYPT, &in, &a);
    assert_int_equal(a.err, HSM_E_BAD_PARAMETER);
    in.has = CRYPTO_HAS_TAG;
    testing_run(keys.oct[2], KEY_OP_ENCRYPT, &in, &a);
    assert_int_equal(a.err, HSM_E_BAD_PARAMETER);
    in.has = CRYPTO_HAS_AAD;
    in.aad = bytes_of(text, 2);
    testing_run(keys.oct[2], KEY_OP_ENCRYPT, &in, &a);
    testing_run(keys.oct[2], KEY_OP_ENCRYPT, &in, &b);
    assert_int_equal(a.err, HSM_OK);
    assert_int_equal(a.res.has, CRYPTO_HAS_IV | CRYPTO_HAS_AAD | CRYPTO_HAS_TAG);
    assert_int_equal(a.res.iv.n, 12);
    assert_int_equal(a.res.tag.n, 16);
    assert_int_equal(a.res.aad.n, 2);
    assert_int_equal(a.res.value.n, 4);
    assert_memory_not_equal(a.res.iv.p, b.res.iv.p, 12);
}

static void aes_parameters_are_checked(void **state)
{
    static struct done d;
    static const uint8_t z[64];
    static const struct {
        unsigned alg;
        uint32_t op;
        size_t value, iv, tag;
        unsigned has;
        hsm_err err;
    } rows[] = {
        {ALG_A256GCM, KEY_OP_DECRYPT, 16, 0, 16, CRYPTO_HAS_TAG, HSM_E_BAD_PARAMETER},
        {ALG_A256GCM, KEY_OP_DECRYPT, 16, 12, 0, CRYPTO_HAS_IV, HSM_E_BAD_PARAMETER},
        {ALG_A256GCM, KEY_OP_DECRYPT, 16, 11, 16, 5, HSM_E_BAD_PARAMETER},
        {ALG_A256GCM, KEY_OP_DECRYPT, 16, 16, 16, 5, HSM_E_BAD_PARAMETER},
        {ALG_A256GCM, KEY_OP_DECRYPT, 16, 12, 15, 5, HSM_E_BAD_PARAMETER},
        {ALG_A256GCM, KEY_OP_DECRYPT, 16, 12, 17, 5, HSM_E_BAD_PARAMETER},
        {ALG_A256GCM, KEY_OP_DECRYPT, 16, 12, 16, 5, HSM_E_CRYPTO},
        {ALG_A256GCM, KEY_OP_DECRYPT, 0, 12, 16, 5, HSM_E_CRYPTO},
        {ALG_A256CBC, KEY_OP_ENCRYPT, 16, 0, 0, 0, HSM_E_BAD_PARAMETER},
        {ALG_A256CBC, KEY_OP_ENCRYPT, 16, 35, 0, CRYPTO_HAS_IV, HSM_E_BAD_PARAMETER},
        {ALG_A256CBC, KEY_OP_ENCRYPT, 0, 16, 0, CRYPTO_HAS_IV, HSM_E_BAD_PARAMETER},
        {ALG_A256CBC, KEY_OP_ENCRYPT, 17, 16, 0, CRYPTO_HAS_IV, HSM_E_BAD_PARAMETER},
        {ALG_A256CBC, KEY_OP_DECRYPT, 15, 16, 0, CRYPTO_HAS_IV, HSM_E_BAD_PARAMETER},
        {ALG_A256CBC, KEY_OP_ENCRYPT, 16, 16, 16, 5, HSM_E_BAD_PARAMETER},
        {ALG_A256CBCPAD, KEY_OP_DECRYPT, 0, 16, 0, CRYPTO_HAS_IV, HSM_E_BAD_PARAMETER},
        {ALG_A256CBCPAD, KEY_OP_DECRYPT, 24, 16, 0, CRYPTO_HAS_IV, HSM_E_BAD_PARAMETER},
        {ALG_A256KW, KEY_OP_WRAP, 8, 0, 0, 0, HSM_E_BAD_PARAMETER},
        {ALG_A256KW, KEY_OP_WRAP, 20, 0, 0, 0, HSM_E_BAD_PARAMETER},
        {ALG_A256KW, KEY_OP_WRAP, 16, 8, 0, CRYPTO_HAS_IV, HSM_E_BAD_PARAMETER},
        {ALG_A256KW, KEY_OP_UNWRAP, 0, 0, 0, 0, HSM_E_CRYPTO},
        {ALG_A256KW, KEY_OP_UNWRAP, 16, 0, 0, 0, HSM_E_CRYPTO},
        {ALG_A256KW, KEY_OP_UNWRAP, 25, 0, 0, 0, HSM_E_CRYPTO},
        {ALG_A256KW, KEY_OP_UNWRAP, 24, 0, 0, 0, HSM_E_CRYPTO},
        {ALG_A256KWPAD, KEY_OP_WRAP, 0, 0, 0, 0, HSM_E_BAD_PARAMETER},
        {ALG_A256KWPAD, KEY_OP_UNWRAP, 8, 0, 0, 0, HSM_E_CRYPTO},
        {ALG_A256KWPAD, KEY_OP_UNWRAP, 17, 0, 0, 0, HSM_E_CRYPTO},
        {ALG_A256KWPAD, KEY_OP_UNWRAP, 16, 0, 0, 0, HSM_E_CRYPTO},
        {ALG_A128KW, KEY_OP_WRAP, 16, 0, 0, 0, HSM_E_BAD_PARAMETER}, /* key has 256 bits */
        {ALG_RS256, KEY_OP_SIGN, 32, 0, 0, 0, HSM_E_BAD_PARAMETER},
        {ALG_A256KW, KEY_OP_ENCRYPT, 16, 0, 0, 0, HSM_E_BAD_PARAMETER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wire_crypto in = {.alg = (uint8_t)rows[i].alg,
                                 .value = bytes_of(z, rows[i].value),
                                 .has = (uint8_t)rows[i].has,
                                 .iv = bytes_of(z, rows[i].iv),
                                 .tag = bytes_of(z, rows[i].tag)};
        testing_run(keys.oct[2], rows[i].op, &in, &d);
        if (d.err != rows[i].err)
            fail_msg("row %zu: %s", i, hsm_err_name(d.err));
    }
}

static void cbc_padding_is_checked(void **state)
{
    static struct done there, back;
    static const uint8_t iv[16] = {9};
    uint8_t cipher[16];
    unsigned refused = 0;
    struct wire_crypto in = {.alg = ALG_A128CBCPAD,
                             .value = bytes_str("hello"),
                             .has = CRYPTO_HAS_IV,
                             .iv = bytes_of(iv, 16)};
    (void)state;
    testing_run(keys.oct[0], KEY_OP_ENCRYPT, &in, &there);
    assert_int_equal(there.err, HSM_OK);
    assert_int_equal(there.res.value.n, 16);
    memcpy(cipher, there.res.value.p, 16);
    in.value = bytes_of(cipher, 16);
    for (unsigned i = 0; i < 64; i++) {
        cipher[i % 16] = (uint8_t)(cipher[i % 16] + 1 + i);
        testing_run(keys.oct[0], KEY_OP_DECRYPT, &in, &back);
        assert_true(back.err == HSM_OK || back.err == HSM_E_CRYPTO);
        refused += back.err == HSM_E_CRYPTO;
    }
    assert_true(refused > 32);
    /* The kept context still works after failures. */
    in.value = there.res.value;
    testing_run(keys.oct[0], KEY_OP_DECRYPT, &in, &back);
    assert_int_equal(back.err, HSM_OK);
    assert_memory_equal(back.res.value.p, "hello", 5);
}

static void buffer_must_have_room(void **state)
{
    uint8_t buf[2000];
    struct wire_crypto_result res;
    const char *why = NULL;
    struct wire_crypto in = {.alg = ALG_A256KW, .value = bytes_of(buf, 32)};
    (void)state;
    assert_int_equal(keymat_crypto(keys.oct[2], KEY_OP_WRAP, &in, buf, 32 + 1023, &res, &why),
                     HSM_E_INTERNAL);
}

static void failures_leave_nothing_behind(void **state)
{
    static uint8_t buf[2048];
    static const uint8_t z[64];
    struct wire_crypto_result res;
    const char *why = NULL;
    struct wire_crypto in = {.alg = ALG_A256GCM,
                             .value = bytes_of(z, 64),
                             .has = 5,
                             .iv = bytes_of(z, 12),
                             .tag = bytes_of(z, 16)};
    (void)state;
    memset(buf, 0xaa, sizeof buf);
    assert_int_equal(keymat_crypto(keys.oct[2], KEY_OP_DECRYPT, &in, buf, sizeof buf, &res, &why),
                     HSM_E_CRYPTO);
    for (size_t i = 0; i < sizeof buf; i++)
        assert_int_equal(buf[i], 0);
}

/* ---- every algorithm x key x operation that does not fit is refused -------------------------- */
static void misfits_never_reach_the_key(void **state)
{
    static struct done d;
    static const uint8_t z[64];
    struct keymat *all[] = {keys.rsa[0], keys.ec[0],  keys.ec[1],  keys.ec[2],
                            keys.ec[3],  keys.oct[0], keys.oct[1], keys.oct[2]};
    (void)state;
    for (unsigned a = 0; a <= ALG__COUNT; a++) {
        for (unsigned bit = 0; bit < 9; bit++) {
            for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
                const char *why = NULL;
                struct wire_crypto in = {.alg = (uint8_t)a, .value = bytes_of(z, 32)};
                if (crypto_alg_fits(a, 1u << bit, all[i]->kty, all[i]->crv, all[i]->bits, &why) ==
                    HSM_OK)
                    continue;
                testing_run(all[i], 1u << bit, &in, &d);
                assert_int_equal(d.err, HSM_E_BAD_PARAMETER);
            }
        }
    }
}

/* ---- threads --------------------------------------------------------------------------------- */
static void *hammer(void *arg)
{
    struct done *d = (struct done *)secret_alloc(sizeof *d);
    uint8_t digest[32] = {5};
    bool good = d != NULL;
    (void)arg;
    for (unsigned i = 0; i < 60 && good; i++) {
        struct {
            struct keymat *k;
            unsigned alg;
            uint32_t op;
        } jobs[] = {
            {keys.rsa[0], i % 2 == 0 ? ALG_RS256 : ALG_PS256, KEY_OP_SIGN},
            {keys.rsa[0], ALG_RSA_OAEP_256, KEY_OP_WRAP},
            {keys.ec[0], ALG_ES256, KEY_OP_SIGN},
            {keys.oct[2], ALG_A256KW, KEY_OP_WRAP},
            {keys.oct[2], ALG_A256KWPAD, KEY_OP_WRAP},
            {keys.oct[2], ALG_A256GCM, KEY_OP_ENCRYPT},
            {keys.oct[2], ALG_HS256, KEY_OP_SIGN},
            {keys.oct[2], ALG_HS512, KEY_OP_SIGN},
        };
        for (size_t j = 0; j < sizeof jobs / sizeof jobs[0]; j++) {
            const char *why = NULL;
            struct wire_crypto in = {.alg = (uint8_t)jobs[j].alg, .value = bytes_of(digest, 32)};
            struct keymat *k = keymat_ref(jobs[j].k);
            good &=
                keymat_crypto(k, jobs[j].op, &in, d->buf, sizeof d->buf, &d->res, &why) == HSM_OK;
            keymat_unref(k);
        }
    }
    secret_free(d);
    return good ? &keys : NULL;
}

static void threads_share_keys(void **state)
{
    pthread_t t[6];
    (void)state;
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&t[i], NULL, hammer, NULL), 0);
    for (unsigned i = 0; i < 6; i++) {
        void *good = NULL;
        pthread_join(t[i], &good);
        assert_non_null(good);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spec_defaults_and_limits),
        cmocka_unit_test(generation_refuses_bad_specs),
        cmocka_unit_test(exponent_three),
        cmocka_unit_test(unusual_specs),
        cmocka_unit_test(new_keys_differ),
        cmocka_unit_test(damaged_private_parts),
        cmocka_unit_test(ec_scalar_range),
        cmocka_unit_test(aes_round_trips),
        cmocka_unit_test(gcm_makes_its_own_iv),
        cmocka_unit_test(aes_parameters_are_checked),
        cmocka_unit_test(cbc_padding_is_checked),
        cmocka_unit_test(buffer_must_have_room),
        cmocka_unit_test(failures_leave_nothing_behind),
        cmocka_unit_test(misfits_never_reach_the_key),
        cmocka_unit_test(threads_share_keys),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
