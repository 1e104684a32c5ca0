/* Downloads of the security domain that are refused. */
#include "boundary/sd_ask_testing.h"

static size_t self_signed(EVP_PKEY *key, long serial, uint8_t *dst, size_t cap)
{
    X509 *c = X509_new();
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(c), serial), 1);
    X509_gmtime_adj(X509_getm_notBefore(c), -2000);
    X509_gmtime_adj(X509_getm_notAfter(c), -1000); /* expired: must not matter */
    assert_int_equal(X509_set_pubkey(c, key), 1);
    assert_true(X509_sign(c, key, EVP_sha256()) > 0);
    assert_true((size_t)i2d_X509(c, NULL) <= cap);
    int n = i2d_X509(c, &dst);
    X509_free(c);
    return (size_t)n;
}

static void numbers_and_quorum(void **state)
{
    struct ask *a;
    (void)state;
    a = ask_new(2);
    ask_refused(a, "3 to 10");
    ask_custodian(a, &set3[0]);
    ask_custodian(a, &set3[1]);
    ask_refused(a, "3 to 10");
    static const uint8_t bad[] = {1, 4, 5, 10, 11, 255};
    for (size_t i = 0; i < sizeof bad; i++) {
        a = ask_new(bad[i]);
        for (unsigned k = 0; k < 3; k++)
            ask_custodian(a, &set3[k]);
        ask_refused(a, "required");
    }
}

static void ten_custodians_and_no_more(void **state)
{
    struct bytes none = {0};
    struct ask *a = ask_new(10);
    static uint8_t der[11][2048];
    (void)state;
    for (unsigned i = 0; i < 11; i++) {
        EVP_PKEY *k = EVP_RSA_gen(2048);
        size_t n = self_signed(k, i + 1, der[i], sizeof der[i]);
        EVP_PKEY_free(k);
        if (i == 10)
            assert_int_equal(ask_run(a), HSM_OK);
        a->out.n = 0;
        ask_cert(a, bytes_of(der[i], n), none, none);
    }
    ask_refused(a, "3 to 10");
}

static void numbers_of_the_request_must_match(void **state)
{
    static const uint8_t e[] = {1, 0, 1};
    static const uint8_t e_padded[] = {0, 0, 1, 0, 1};
    static const uint8_t e_wrong[] = {3};
    uint8_t n[256];
    BIGNUM *b = NULL;
    (void)state;
    assert_int_equal(EVP_PKEY_get_bn_param(set3[2].key, "n", &b), 1);
    assert_int_equal(BN_bn2binpad(b, n, 256), 256);
    BN_free(b);
    const struct {
        struct bytes n, e;
        bool ok;
    } rows[] = {
        {bytes_of(n, 256), bytes_of(e, 3), true},
        {bytes_of(n, 256), bytes_of(NULL, 0), true},
        {bytes_of(n, 256), bytes_of(e_padded, 5), true},
        {bytes_of(n, 255), bytes_of(e, 3), false},
        {bytes_of(n, 256), bytes_of(e_wrong, 1), false},
        {bytes_of(e, 3), bytes_of(e, 3), false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ask *a = ask_new(2);
        ask_custodian(a, &set3[0]);
        ask_custodian(a, &set3[1]);
        ask_cert(a, bytes_of(set3[2].der, set3[2].der_n), rows[i].n, rows[i].e);
        if (rows[i].ok)
            assert_int_equal(ask_run(a), HSM_OK);
        else
            ask_refused(a, "n and e");
    }
}

static void custodians_must_differ(void **state)
{
    struct bytes none = {0};
    uint8_t der[4096];
    struct ask *a = ask_new(2);
    (void)state;
    ask_custodian(a, &set3[0]);
    ask_custodian(a, &set3[1]);
    ask_custodian(a, &set3[0]);
    ask_refused(a, "different");
    /* Another certificate for the same key is the same custodian. */
    a = ask_new(2);
    ask_custodian(a, &set3[0]);
    ask_custodian(a, &set3[1]);
    size_t n = self_signed(set3[0].key, 99, der, sizeof der);
    ask_cert(a, bytes_of(der, n), none, none);
    ask_refused(a, "different");
}

static void certificates_that_do_not_do(void **state)
{
    struct sd_cert c = {0};
    const char *why = NULL;
    uint8_t der[4096];
    (void)state;
    assert_int_equal(sd_cert_parse(bytes_of(NULL, 0), &c, &why), HSM_E_BAD_PARAMETER);
    assert_int_equal(sd_cert_parse(bytes_str("hello"), &c, &why), HSM_E_BAD_PARAMETER);
    size_t n = set3[0].der_n;
    memcpy(der, set3[0].der, n);
    der[n] = 0;
    assert_int_equal(sd_cert_parse(bytes_of(der, n), &c, &why), HSM_OK);
    sd_cert_done(&c);
    assert_int_equal(sd_cert_parse(bytes_of(der, n + 1), &c, &why), HSM_E_BAD_PARAMETER);
    assert_int_equal(sd_cert_parse(bytes_of(der, n - 1), &c, &why), HSM_E_BAD_PARAMETER);
    assert_int_equal(sd_cert_parse(bytes_of(roots.owner_cert, roots.owner_cert_n), &c, &why),
                     HSM_E_BAD_PARAMETER);
    assert_non_null(strstr(why, "RSA"));
    static const unsigned bits[] = {1024, 2040, 4104};
    for (unsigned i = 0; i < 3; i++) {
        EVP_PKEY *k = EVP_RSA_gen(bits[i]);
        n = self_signed(k, 1, der, sizeof der);
        assert_int_equal(sd_cert_parse(bytes_of(der, n), &c, &why), HSM_E_BAD_PARAMETER);
        assert_non_null(strstr(why, "2048"));
        EVP_PKEY_free(k);
    }
    assert_null(c.key);
}

static void short_buffers(void **state)
{
    struct ask *a = ask_new(2);
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        ask_custodian(a, &set3[i]);
    struct wire_sd_download req = {.required = 2, .certificates = wr_view(&a->w)};
    assert_int_equal(ask_run(a), HSM_OK);
    size_t whole = a->out.n;
    for (size_t cap = 0; cap < whole;
         cap += cap + 611 < whole || cap + 1 == whole ? 611 : whole - 1 - cap) {
        struct wr out = wr_of(a->file, cap);
        assert_int_equal(sd_download(&req, &roots, "my-pool", NOW, &out, a->thumbprints,
                                     sizeof a->thumbprints, &a->why),
                         HSM_E_RANGE);
    }
    a->out = wr_of(a->file, whole);
    assert_int_equal(
        sd_download(&req, &roots, "my-pool", NOW, &a->out, a->thumbprints, 100, &a->why),
        HSM_E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_quorum),
        cmocka_unit_test(ten_custodians_and_no_more),
        cmocka_unit_test(numbers_of_the_request_must_match),
        cmocka_unit_test(custodians_must_differ),
        cmocka_unit_test(certificates_that_do_not_do),
        cmocka_unit_test(short_buffers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
