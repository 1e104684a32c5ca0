/* Private parts come out of our own seal; a damaged one must still not be more than an error. What
 * opens is used once, so that libcrypto sees the numbers too. */
#include "boundary/keymat_impl.h"

static void use(struct keymat *k)
{
    static uint8_t buf[2048];
    static const uint8_t digest[64];
    struct wire_crypto_result res;
    const char *why = NULL;
    unsigned alg = k->kty == KTY_RSA    ? ALG_PS256
                   : k->kty == KTY_OCT  ? ALG_HS256
                   : k->crv == CRV_P256 ? ALG_ES256
                   : k->crv == CRV_P384 ? ALG_ES384
                   : k->crv == CRV_P521 ? ALG_ES512
                                        : ALG_ES256K;
    size_t n = alg == ALG_ES384 ? 48 : alg == ALG_ES512 ? 64 : 32;
    struct wire_crypto in = {.alg = (uint8_t)alg, .value = bytes_of(digest, n)};
    hsm_err err = keymat_crypto(k, KEY_OP_SIGN, &in, buf, sizeof buf, &res, &why);
    HSM_ASSERT(err != HSM_E_BAD_PARAMETER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct keymat *k = NULL;
    hsm_err err = keymat_open(bytes_of(data, size), &k);
    HSM_ASSERT((err == HSM_OK) == (k != NULL));
    if (k != NULL)
        use(k);
    keymat_unref(k);
    return 0;
}
