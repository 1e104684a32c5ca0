/* An RSA key out of what is stored of it: n, e and the primes. The exponents and the coefficient of
 * the CRT (RFC 8017 3.2) are computed each time that the key is opened; that takes a quarter of a
 * millisecond at 4096 bits. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include "boundary/keymat_impl.h"

struct rsa {
    BN_CTX *ctx;
    BIGNUM *n, *e, *p, *q;
    BIGNUM *p1, *q1, *t; /* p - 1, q - 1, work */
    BIGNUM *d, *dp, *dq, *qi;
};

static void rsa_done(struct rsa *r)
{
    if (r->ctx != NULL)
        BN_CTX_end(r->ctx);
    BN_CTX_free(r->ctx);
}

/* Its arithmetic does not branch on the number. */
static BIGNUM *fresh(struct rsa *r)
{
    BIGNUM *n = BN_CTX_get(r->ctx);
    if (n != NULL)
        BN_set_flags(n, BN_FLG_CONSTTIME);
    return n;
}

static BIGNUM *take(struct rsa *r, struct bytes b)
{
    BIGNUM *n = fresh(r);
    return n == NULL ? NULL : BN_bin2bn(b.p, (int)b.n, n);
}

static hsm_err rsa_new(const struct keymat_parts *p, struct rsa *r)
{
    r->ctx = BN_CTX_secure_new();
    if (r->ctx == NULL)
        return HSM_E_NOMEM;
    BN_CTX_start(r->ctx);
    r->n = take(r, p->rsa[RSA_N]);
    r->e = take(r, p->rsa[RSA_E]);
    r->p = take(r, p->rsa[RSA_P]);
    r->q = take(r, p->rsa[RSA_Q]);
    r->p1 = fresh(r);
    r->q1 = fresh(r);
    r->t = fresh(r);
    r->d = fresh(r);
    r->dp = fresh(r);
    r->dq = fresh(r);
    r->qi = fresh(r);
    bool failed = r->n == NULL || r->e == NULL || r->p == NULL || r->q == NULL || r->qi == NULL;
    return failed ? keymat_failed(HSM_E_NOMEM) : HSM_OK;
}

/* A wrong prime would make the CRT leak the other one with the first signature. */
static hsm_err check_factors(struct rsa *r)
{
    if (BN_is_zero(r->p) || BN_is_zero(r->q))
        return HSM_E_CORRUPT;
    if (BN_mul(r->t, r->p, r->q, r->ctx) != 1)
        return keymat_failed(HSM_E_INTERNAL);
    return BN_cmp(r->t, r->n) == 0 ? HSM_OK : HSM_E_CORRUPT;
}

static hsm_err compute(struct rsa *r)
{
    /* No inverse: these are not the numbers of a key. */
    bool good =
        BN_sub(r->p1, r->p, BN_value_one()) == 1 && BN_sub(r->q1, r->q, BN_value_one()) == 1 &&
        BN_mul(r->t, r->p1, r->q1, r->ctx) == 1 &&
        BN_mod_inverse(r->d, r->e, r->t, r->ctx) != NULL &&
        BN_mod(r->dp, r->d, r->p1, r->ctx) == 1 && BN_mod(r->dq, r->d, r->q1, r->ctx) == 1 &&
        BN_mod_inverse(r->qi, r->q, r->p, r->ctx) != NULL;
    return good ? HSM_OK : keymat_failed(HSM_E_CORRUPT);
}

static void bld_done(OSSL_PARAM_BLD **p)
{
    OSSL_PARAM_BLD_free(*p);
}

static void params_done(OSSL_PARAM **p)
{
    OSSL_PARAM_free(*p);
}

hsm_err keymat_rsa_open(const struct keymat_parts *p, EVP_PKEY **ret)
{
    DEFER(rsa_done) struct rsa r = {0};
    TRY(rsa_new(p, &r));
    TRY(check_factors(&r));
    TRY(compute(&r));
    const struct {
        const char *name;
        const BIGNUM *n;
    } numbers[] = {
        {OSSL_PKEY_PARAM_RSA_N, r.n},          {OSSL_PKEY_PARAM_RSA_E, r.e},
        {OSSL_PKEY_PARAM_RSA_D, r.d},          {OSSL_PKEY_PARAM_RSA_FACTOR1, r.p},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, r.q},    {OSSL_PKEY_PARAM_RSA_EXPONENT1, r.dp},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2, r.dq}, {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, r.qi},
    };
    DEFER(bld_done) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    bool good = bld != NULL;
    for (size_t i = 0; good && i < sizeof numbers / sizeof numbers[0]; i++)
        good = OSSL_PARAM_BLD_push_BN(bld, numbers[i].name, numbers[i].n) == 1;
    DEFER(params_done) OSSL_PARAM *params = good ? OSSL_PARAM_BLD_to_param(bld) : NULL;
    if (params == NULL)
        return keymat_failed(HSM_E_NOMEM);
    return keymat_from_params("RSA", params, ret);
}
