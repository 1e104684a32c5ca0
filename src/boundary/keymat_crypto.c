#include "boundary/keymat_impl.h"

hsm_err keymat_crypto(struct keymat *k, uint32_t op, const struct wire_crypto *in, uint8_t *buf,
                      size_t cap, struct wire_crypto_result *out, const char **why)
{
    if (in->value.n > cap || cap - in->value.n < 1024)
        return HSM_E_INTERNAL;
    struct crypto_run r = {.k = k, .op = op, .in = in, .w = wr_of(buf, cap)};
    r.res.alg = in->alg;
    /* The dispatcher has asked already; a wrong pair must not reach libcrypto in any case. */
    hsm_err err = crypto_alg_fits(in->alg, op, k->kty, k->crv, k->bits, &r.why);
    if (err == HSM_OK)
        err = k->kty == KTY_OCT ? keymat_run_symmetric(&r) : keymat_run_asymmetric(&r);
    if (err == HSM_OK) {
        *out = r.res;
        return HSM_OK;
    }
    secret_wipe(buf, cap);
    if (err == HSM_E_BAD_PARAMETER)
        *why = r.why;
    return err;
}
