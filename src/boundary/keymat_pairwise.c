#include <openssl/rand.h>
#include "boundary/keymat_impl.h"

hsm_err keymat_pairwise(struct bytes private_part, const struct keymat_spec *spec)
{
    static const struct {
        uint8_t alg, digest;
    } ec[] = {[CRV_NONE] = {0, 0},
              [CRV_P256] = {ALG_ES256, 32},
              [CRV_P256K] = {ALG_ES256K, 32},
              [CRV_P384] = {ALG_ES384, 48},
              [CRV_P521] = {ALG_ES512, 64}};
    uint8_t digest[64];
    uint8_t signature[2048];
    uint8_t unused[2048];
    const char *why = "";
    struct wire_crypto_result r = {0};
    struct keymat *k = NULL;
    if (RAND_bytes(digest, sizeof digest) != 1)
        return keymat_failed(HSM_E_INTERNAL);
    TRY(keymat_open(private_part, &k));
    bool rsa = spec->kty == KTY_RSA;
    struct wire_crypto in = {.alg = rsa ? ALG_RS256 : ec[spec->crv].alg,
                             .value = bytes_of(digest, rsa ? 32 : ec[spec->crv].digest)};
    hsm_err err = keymat_crypto(k, KEY_OP_SIGN, &in, signature, sizeof signature, &r, &why);
    if (err == HSM_OK) {
        in.digest = in.value;
        in.value = r.value;
        err = keymat_crypto(k, KEY_OP_VERIFY, &in, unused, sizeof unused, &r, &why);
    }
    keymat_unref(k);
    return err != HSM_OK || r.verified == 1 ? err : HSM_E_INTERNAL;
}
