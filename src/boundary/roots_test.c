#include "boundary/roots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include "base/mutate.h"

static void expect_same(const struct roots *a, const struct roots *b)
{
    assert_memory_equal(a->pool.b, b->pool.b, 16);
    assert_memory_equal(a->dek, b->dek, ROOT_KEY_LEN);
    assert_memory_equal(a->backup, b->backup, 64);
    assert_int_equal(a->owner_key.n, b->owner_key.n);
    assert_memory_equal(a->owner_key.p, b->owner_key.p, a->owner_key.n);
    assert_int_equal(a->audit_key.n, b->audit_key.n);
    assert_memory_equal(a->audit_key.p, b->audit_key.p, a->audit_key.n);
    assert_int_equal(a->owner_cert_n, b->owner_cert_n);
    assert_memory_equal(a->owner_cert, b->owner_cert, a->owner_cert_n);
}

static void generated_roots(void **state)
{
    struct roots a = {0};
    struct roots b = {0};
    uint8_t zero[64] = {0};
    (void)state;
    assert_int_equal(roots_generate("dev", &a), HSM_OK);
    assert_int_equal(roots_generate("dev", &b), HSM_OK);
    assert_memory_not_equal(a.pool.b, b.pool.b, 16);
    assert_memory_not_equal(a.dek, b.dek, 32);
    assert_memory_not_equal(a.backup, b.backup, 64);
    assert_memory_not_equal(a.dek, zero, 32);
    assert_memory_not_equal(a.backup, zero, 64);
    assert_memory_not_equal(a.backup, a.dek, 32);
    roots_done(&a);
    assert_null(a.dek);
    roots_done(&a); /* twice is fine */
    roots_done(&b);
}

static EVP_PKEY *private_of(const struct secret_buf *der)
{
    const uint8_t *p = der->p;
    EVP_PKEY *k = d2i_AutoPrivateKey(NULL, &p, (long)der->n);
    assert_non_null(k);
    assert_ptr_equal(p, der->p + der->n);
    return k;
}

static void owner_certificate(void **state)
{
    struct roots r = {0};
    char cn[64];
    int days = 0;
    int seconds = 0;
    (void)state;
    assert_int_equal(roots_generate("my-pool", &r), HSM_OK);
    const uint8_t *p = r.owner_cert;
    X509 *cert = d2i_X509(NULL, &p, (long)r.owner_cert_n);
    assert_non_null(cert);
    assert_ptr_equal(p, r.owner_cert + r.owner_cert_n);
    EVP_PKEY *owner = private_of(&r.owner_key);
    assert_int_equal(X509_verify(cert, owner), 1);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(cert), owner), 1);
    assert_int_equal(EVP_PKEY_get_bits(owner), 384);
    assert_true(
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof cn) > 0);
    assert_string_equal(cn, "my-pool");
    assert_int_equal(X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)), 0);
    assert_int_equal(
        ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(cert), X509_get0_notAfter(cert)), 1);
    assert_int_equal(days, 9131);
    assert_true(X509_check_ca(cert) == 1);
    EVP_PKEY *audit = private_of(&r.audit_key);
    assert_int_equal(EVP_PKEY_get_bits(audit), 256);
    EVP_PKEY_free(audit);
    EVP_PKEY_free(owner);
    X509_free(cert);
    roots_done(&r);
}

static void names_that_fit_no_certificate(void **state)
{
    char name[100];
    struct roots r = {0};
    (void)state;
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(roots_generate(name, &r), HSM_E_INTERNAL);
    assert_null(r.dek);
}

static void encode_and_decode(void **state)
{
    struct roots a = {0};
    struct roots b = {0};
    struct secret_buf s = {0};
    (void)state;
    assert_int_equal(roots_generate("dev", &a), HSM_OK);
    assert_int_equal(roots_encode(&a, &s), HSM_OK);
    assert_int_equal(roots_decode(bytes_of(s.p, s.n), &b), HSM_OK);
    expect_same(&a, &b);
    roots_done(&b);
    uint8_t longer[8192];
    memcpy(longer, s.p, s.n);
    longer[s.n] = 0;
    assert_int_equal(roots_decode(bytes_of(longer, s.n + 1), &b), HSM_E_CORRUPT);
    secret_buf_done(&s);
    roots_done(&a);
}

static void try_decode(struct bytes sample, void *arg)
{
    unsigned *good = (unsigned *)arg;
    struct roots r = {0};
    hsm_err err = roots_decode(sample, &r);
    if (err == HSM_OK) {
        ++*good;
        roots_done(&r);
        return;
    }
    assert_int_equal(err, HSM_E_CORRUPT);
    assert_null(r.dek);
}

static void damaged_roots(void **state)
{
    struct roots a = {0};
    struct secret_buf s = {0};
    unsigned good = 0;
    (void)state;
    assert_int_equal(roots_generate("dev", &a), HSM_OK);
    assert_int_equal(roots_encode(&a, &s), HSM_OK);
    for (size_t n = 0; n < s.n; n++) {
        mutate_call(s.p, n, SIZE_MAX, try_decode, &good);
        assert_int_equal(good, 0);
    }
    /* One bit of each byte. Ids and keys are as good as any other, the framing is not. */
    for (size_t i = 0; i < s.n; i++) {
        unsigned before = good;
        mutate_call(s.p, s.n, i * 8 + i % 8, try_decode, &good);
        if (i < 8)
            assert_int_equal(good, before);
        else if (i < 8 + 16)
            assert_int_equal(good, before + 1);
    }
    assert_true(good >= 16 + 32 + 64 && good < s.n);
    secret_buf_done(&s);
    roots_done(&a);
}

/* RFC 5869 with one HMAC at a time. */
static void hkdf(const struct roots *r, const char *info, size_t info_n, uint8_t out[32])
{
    uint8_t prk[32];
    uint8_t input[256];
    memcpy(input, info, info_n);
    input[info_n] = 1;
    HMAC(EVP_sha256(), r->pool.b, 16, r->dek, 32, prk, NULL);
    HMAC(EVP_sha256(), prk, 32, input, info_n + 1, out, NULL);
}

static void derivation(void **state)
{
    struct roots r = {0};
    uint8_t got[32];
    uint8_t want[32];
    uint8_t other[32];
    uint8_t big[600] = {0};
    (void)state;
    assert_int_equal(roots_generate("dev", &r), HSM_OK);
    assert_int_equal(roots_derive(&r, "record", bytes_of("\x02xyz", 4), got), HSM_OK);
    hkdf(&r, "record\x02xyz", 10, want);
    assert_memory_equal(got, want, 32);
    assert_int_equal(roots_derive(&r, "index", bytes_of(NULL, 0), other), HSM_OK);
    hkdf(&r, "index", 5, want);
    assert_memory_equal(other, want, 32);
    assert_memory_not_equal(other, got, 32);
    assert_int_equal(roots_derive(&r, "index", bytes_of(big, sizeof big), other), HSM_E_RANGE);
    roots_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generated_roots),
        cmocka_unit_test(owner_certificate),
        cmocka_unit_test(names_that_fit_no_certificate),
        cmocka_unit_test(encode_and_decode),
        cmocka_unit_test(damaged_roots),
        cmocka_unit_test(derivation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
