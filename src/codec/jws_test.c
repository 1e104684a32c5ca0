#include "codec/jws.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include "base/mutate.h"
#include "codec/base64url.h"
#include "codec/json.h"

/* RFC 7515 appendix A.3 */
#define A3_INPUT                                                                                   \
    "eyJhbGciOiJFUzI1NiJ9."                                                                        \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNv"                     \
    "bS9pc19yb290Ijp0cnVlfQ"
#define A3_SIG                                                                                     \
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define A3_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define A3_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"

static uint8_t buf[JWS_TEXT_MAX];
static EVP_PKEY *rsa2048;
static EVP_PKEY *rsa1024;
static EVP_PKEY *p256;
static EVP_PKEY *p384;

static EVP_PKEY *a3_key(void)
{
    uint8_t x[40];
    uint8_t y[40];
    size_t xn;
    size_t yn;
    assert_int_equal(b64u_decode(x, bytes_str(A3_X), &xn), HSM_OK);
    assert_int_equal(b64u_decode(y, bytes_str(A3_Y), &yn), HSM_OK);
    EVP_PKEY *key = jwk_ec_public("P-256", bytes_of(x, xn), bytes_of(y, yn));
    assert_non_null(key);
    return key;
}

/* header.payload (.signature) from plain texts */
static size_t put_b64(char *dst, size_t at, struct bytes b)
{
    return at + b64u_encode(dst + at, b.p, b.n);
}
static struct bytes token(char *dst, const char *header, const char *payload, struct bytes sig)
{
    size_t n = put_b64(dst, 0, bytes_str(header));
    dst[n++] = '.';
    n = put_b64(dst, n, bytes_str(payload));
    dst[n++] = '.';
    n = put_b64(dst, n, sig);
    return bytes_of(dst, n);
}

static void malformed_texts(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        A3_INPUT,
        A3_INPUT ".",
        A3_INPUT "." A3_SIG ".",
        A3_INPUT "." A3_SIG "." A3_SIG,
        "." A3_SIG "." A3_SIG,
        A3_INPUT "=." A3_SIG,
        A3_INPUT "." A3_SIG "==",
        " " A3_INPUT "." A3_SIG,
        A3_INPUT "." A3_SIG "\n",
        "eyJhbGciOiJFUzI1NiJ9..AAAA",
    };
    struct jws j;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(jws_parse(bytes_str(bad[i]), buf, sizeof buf, &j), HSM_E_TOKEN_MALFORMED);
    static char huge[JWS_TEXT_MAX + 1];
    memset(huge, 'A', sizeof huge);
    assert_int_equal(jws_parse(bytes_of(huge, sizeof huge), buf, sizeof buf, &j),
                     HSM_E_TOKEN_MALFORMED);
    assert_int_equal(jws_parse(bytes_str(A3_INPUT "." A3_SIG), buf, 50, &j), HSM_E_TOKEN_MALFORMED);
}

static void refused_headers(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}",
        "[]",
        "\"RS256\"",
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\"}",
        "{\"alg\":\"HS256\"}",
        "{\"alg\":\"RS384\"}",
        "{\"alg\":\"rs256\"}",
        "{\"alg\":\"\"}",
        "{\"alg\":null}",
        "{\"alg\":256}",
        "{\"alg\":[\"RS256\"]}",
        "{\"alg\":\"RS256\",\"alg\":\"none\"}",
        "{\"alg\":\"RS256\",\"\\u0061lg\":\"none\"}",
        "{\"alg\":\"RS256\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"RS256\",\"crit\":null}",
        "{\"alg\":\"RS256\",\"kid\":7}",
        "{\"alg\":\"RS256\",\"kid\":\"a\\u0000b\"}",
        "{\"alg\":\"RS256\",\"kid\":\"a\",\"kid\":\"b\"}",
        "{\"alg\":\"RS256\"} x",
        "{\"alg\":\"RS256\"",
    };
    char text[1024];
    struct jws j;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (jws_parse(token(text, bad[i], "{}", bytes_str("sig")), buf, sizeof buf, &j) !=
            HSM_E_TOKEN_MALFORMED)
            fail_msg("accepted: %s", bad[i]);
    char header[256];
    (void)snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"kid\":\"%0*d\"}", JWS_KID_MAX + 1,
                   0);
    assert_int_equal(jws_parse(token(text, header, "{}", bytes_str("s")), buf, sizeof buf, &j),
                     HSM_E_TOKEN_MALFORMED);
    (void)snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"kid\":\"%0*d\"}", JWS_KID_MAX, 0);
    assert_int_equal(jws_parse(token(text, header, "{}", bytes_str("s")), buf, sizeof buf, &j),
                     HSM_OK);
    assert_int_equal(strlen(j.kid), JWS_KID_MAX);
}

static void rfc7515_a3(void **state)
{
    (void)state;
    struct jws j;
    EVP_PKEY *key = a3_key();
    struct bytes text = bytes_str(A3_INPUT "." A3_SIG);
    assert_int_equal(jws_parse(text, buf, text.n, &j), HSM_OK);
    assert_int_equal(j.alg, JWS_ES256);
    assert_string_equal(j.kid, "");
    assert_true(bytes_eq_str(j.signed_part, A3_INPUT));
    assert_int_equal(j.signature.n, 64);
    assert_int_equal(jws_verify(&j, key), HSM_OK);
    assert_int_equal(jws_verify(&j, p256), HSM_E_TOKEN_SIGNATURE);
    assert_int_equal(jws_verify(&j, p384), HSM_E_TOKEN_SIGNATURE);
    assert_int_equal(jws_verify(&j, rsa2048), HSM_E_TOKEN_SIGNATURE);
    struct jws other = j;
    other.alg = JWS_RS256;
    assert_int_equal(jws_verify(&other, key), HSM_E_TOKEN_SIGNATURE);
    other.alg = JWS_NONE;
    assert_int_equal(jws_verify(&other, key), HSM_E_TOKEN_SIGNATURE);
    EVP_PKEY_free(key);
}

/* No changed token verifies. */
static void one_mutant(struct bytes text, void *arg)
{
    struct jws j;
    if (jws_parse(text, buf, text.n, &j) == HSM_OK)
        assert_int_equal(jws_verify(&j, (EVP_PKEY *)arg), HSM_E_TOKEN_SIGNATURE);
}

static void mutants(void **state)
{
    (void)state;
    EVP_PKEY *key = a3_key();
    mutate_each(bytes_str(A3_INPUT "." A3_SIG), one_mutant, key);
    EVP_PKEY_free(key);
}

static size_t sign_rsa(EVP_PKEY *key, int padding, int salt, const char *text, uint8_t *sig,
                       size_t cap)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    size_t n = cap;
    assert_int_equal(EVP_DigestSignInit(ctx, &pctx, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, padding), 1);
    if (padding == RSA_PKCS1_PSS_PADDING)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &n, (const uint8_t *)text, strlen(text)), 1);
    EVP_MD_CTX_free(ctx);
    return n;
}

static void rsa_signatures(void **state)
{
    (void)state;
    static const char text[] = "header.payload";
    uint8_t sig[512];
    struct jws j = {.signed_part = bytes_str(text)};
    static const struct {
        enum jws_alg claimed;
        int padding, salt;
        bool small;
        hsm_err want;
    } rows[] = {
        {JWS_RS256, RSA_PKCS1_PADDING, 0, true, HSM_E_TOKEN_SIGNATURE}, /* 1024 bits */
        {JWS_PS256, RSA_PKCS1_PADDING, 0, false, HSM_E_TOKEN_SIGNATURE},
        {JWS_RS256, RSA_PKCS1_PSS_PADDING, 32, false, HSM_E_TOKEN_SIGNATURE},
        {JWS_PS256, RSA_PKCS1_PSS_PADDING, 20, false, HSM_E_TOKEN_SIGNATURE},
        {JWS_PS256, RSA_PKCS1_PSS_PADDING, 0, false, HSM_E_TOKEN_SIGNATURE},
        {JWS_ES256, RSA_PKCS1_PADDING, 0, false, HSM_E_TOKEN_SIGNATURE},
        {JWS_RS256, RSA_PKCS1_PADDING, 0, false, HSM_OK},
        {JWS_PS256, RSA_PKCS1_PSS_PADDING, 32, false, HSM_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        EVP_PKEY *key = rows[i].small ? rsa1024 : rsa2048;
        size_t n = sign_rsa(key, rows[i].padding, rows[i].salt, text, sig, sizeof sig);
        j.alg = rows[i].claimed;
        j.signature = bytes_of(sig, n);
        assert_int_equal(jws_verify(&j, key), rows[i].want);
        j.signature.n--;
        assert_int_equal(jws_verify(&j, key), HSM_E_TOKEN_SIGNATURE);
        sig[n / 2] ^= 1;
        j.signature.n++;
        assert_int_equal(jws_verify(&j, key), HSM_E_TOKEN_SIGNATURE);
    }
}

static void put_bn(struct json_wr *j, const char *name, EVP_PKEY *key, const char *param)
{
    BIGNUM *n = NULL;
    uint8_t b[512];
    assert_int_equal(EVP_PKEY_get_bn_param(key, param, &n), 1);
    json_name(j, name);
    json_put_b64u(j, bytes_of(b, (size_t)BN_bn2bin(n, b)));
    BN_free(n);
}

static void put_rsa_jwk(struct json_wr *j, EVP_PKEY *key, const char *kid, const char *extra)
{
    json_obj_open(j);
    json_name(j, "kty");
    json_put_str(j, "RSA");
    json_name(j, "kid");
    json_put_str(j, kid);
    put_bn(j, "n", key, OSSL_PKEY_PARAM_RSA_N);
    put_bn(j, "e", key, OSSL_PKEY_PARAM_RSA_E);
    if (extra != NULL)
        wr_str(j->w, extra);
    json_obj_close(j);
}

static void damaged_sets(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"keys\":{}}",
        "{\"keys\":[1]}",
        "{\"keys\":[null]}",
        "{\"keys\":[],\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"RSA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"x5c\":[]}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"x5c\":[\"AAAA\"]}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQ\",\"y\":\"AQ\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\",\"y\":\"" A3_X "\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":1,\"x\":\"" A3_X "\",\"y\":\"" A3_Y
        "\"}]}",
    };
    struct jwks s;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (jwks_parse(bytes_str(bad[i]), &s) == HSM_OK)
            fail_msg("accepted: %s", bad[i]);
    static char text[JWKS_TEXT_MAX];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    json_name(&j, "keys");
    json_arr_open(&j);
    put_rsa_jwk(&j, rsa1024, "small", NULL);
    json_arr_close(&j);
    json_obj_close(&j);
    assert_int_equal(jwks_parse(wr_view(&w), &s), HSM_E_MALFORMED);
}

static void key_sets(void **state)
{
    (void)state;
    static char text[JWKS_TEXT_MAX];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    json_name(&j, "keys");
    json_arr_open(&j);
    json_put_raw(&j,
                 bytes_str("{\"kty\":\"oct\",\"k\":\"AA\"},{\"kty\":\"EC\",\"crv\":\"P-384\"},{}"));
    put_rsa_jwk(&j, rsa2048, "enc", ",\"use\":\"enc\"");
    put_rsa_jwk(&j, rsa2048, "ops", ",\"key_ops\":[\"encrypt\"]");
    put_rsa_jwk(&j, rsa2048, "alg", ",\"alg\":\"RSA-OAEP\"");
    put_rsa_jwk(&j, rsa2048, "any",
                ",\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"],\"x5t\":\"x\"");
    put_rsa_jwk(&j, rsa2048, "ps", ",\"alg\":\"PS256\"");
    json_put_raw(&j, bytes_str("{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"ec\",\"x\":\"" A3_X
                               "\",\"y\":\"" A3_Y "\"}"));
    json_arr_close(&j);
    json_obj_close(&j);
    assert_int_equal(wr_ok(&w), HSM_OK);
    struct jwks s;
    assert_int_equal(jwks_parse(wr_view(&w), &s), HSM_OK);
    assert_int_equal(s.n, 3);
    assert_null(jwks_find(&s, "enc"));
    assert_null(jwks_find(&s, ""));
    assert_int_equal(jwks_find(&s, "any")->only_alg, JWS_NONE);
    assert_int_equal(jwks_find(&s, "ps")->only_alg, JWS_PS256);
    assert_int_equal(EVP_PKEY_eq(jwks_find(&s, "any")->key, rsa2048), 1);
    struct jws t;
    struct bytes a3 = bytes_str(A3_INPUT "." A3_SIG);
    assert_int_equal(jws_parse(a3, buf, a3.n, &t), HSM_OK);
    assert_int_equal(jws_verify(&t, jwks_find(&s, "ec")->key), HSM_OK);
    jwks_done(&s);
    assert_int_equal(s.n, 0);
}

static void too_many_keys(void **state)
{
    (void)state;
    static char text[JWKS_TEXT_MAX];
    struct wr w = wr_of(text, sizeof text);
    wr_str(&w, "{\"keys\":[");
    for (int i = 0; i <= JWKS_KEYS_MAX; i++) {
        wr_str(&w, i == 0 ? "" : ",");
        wr_str(&w, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\",\"y\":\"" A3_Y "\"}");
    }
    wr_str(&w, "]}");
    struct jwks s;
    assert_int_equal(jwks_parse(wr_view(&w), &s), HSM_E_RANGE);
}

/* A self-signed certificate as the only form of the key. */
static void certificate_only(void **state)
{
    (void)state;
    static char text[JWKS_TEXT_MAX];
    uint8_t *der = NULL;
    X509 *x = X509_new();
    (void)X509_gmtime_adj(X509_getm_notBefore(x), 0);
    (void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    assert_int_equal(X509_set_pubkey(x, rsa2048), 1);
    assert_true(X509_sign(x, rsa2048, EVP_sha256()) > 0);
    int n = i2d_X509(x, &der);
    assert_true(n > 0);
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    wr_str(&w, "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"c\",\"x5c\":[");
    json_put_b64(&j, bytes_of(der, (size_t)n));
    wr_str(&w, "]}]}");
    struct jwks s;
    assert_int_equal(jwks_parse(wr_view(&w), &s), HSM_OK);
    assert_int_equal(EVP_PKEY_eq(jwks_find(&s, "c")->key, rsa2048), 1);
    jwks_done(&s);
    OPENSSL_free(der);
    X509_free(x);
}

static void refused_numbers(void **state)
{
    (void)state;
    static uint8_t n[2050];
    const uint8_t e3[] = {3};
    memset(n, 0xff, sizeof n);
    assert_null(jwk_rsa_public(bytes_of(n, 0), bytes_of(e3, 1)));
    assert_null(jwk_rsa_public(bytes_of(n, 256), bytes_of(e3, 0)));
    assert_null(jwk_rsa_public(bytes_of(n, 255), bytes_of(e3, 1)));
    assert_null(jwk_rsa_public(bytes_of(n, 2049), bytes_of(e3, 1)));
    assert_null(jwk_rsa_public(bytes_of(n, 2050), bytes_of(e3, 1)));
    assert_null(jwk_rsa_public(bytes_of(n, 256), bytes_of("\x01", 1)));
    assert_null(jwk_rsa_public(bytes_of(n, 256), bytes_of("\x02", 1)));
    assert_null(jwk_rsa_public(bytes_of(n, 256), bytes_of("\x00", 1)));
    assert_null(jwk_rsa_public(bytes_of(n, 256), bytes_of(n, 256)));
    n[255] = 0xfe;
    assert_null(jwk_rsa_public(bytes_of(n, 256), bytes_of(e3, 1)));
    n[255] = 0xff;
    EVP_PKEY *key = jwk_rsa_public(bytes_of(n, 2048), bytes_of("\x00\x01\x00\x01", 4));
    assert_non_null(key);
    EVP_PKEY_free(key);
    assert_null(jwk_ec_public("P-224", bytes_of(n, 28), bytes_of(n, 28)));
    assert_null(jwk_ec_public("P-256", bytes_of(n, 32), bytes_of(n, 32)));
    assert_null(jwk_ec_public("P-256", bytes_of(n, 33), bytes_of(n, 32)));
    assert_null(jwk_ec_public("P-256", bytes_of(n, 0), bytes_of(n, 32)));
}

static void der_refused(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
    } bad[] = {
        {"", 0},
        {"\x30\x06\x02\x01\x01\x02\x01", 7},
        {"\x30\x06\x02\x01\x01\x02\x01\x01\x00", 9},      /* leftover */
        {"\x30\x06\x02\x01\x00\x02\x01\x01", 8},          /* r = 0 */
        {"\x30\x06\x02\x01\x01\x02\x01\xff", 8},          /* s < 0 */
        {"\x30\x07\x02\x02\x00\x01\x02\x01\x01", 9},      /* r not minimal */
        {"\x30\x81\x06\x02\x01\x01\x02\x01\x01", 9},      /* long form length */
        {"\x30\x80\x02\x01\x01\x02\x01\x01\x00\x00", 10}, /* indefinite length */
    };
    uint8_t raw[64];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(ecdsa_der_to_raw(bytes_of(bad[i].p, bad[i].n), 32, raw), HSM_E_MALFORMED);
    struct bytes good = bytes_of("\x30\x08\x02\x01\x7f\x02\x03\x00\x80\x01", 10);
    assert_int_equal(ecdsa_der_to_raw(good, 1, raw), HSM_E_MALFORMED); /* s has two bytes */
    assert_int_equal(ecdsa_der_to_raw(good, 0, raw), HSM_E_MALFORMED);
    assert_int_equal(ecdsa_der_to_raw(good, 67, raw), HSM_E_MALFORMED);
    assert_int_equal(ecdsa_der_to_raw(good, 32, raw), HSM_OK);
    assert_int_equal(raw[31], 0x7f);
    assert_int_equal(raw[62], 0x80);
    uint8_t der[80];
    size_t n;
    assert_int_equal(ecdsa_raw_to_der(bytes_of(raw, 63), 32, der, sizeof der, &n), HSM_E_MALFORMED);
    assert_int_equal(ecdsa_raw_to_der(bytes_of(raw, 64), 32, der, 9, &n), HSM_E_RANGE);
    assert_int_equal(ecdsa_raw_to_der(bytes_of(raw, 64), 32, der, sizeof der, &n), HSM_OK);
    assert_true(bytes_eq(bytes_of(der, n), good));
    memset(raw, 0, 32);
    assert_int_equal(ecdsa_raw_to_der(bytes_of(raw, 64), 32, der, sizeof der, &n), HSM_E_MALFORMED);
}

static int setup(void **state)
{
    (void)state;
    rsa2048 = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    rsa1024 = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    p256 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    p384 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
    return rsa2048 != NULL && rsa1024 != NULL && p256 != NULL && p384 != NULL ? 0 : -1;
}
static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa2048);
    EVP_PKEY_free(rsa1024);
    EVP_PKEY_free(p256);
    EVP_PKEY_free(p384);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_texts),  cmocka_unit_test(refused_headers),
        cmocka_unit_test(rfc7515_a3),       cmocka_unit_test(mutants),
        cmocka_unit_test(rsa_signatures),   cmocka_unit_test(damaged_sets),
        cmocka_unit_test(key_sets),         cmocka_unit_test(too_many_keys),
        cmocka_unit_test(certificate_only), cmocka_unit_test(refused_numbers),
        cmocka_unit_test(der_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
