#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include "boundary/sd.h"
#include "codec/base64url.h"

#define BITS_MIN 2048
#define BITS_MAX 4096

static void x509_done(X509 **p)
{
    X509_free(*p);
}

static void bn_done(BIGNUM **p)
{
    BN_free(*p);
}

/* Odd exponent of at least 3 and at most 64 bits, odd modulus: what the arithmetic behind RSA-OAEP
 * relies on, and what keeps an exponent of 1 from publishing a share. */
static bool numbers_fit(const EVP_PKEY *key)
{
    DEFER(bn_done) BIGNUM *n = NULL;
    DEFER(bn_done) BIGNUM *e = NULL;
    return EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
           EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(n) &&
           BN_is_odd(e) && !BN_is_one(e) && BN_num_bits(e) <= 64;
}

static hsm_err parse(struct bytes der, struct sd_cert *c, const char **why)
{
    const uint8_t *p = der.p;
    DEFER(x509_done) X509 *cert = der.n == 0 ? NULL : d2i_X509(NULL, &p, (long)der.n);
    if (cert == NULL || p != der.p + der.n) {
        *why = "x5c must hold the base64 of one DER certificate.";
        return HSM_E_BAD_PARAMETER;
    }
    c->key = X509_get_pubkey(cert);
    if (c->key == NULL || !EVP_PKEY_is_a(c->key, "RSA")) {
        *why = "The certificates must have RSA keys.";
        return HSM_E_BAD_PARAMETER;
    }
    int bits = EVP_PKEY_get_bits(c->key);
    if (bits < BITS_MIN || bits > BITS_MAX || !numbers_fit(c->key)) {
        *why = "The RSA keys of the certificates must have 2048 to 4096 bits.";
        return HSM_E_BAD_PARAMETER;
    }
    if (EVP_Digest(der.p, der.n, c->sha256, NULL, EVP_sha256(), NULL) != 1)
        return HSM_E_INTERNAL;
    size_t n = b64u_encode(c->thumbprint, c->sha256, sizeof c->sha256);
    HSM_ASSERT(n < sizeof c->thumbprint);
    c->thumbprint[n] = '\0';
    return HSM_OK;
}

hsm_err sd_cert_parse(struct bytes der, struct sd_cert *ret, const char **why)
{
    struct sd_cert c = {0};
    hsm_err err = parse(der, &c, why);
    ERR_clear_error();
    if (err != HSM_OK) {
        sd_cert_done(&c);
        return err;
    }
    *ret = c;
    return HSM_OK;
}

void sd_cert_done(struct sd_cert *c)
{
    EVP_PKEY_free(c->key);
    *c = (struct sd_cert){0};
}
