/* The people around the rig of boundary_testing.h: who administers the pool, who is its issuer, and
 * RSA keys, which take their time and are made once in a test program. */
#ifndef BOUNDARY_RIG_KEYS_TESTING_H
#define BOUNDARY_RIG_KEYS_TESTING_H

#include "boundary/auth_testing.h"

#define RIG_ADMIN OID

/* The issuer. */
static inline EVP_PKEY *rig_token_key(void)
{
    static EVP_PKEY *kept;
    if (kept == NULL)
        kept = make_rsa();
    assert_int_equal(EVP_PKEY_up_ref(kept), 1);
    return kept;
}

/* Certificate of a custodian. */
static inline struct bytes rig_custodian(unsigned i)
{
    static uint8_t kept[3][2048];
    static size_t kept_n[3];
    if (kept_n[i] == 0) {
        EVP_PKEY *k = make_rsa();
        X509 *x = make_cert(k, "custodian", NULL, NULL, NULL, 86400);
        unsigned char *der = NULL;
        int n = i2d_X509(x, &der);
        assert_in_range(n, 1, sizeof kept[i]);
        memcpy(kept[i], der, (size_t)n);
        kept_n[i] = (size_t)n;
        OPENSSL_free(der);
        X509_free(x);
        EVP_PKEY_free(k);
    }
    return bytes_of(kept[i], kept_n[i]);
}

/* A pool of that issuer alone. */
static inline void rig_pool_json(char *dst, size_t cap, X509 *issuer)
{
    char *pem = pem_of(issuer);
    char text[4096];
    size_t n = 0;
    for (const char *p = pem; *p != 0; p++) {
        if (*p == '\n')
            text[n++] = '\\';
        text[n++] = *p == '\n' ? 'n' : *p;
    }
    text[n] = 0;
    free(pem);
    snprintf(dst, cap,
             "{\"name\":\"dev\",\"tenant\":\"" TENANT "\",\"administrators\":[\"" RIG_ADMIN
             "\"],\"retentionDays\":7,\"auth\":{\"audienceHosts\":[\"managedhsm.localhost\"],"
             "\"issuers\":[{\"issuer\":\"" ISSUER "\",\"host\":\"localhost\",\"port\":8443,"
             "\"path\":\"/keys\",\"roots\":\"%s\"}]}}",
             text);
}

#endif
