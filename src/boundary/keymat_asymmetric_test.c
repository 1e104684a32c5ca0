/* RSA and EC keys: what they encrypt and sign, judged by plain libcrypto, and what they refuse. */
#include "boundary/keymat_testing.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include "codec/jws.h"

static struct testing_keys keys;

static int make_keys(void **state)
{
    (void)state;
    testing_keys_make(&keys, 3);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    testing_keys_free(&keys);
    return 0;
}

static void public_parts_have_their_widths(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(keys.rsa_pub[i].n_len, testing_rsa_bits[i] / 8);
        assert_int_equal(keys.rsa_pub[i].e_len, 3);
        assert_memory_equal(keys.rsa_pub[i].e, "\x01\x00\x01", 3);
        assert_int_equal(keys.rsa_pub[i].x_len, 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(keys.ec_pub[i].x_len, key_curve_width(testing_curves[i]));
        assert_int_equal(keys.ec_pub[i].y_len, key_curve_width(testing_curves[i]));
        assert_int_equal(keys.ec_pub[i].n_len, 0);
    }
}

/* ---- RSA ------------------------------------------------------------------------------------- */
/* Only what cannot be computed; libcrypto judges the rest. */
static void rsa_is_stored_short(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct keymat_spec spec = {.kty = KTY_RSA, .bits = testing_rsa_bits[i]};
        struct secret_buf b = {0};
        struct keymat_public pub;
        struct keymat *k = NULL;
        /* one of the larger sizes is enough: making them takes its time */
        if (i == 1)
            continue;
        assert_int_equal(keymat_generate(&spec, &b, &pub), HSM_OK);
        assert_int_equal(b.n, 9 + 4 * 4 + 3 + spec.bits / 8 * 2);
        assert_int_equal(keymat_open(bytes_of(b.p, b.n), &k), HSM_OK);
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
        assert_int_equal(EVP_PKEY_pairwise_check(c), 1);
        EVP_PKEY_CTX_free(c);
        keymat_unref(k);
        secret_buf_done(&b);
    }
}

static void rsa_encryption_limits(void **state)
{
    static const struct {
        unsigned alg;
        size_t overhead;
    } rows[] = {{ALG_RSA1_5, 11}, {ALG_RSA_OAEP, 42}, {ALG_RSA_OAEP_256, 66}};
    static struct done d;
    uint8_t plain[512];
    (void)state;
    testing_fill(plain, sizeof plain);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned a = 0; a < 3; a++) {
            size_t most = testing_rsa_bits[i] / 8 - rows[a].overhead;
            struct wire_crypto in = {.value = bytes_of(plain, most)};
            testing_round_trip(keys.rsa[i], rows[a].alg, false, &in);
            testing_round_trip(keys.rsa[i], rows[a].alg, true, &in);
            in.value.n = 1;
            testing_round_trip(keys.rsa[i], rows[a].alg, true, &in);
            in.value.n = most + 1;
            in.alg = (uint8_t)rows[a].alg;
            testing_run(keys.rsa[i], KEY_OP_ENCRYPT, &in, &d);
            assert_int_equal(d.err, HSM_E_BAD_PARAMETER);
            testing_run(keys.rsa[i], KEY_OP_WRAP, &in, &d);
            assert_int_equal(d.err, HSM_E_BAD_PARAMETER);
        }
    }
}

static void rsa_decryption_has_one_error(void **state)
{
    static const unsigned algs[] = {ALG_RSA1_5, ALG_RSA_OAEP, ALG_RSA_OAEP_256};
    static struct done good, bad;
    uint8_t cipher[257];
    (void)state;
    for (unsigned a = 0; a < 3; a++) {
        struct wire_crypto in = {.alg = (uint8_t)algs[a], .value = bytes_str("secret")};
        testing_run(keys.rsa[0], KEY_OP_ENCRYPT, &in, &good);
        assert_int_equal(good.err, HSM_OK);
        memcpy(cipher, good.res.value.p, 256);
        in.value = bytes_of(cipher, 256);
        /* RSA1_5 may by chance (about 2^-16) decrypt to something, but never to what was
         * encrypted. */
        cipher[100] ^= 1;
        testing_run(keys.rsa[0], KEY_OP_DECRYPT, &in, &bad);
        if (algs[a] == ALG_RSA1_5 && bad.err == HSM_OK)
            assert_false(bytes_eq_str(bad.res.value, "secret"));
        else
            assert_int_equal(bad.err, HSM_E_CRYPTO);
        memset(cipher, 0, sizeof cipher); /* the block 00 … 01, whatever the key: wrong padding */
        cipher[255] = 1;
        testing_run(keys.rsa[0], KEY_OP_DECRYPT, &in, &bad);
        assert_int_equal(bad.err, HSM_E_CRYPTO);
        testing_run(keys.rsa[0], KEY_OP_UNWRAP, &in, &bad);
        assert_int_equal(bad.err, HSM_E_CRYPTO);
        memset(cipher, 0xff, sizeof cipher); /* not below the modulus */
        testing_run(keys.rsa[0], KEY_OP_UNWRAP, &in, &bad);
        assert_int_equal(bad.err, HSM_E_CRYPTO);
        for (size_t n = 255; n <= 257; n += 2) {
            in.value.n = n;
            testing_run(keys.rsa[0], KEY_OP_DECRYPT, &in, &bad);
            assert_int_equal(bad.err, HSM_E_CRYPTO);
        }
        in.value.n = 0;
        testing_run(keys.rsa[0], KEY_OP_DECRYPT, &in, &bad);
        assert_int_equal(bad.err, HSM_E_CRYPTO);
        in.value = good.res.value;
        in.has = CRYPTO_HAS_IV;
        testing_run(keys.rsa[0], KEY_OP_DECRYPT, &in, &bad);
        assert_int_equal(bad.err, HSM_E_BAD_PARAMETER);
        in.has = 0;
        testing_run(keys.rsa[0], KEY_OP_DECRYPT, &in, &bad);
        assert_int_equal(bad.err, HSM_OK);
    }
}

static const struct {
    unsigned alg;
    const char *md;
    size_t digest;
    int padding;
} rsa_sigs[] = {
    {ALG_RS256, "SHA256", 32, RSA_PKCS1_PADDING},
    {ALG_RS384, "SHA384", 48, RSA_PKCS1_PADDING},
    {ALG_RS512, "SHA512", 64, RSA_PKCS1_PADDING},
    {ALG_PS256, "SHA256", 32, RSA_PKCS1_PSS_PADDING},
    {ALG_PS384, "SHA384", 48, RSA_PKCS1_PSS_PADDING},
    {ALG_PS512, "SHA512", 64, RSA_PKCS1_PSS_PADDING},
};

static const uint8_t message[] = "what the client signed";

/* Plain EVP with the public numbers says whether a signature over the message is good. */
static bool plain_verify(EVP_PKEY *key, const char *md, int padding, struct bytes sig)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    EVP_PKEY_CTX *p = NULL;
    assert_int_equal(EVP_DigestVerifyInit_ex(c, &p, md, NULL, NULL, key, NULL), 1);
    if (padding != 0)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(p, padding), 1);
    if (padding == RSA_PKCS1_PSS_PADDING)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_DIGEST), 1);
    bool good = EVP_DigestVerify(c, sig.p, sig.n, message, sizeof message) == 1;
    EVP_MD_CTX_free(c);
    return good;
}

static void rsa_signatures(void **state)
{
    static struct done d, v;
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        EVP_PKEY *pub = jwk_rsa_public(bytes_of(keys.rsa_pub[i].n, keys.rsa_pub[i].n_len),
                                       bytes_of(keys.rsa_pub[i].e, keys.rsa_pub[i].e_len));
        assert_non_null(pub);
        for (unsigned a = 0; a < 6; a++) {
            uint8_t digest[65] = {0};
            EVP_Digest(message, sizeof message, digest, NULL, EVP_get_digestbyname(rsa_sigs[a].md),
                       NULL);
            struct wire_crypto in = {.alg = (uint8_t)rsa_sigs[a].alg,
                                     .value = bytes_of(digest, rsa_sigs[a].digest)};
            testing_run(keys.rsa[i], KEY_OP_SIGN, &in, &d);
            assert_int_equal(d.err, HSM_OK);
            assert_int_equal(d.res.value.n, testing_rsa_bits[i] / 8);
            assert_true(plain_verify(pub, rsa_sigs[a].md, rsa_sigs[a].padding, d.res.value));
            struct wire_crypto check = {.alg = in.alg, .value = d.res.value, .digest = in.value};
            testing_run(keys.rsa[i], KEY_OP_VERIFY, &check, &v);
            assert_int_equal(v.err, HSM_OK);
            assert_int_equal(v.res.verified, 1);
            check.value.n--;
            testing_run(keys.rsa[i], KEY_OP_VERIFY, &check, &v);
            assert_int_equal(v.err, HSM_OK);
            assert_int_equal(v.res.verified, 0);
            check.value.n++;
            d.buf[7] ^= 4;
            testing_run(keys.rsa[i], KEY_OP_VERIFY, &check, &v);
            assert_int_equal(v.err, HSM_OK);
            assert_int_equal(v.res.verified, 0);
            check.digest.n--;
            testing_run(keys.rsa[i], KEY_OP_VERIFY, &check, &v);
            assert_int_equal(v.err, HSM_E_BAD_PARAMETER);
            in.value.n++;
            testing_run(keys.rsa[i], KEY_OP_SIGN, &in, &v);
            assert_int_equal(v.err, HSM_E_BAD_PARAMETER);
        }
        EVP_PKEY_free(pub);
    }
}

static void rsnull_signs_what_it_is_given(void **state)
{
    static const uint8_t info[19] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                     0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    static struct done d, v;
    uint8_t tbs[300] = {0};
    (void)state;
    memcpy(tbs, info, sizeof info);
    EVP_Digest(message, sizeof message, tbs + sizeof info, NULL, EVP_sha256(), NULL);
    EVP_PKEY *pub = jwk_rsa_public(bytes_of(keys.rsa_pub[0].n, keys.rsa_pub[0].n_len),
                                   bytes_of(keys.rsa_pub[0].e, keys.rsa_pub[0].e_len));
    struct wire_crypto in = {.alg = ALG_RSNULL, .value = bytes_of(tbs, sizeof info + 32)};
    testing_run(keys.rsa[0], KEY_OP_SIGN, &in, &d);
    assert_int_equal(d.err, HSM_OK);
    assert_true(plain_verify(pub, "SHA256", RSA_PKCS1_PADDING, d.res.value));
    struct wire_crypto check = {.alg = ALG_RSNULL, .value = d.res.value, .digest = in.value};
    testing_run(keys.rsa[0], KEY_OP_VERIFY, &check, &v);
    assert_int_equal(v.res.verified, 1);
    tbs[40] ^= 1;
    testing_run(keys.rsa[0], KEY_OP_VERIFY, &check, &v);
    assert_int_equal(v.err, HSM_OK);
    assert_int_equal(v.res.verified, 0);
    in.value.n = 245;
    testing_run(keys.rsa[0], KEY_OP_SIGN, &in, &d);
    assert_int_equal(d.err, HSM_OK);
    in.value.n = 246;
    testing_run(keys.rsa[0], KEY_OP_SIGN, &in, &d);
    assert_int_equal(d.err, HSM_E_BAD_PARAMETER);
    in.value.n = 0;
    testing_run(keys.rsa[0], KEY_OP_SIGN, &in, &d);
    assert_int_equal(d.err, HSM_E_BAD_PARAMETER);
    EVP_PKEY_free(pub);
}

/* ---- ECDSA ----------------------------------------------------------------------------------- */
static const struct {
    unsigned alg;
    const char *group, *md;
    size_t digest;
} ec_sigs[4] = {
    {ALG_ES256, "prime256v1", "SHA256", 32},
    {ALG_ES256K, "secp256k1", "SHA256", 32},
    {ALG_ES384, "secp384r1", "SHA384", 48},
    {ALG_ES512, "secp521r1", "SHA512", 64},
};

static void ec_verify_refusals(struct keymat *k, struct wire_crypto check, uint8_t *sig)
{
    static struct done v;
    uint8_t zero[132] = {0};
    sig[0] ^= 1;
    testing_run(k, KEY_OP_VERIFY, &check, &v);
    assert_int_equal(v.err, HSM_OK);
    assert_int_equal(v.res.verified, 0);
    sig[0] ^= 1;
    struct bytes good = check.value;
    check.value.n--;
    testing_run(k, KEY_OP_VERIFY, &check, &v);
    assert_int_equal(v.err, HSM_OK);
    assert_int_equal(v.res.verified, 0);
    for (int fillers = 0; fillers < 2; fillers++) {
        memset(zero, fillers == 0 ? 0 : 0xff, sizeof zero);
        check.value = bytes_of(zero, good.n);
        testing_run(k, KEY_OP_VERIFY, &check, &v);
        assert_int_equal(v.err, HSM_OK);
        assert_int_equal(v.res.verified, 0);
    }
    check.value = good;
    check.digest.n--;
    testing_run(k, KEY_OP_VERIFY, &check, &v);
    assert_int_equal(v.err, HSM_E_BAD_PARAMETER);
}

static void ec_signatures(void **state)
{
    static struct done d, v;
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        size_t width = key_curve_width(testing_curves[i]);
        EVP_PKEY *pub = jwk_ec_public(ec_sigs[i].group, bytes_of(keys.ec_pub[i].x, width),
                                      bytes_of(keys.ec_pub[i].y, width));
        assert_non_null(pub);
        uint8_t digest[65] = {0};
        EVP_Digest(message, sizeof message, digest, NULL, EVP_get_digestbyname(ec_sigs[i].md),
                   NULL);
        struct wire_crypto in = {.alg = (uint8_t)ec_sigs[i].alg,
                                 .value = bytes_of(digest, ec_sigs[i].digest)};
        /* Often enough that short r or s occur and must be padded to the full width. */
        for (unsigned round = 0; round < (i == 0 ? 600 : 8); round++) {
            uint8_t der[160];
            size_t der_n = 0;
            testing_run(keys.ec[i], KEY_OP_SIGN, &in, &d);
            assert_int_equal(d.err, HSM_OK);
            assert_int_equal(d.res.value.n, 2 * width);
            assert_int_equal(ecdsa_raw_to_der(d.res.value, width, der, sizeof der, &der_n), HSM_OK);
            assert_true(plain_verify(pub, ec_sigs[i].md, 0, bytes_of(der, der_n)));
        }
        struct wire_crypto check = {.alg = in.alg, .value = d.res.value, .digest = in.value};
        testing_run(keys.ec[i], KEY_OP_VERIFY, &check, &v);
        assert_int_equal(v.err, HSM_OK);
        assert_int_equal(v.res.verified, 1);
        ec_verify_refusals(keys.ec[i], check, d.buf);
        in.value.n++;
        testing_run(keys.ec[i], KEY_OP_SIGN, &in, &v);
        assert_int_equal(v.err, HSM_E_BAD_PARAMETER);
        EVP_PKEY_free(pub);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa_is_stored_short),   cmocka_unit_test(public_parts_have_their_widths),
        cmocka_unit_test(rsa_encryption_limits), cmocka_unit_test(rsa_decryption_has_one_error),
        cmocka_unit_test(rsa_signatures),        cmocka_unit_test(rsnull_signs_what_it_is_given),
        cmocka_unit_test(ec_signatures),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
