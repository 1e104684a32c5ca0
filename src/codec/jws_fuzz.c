/* First byte even: a token; odd: a key set. No token verifies under a key made up here, and every
 * key of an accepted set is one that the verifier may be given. */
#include "codec/jws.h"

#include <openssl/bn.h>
#include "codec/base64url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EVP_PKEY *ec_key(void)
{
    static EVP_PKEY *key;
    if (key == NULL)
        key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    HSM_ASSERT(key != NULL);
    return key;
}

static void fuzz_token(struct bytes text)
{
    static uint8_t buf[JWS_TEXT_MAX];
    struct jws j;
    if (jws_parse(text, buf, text.n, &j) != HSM_OK)
        return;
    HSM_ASSERT(j.alg != JWS_NONE && strlen(j.kid) <= JWS_KID_MAX);
    HSM_ASSERT(j.signed_part.p == text.p && j.signed_part.n < text.n);
    HSM_ASSERT(j.payload.n + j.signature.n < text.n && j.signature.n > 0);
    /* the signature part is spelled the only way it can be */
    char sig[JWS_TEXT_MAX * 2];
    size_t n = b64u_encode(sig, j.signature.p, j.signature.n);
    HSM_ASSERT(n == text.n - j.signed_part.n - 1);
    HSM_ASSERT(memcmp(sig, text.p + j.signed_part.n + 1, n) == 0);
    HSM_ASSERT(jws_verify(&j, ec_key()) == HSM_E_TOKEN_SIGNATURE);
}

static void fuzz_set(struct bytes text)
{
    struct jwks s;
    if (jwks_parse(text, &s) != HSM_OK)
        return;
    HSM_ASSERT(s.n <= JWKS_KEYS_MAX);
    for (size_t i = 0; i < s.n; i++) {
        EVP_PKEY *key = s.key[i].key;
        HSM_ASSERT(strlen(s.key[i].kid) <= JWS_KID_MAX && jwks_find(&s, s.key[i].kid) != NULL);
        HSM_ASSERT(EVP_PKEY_is_a(key, "EC") ||
                   (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= 2048));
    }
    jwks_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 2 == 0)
        fuzz_token(bytes_of(data + 1, size - 1));
    else
        fuzz_set(bytes_of(data + 1, size - 1));
    return 0;
}
