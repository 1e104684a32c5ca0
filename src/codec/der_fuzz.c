/* ECDSA signatures: what is accepted as DER has one spelling. Certificates: reading one and taking
 * its public key does not crash, and the key can be written and read again. */
#include "codec/jws.h"

#include <openssl/err.h>
#include <openssl/x509.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_signature(struct bytes in, size_t width)
{
    uint8_t raw[2 * 66];
    uint8_t der[160];
    size_t n;
    if (ecdsa_der_to_raw(in, width, raw) == HSM_OK) {
        HSM_ASSERT(ecdsa_raw_to_der(bytes_of(raw, 2 * width), width, der, sizeof der, &n) ==
                   HSM_OK);
        HSM_ASSERT(bytes_eq(bytes_of(der, n), in));
    }
    if (in.n >= 2 * width &&
        ecdsa_raw_to_der(bytes_of(in.p, 2 * width), width, der, sizeof der, &n) == HSM_OK) {
        HSM_ASSERT(ecdsa_der_to_raw(bytes_of(der, n), width, raw) == HSM_OK);
        HSM_ASSERT(memcmp(raw, in.p, 2 * width) == 0);
    }
}

static void fuzz_certificate(struct bytes in)
{
    const uint8_t *p = in.p;
    X509 *cert = d2i_X509(NULL, &p, (long)in.n);
    EVP_PKEY *key = cert == NULL ? NULL : X509_get_pubkey(cert);
    uint8_t *der = NULL;
    int n = key == NULL ? 0 : i2d_PUBKEY(key, &der);
    if (n > 0) {
        const uint8_t *q = der;
        EVP_PKEY *again = d2i_PUBKEY(NULL, &q, n);
        HSM_ASSERT(again != NULL && EVP_PKEY_eq(key, again) == 1);
        EVP_PKEY_free(again);
    }
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    X509_free(cert);
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    if (size == 0 || size > 8192)
        return 0;
    fuzz_signature(in, 32);
    fuzz_signature(in, 48);
    fuzz_signature(in, 66);
    fuzz_certificate(in);
    return 0;
}
