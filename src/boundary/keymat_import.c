/* Keys that somebody else made. Nothing of them is believed: a number that does not belong to the
 * others could make the first signature give the key away. */
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/objects.h>
#include <openssl/rand.h>
#include "boundary/keymat_impl.h"

static hsm_err refuse(const char **why, const char *text)
{
    *why = text;
    return HSM_E_BAD_PARAMETER;
}

/* ---- sizes ----------------------------------------------------------------------------------- */
static uint32_t bits_of(struct bytes b)
{
    uint32_t n = (uint32_t)b.n * 8;
    for (unsigned bit = 0x80; n > 0 && bit > 0 && (b.p[0] & bit) == 0; bit >>= 1)
        n--;
    return n;
}

static hsm_err rsa_size(const struct key_numbers *g, uint32_t *ret_bits, const char **why)
{
    uint32_t bits = bits_of(g->n);
    if (g->n.p == NULL || g->e.p == NULL || g->d.p == NULL)
        return refuse(why, "JSON Web Key: n, e and d of the RSA key are required.");
    if (g->p.p == NULL || g->q.p == NULL)
        return refuse(why, "JSON Web Key: p and q of the RSA key are required.");
    if (bits != 2048 && bits != 3072 && bits != 4096)
        return refuse(why, "JSON Web Key: the RSA key must have 2048, 3072 or 4096 bits.");
    if (g->e.n == 0 || g->e.n > 8 || (g->e.p[g->e.n - 1] & 1) == 0 || bits_of(g->e) < 2)
        return refuse(why, "JSON Web Key: e must be an odd number from 3 to 2^64 - 1.");
    if (bits_of(g->p) != bits / 2 || bits_of(g->q) != bits / 2)
        return refuse(why, "JSON Web Key: p and q must have half the length of n.");
    *ret_bits = bits;
    return HSM_OK;
}

hsm_err keymat_import_size(const struct key_numbers *given, struct keymat_spec *spec,
                           const char **why)
{
    static const uint32_t curve_bits[] = {
        [CRV_NONE] = 0, [CRV_P256] = 256, [CRV_P256K] = 256, [CRV_P384] = 384, [CRV_P521] = 521};
    switch (spec->kty) {
    case KTY_RSA:
        return rsa_size(given, &spec->bits, why);
    case KTY_EC:
        if (key_curve_width(spec->crv) == 0)
            return refuse(why, "JSON Web Key: crv of the EC key is missing or unknown.");
        if (given->d.p == NULL)
            return refuse(why, "JSON Web Key: d of the EC key is required.");
        if ((given->x.p == NULL) != (given->y.p == NULL))
            return refuse(why, "JSON Web Key: x and y of the EC key belong together.");
        spec->bits = curve_bits[spec->crv];
        return HSM_OK;
    case KTY_OCT:
        if (given->k.n == 0)
            return refuse(why, "JSON Web Key: k of the oct key is missing or empty.");
        if (given->k.n > KEYMAT_OCT_MAX)
            return refuse(why,
                          "JSON Web Key: k property of oct key is too large, maximum size is 64");
        spec->bits = (uint32_t)given->k.n * 8;
        return HSM_OK;
    case KTY_NONE:
        break;
    }
    return refuse(why, "JSON Web Key: kty is missing or unknown.");
}

/* ---- numbers of one key ---------------------------------------------------------------------- */
/* All BIGNUMs of a check in one context; wiped when it ends. */
struct bench {
    BN_CTX *ctx;
};

static void bench_done(struct bench *b)
{
    if (b->ctx != NULL)
        BN_CTX_end(b->ctx);
    BN_CTX_free(b->ctx);
}

static hsm_err bench_new(struct bench *b)
{
    b->ctx = BN_CTX_secure_new();
    if (b->ctx == NULL)
        return HSM_E_NOMEM;
    BN_CTX_start(b->ctx);
    return HSM_OK;
}

/* A number of the bench; *failed is set when there is none. Arithmetic does not branch on it where
 * libcrypto can do without. */
static BIGNUM *fresh(struct bench *b, bool *failed)
{
    BIGNUM *n = BN_CTX_get(b->ctx);
    if (n == NULL)
        *failed = true;
    else
        BN_set_flags(n, BN_FLG_CONSTTIME);
    return n;
}

static BIGNUM *take(struct bench *b, struct bytes v, bool *failed)
{
    BIGNUM *n = fresh(b, failed);
    if (n != NULL && BN_bin2bn(v.n > 0 ? v.p : (const uint8_t *)"", (int)v.n, n) == NULL)
        *failed = true;
    return n;
}

static hsm_err put_number(struct wr *w, const BIGNUM *n, size_t width)
{
    wr_u32(w, (uint32_t)width);
    if (w->overflow || w->cap - w->n < width)
        return HSM_E_RANGE;
    if (BN_bn2binpad(n, w->p + w->n, (int)width) != (int)width)
        return HSM_E_INTERNAL;
    w->n += width;
    return HSM_OK;
}

/* ---- RSA ------------------------------------------------------------------------------------- */
struct rsa_numbers {
    BIGNUM *n, *e, *d, *p, *q;
    BIGNUM *dp, *dq, *qi;    /* computed */
    BIGNUM *p1, *q1, *t, *u; /* p - 1, q - 1, work */
};

static hsm_err rsa_take(struct bench *b, const struct key_numbers *g, struct rsa_numbers *r)
{
    bool failed = false;
    *r = (struct rsa_numbers){
        .n = take(b, g->n, &failed),
        .e = take(b, g->e, &failed),
        .d = take(b, g->d, &failed),
        .p = take(b, g->p, &failed),
        .q = take(b, g->q, &failed),
        .dp = fresh(b, &failed),
        .dq = fresh(b, &failed),
        .qi = fresh(b, &failed),
        .p1 = fresh(b, &failed),
        .q1 = fresh(b, &failed),
        .t = fresh(b, &failed),
        .u = fresh(b, &failed),
    };
    failed = failed || BN_sub(r->p1, r->p, BN_value_one()) != 1 ||
             BN_sub(r->q1, r->q, BN_value_one()) != 1 || BN_mod(r->dp, r->d, r->p1, b->ctx) != 1 ||
             BN_mod(r->dq, r->d, r->q1, b->ctx) != 1;
    return failed ? keymat_failed(HSM_E_INTERNAL) : HSM_OK;
}

/* e times x is 1 modulo m. */
static hsm_err is_inverse_of_e(struct bench *b, struct rsa_numbers *r, const BIGNUM *x,
                               const BIGNUM *m, bool *ret)
{
    if (BN_mod_mul(r->t, r->e, x, m, b->ctx) != 1)
        return keymat_failed(HSM_E_INTERNAL);
    *ret = BN_is_one(r->t);
    return HSM_OK;
}

static hsm_err rsa_factors(struct bench *b, struct rsa_numbers *r, const char **why)
{
    if (BN_mul(r->t, r->p, r->q, b->ctx) != 1)
        return keymat_failed(HSM_E_INTERNAL);
    if (BN_cmp(r->t, r->n) != 0)
        return refuse(why, "JSON Web Key: n is not the product of p and q.");
    /* As FIPS 186-5 A.1.1 (2)(d) wants it: primes close to each other are found from n. */
    if (BN_sub(r->t, r->p, r->q) != 1)
        return keymat_failed(HSM_E_INTERNAL);
    if (BN_num_bits(r->t) <= BN_num_bits(r->p) - 100)
        return refuse(why, "JSON Web Key: p and q are too close to each other.");
    return HSM_OK;
}

static hsm_err rsa_exponents(struct bench *b, struct rsa_numbers *r, const char **why)
{
    bool p_fits = false;
    bool q_fits = false;
    if (BN_cmp(r->d, r->n) >= 0)
        return refuse(why, "JSON Web Key: d is not smaller than n.");
    TRY(is_inverse_of_e(b, r, r->dp, r->p1, &p_fits));
    TRY(is_inverse_of_e(b, r, r->dq, r->q1, &q_fits));
    if (!p_fits || !q_fits)
        return refuse(why, "JSON Web Key: d does not fit e, p and q.");
    /* FIPS 186-5 A.1.1 (3)(a): a short d can be found from n and e. */
    if (BN_num_bits(r->d) <= BN_num_bits(r->n) / 2)
        return refuse(why, "JSON Web Key: d is too small.");
    return HSM_OK;
}

static hsm_err rsa_primes(struct bench *b, const struct rsa_numbers *r, const char **why)
{
    int p = BN_check_prime(r->p, b->ctx, NULL);
    int q = p == 1 ? BN_check_prime(r->q, b->ctx, NULL) : p;
    if (p < 0 || q < 0)
        return keymat_failed(HSM_E_INTERNAL);
    return p == 1 && q == 1 ? HSM_OK : refuse(why, "JSON Web Key: p or q is not a prime.");
}

/* A number that was given must be the computed one. */
static hsm_err same(struct rsa_numbers *r, struct bytes given, const BIGNUM *want, const char *text,
                    const char **why)
{
    if (given.p == NULL)
        return HSM_OK;
    if (BN_bin2bn(given.n > 0 ? given.p : (const uint8_t *)"", (int)given.n, r->u) == NULL)
        return keymat_failed(HSM_E_NOMEM);
    return BN_cmp(r->u, want) == 0 ? HSM_OK : refuse(why, text);
}

static hsm_err rsa_write(const struct rsa_numbers *r, uint32_t bits, struct wr *w)
{
    size_t full = bits / 8;
    size_t half = full / 2;
    keymat_head_put(w, KTY_RSA, CRV_NONE, bits);
    TRY(put_number(w, r->n, full));
    TRY(put_number(w, r->e, (size_t)BN_num_bytes(r->e)));
    TRY(put_number(w, r->p, half));
    return put_number(w, r->q, half);
}

static hsm_err import_rsa(const struct key_numbers *g, uint32_t bits, struct wr *w,
                          const char **why)
{
    DEFER(bench_done) struct bench b = {0};
    struct rsa_numbers r;
    TRY(bench_new(&b));
    TRY(rsa_take(&b, g, &r));
    /* the cheap questions first; primality takes its time */
    TRY(rsa_factors(&b, &r, why));
    TRY(rsa_exponents(&b, &r, why));
    TRY(same(&r, g->dp, r.dp, "JSON Web Key: dp is not d modulo p - 1.", why));
    TRY(same(&r, g->dq, r.dq, "JSON Web Key: dq is not d modulo q - 1.", why));
    TRY(rsa_primes(&b, &r, why));
    if (BN_mod_inverse(r.qi, r.q, r.p, b.ctx) == NULL)
        return keymat_failed(HSM_E_INTERNAL);
    TRY(same(&r, g->qi, r.qi, "JSON Web Key: qi is not the inverse of q modulo p.", why));
    return rsa_write(&r, bits, w);
}

/* ---- EC -------------------------------------------------------------------------------------- */
static void group_done(EC_GROUP **g)
{
    EC_GROUP_free(*g);
}

static void point_done(EC_POINT **p)
{
    EC_POINT_clear_free(*p);
}

static hsm_err import_ec(const struct key_numbers *g, const struct keymat_spec *spec, struct wr *w,
                         const char **why)
{
    DEFER(bench_done) struct bench b = {0};
    DEFER(group_done)
    EC_GROUP *group = EC_GROUP_new_by_curve_name(OBJ_sn2nid(keymat_group_name(spec->crv)));
    DEFER(point_done) EC_POINT *point = group == NULL ? NULL : EC_POINT_new(group);
    size_t width = key_curve_width(spec->crv);
    bool failed = point == NULL;
    TRY(bench_new(&b));
    BIGNUM *d = take(&b, g->d, &failed);
    BIGNUM *x = fresh(&b, &failed);
    BIGNUM *y = fresh(&b, &failed);
    BIGNUM *given_x = take(&b, g->x, &failed);
    BIGNUM *given_y = take(&b, g->y, &failed);
    if (failed)
        return keymat_failed(HSM_E_NOMEM);
    if (BN_is_zero(d) || BN_cmp(d, EC_GROUP_get0_order(group)) >= 0)
        return refuse(why, "JSON Web Key: d is not in the range of the curve.");
    if (EC_POINT_mul(group, point, d, NULL, NULL, b.ctx) != 1 ||
        EC_POINT_get_affine_coordinates(group, point, x, y, b.ctx) != 1)
        return keymat_failed(HSM_E_INTERNAL);
    if (g->x.p != NULL && (BN_cmp(x, given_x) != 0 || BN_cmp(y, given_y) != 0))
        return refuse(why, "JSON Web Key: x and y are not the public key of d.");
    keymat_head_put(w, KTY_EC, spec->crv, spec->bits);
    TRY(put_number(w, d, width));
    TRY(put_number(w, x, width));
    return put_number(w, y, width);
}

/* ---- all ------------------------------------------------------------------------------------- */
static hsm_err write_key(const struct key_numbers *g, const struct keymat_spec *spec, struct wr *w,
                         const char **why)
{
    if (spec->kty == KTY_RSA)
        return import_rsa(g, spec->bits, w, why);
    if (spec->kty == KTY_EC)
        return import_ec(g, spec, w, why);
    keymat_head_put(w, KTY_OCT, CRV_NONE, spec->bits);
    wr_lv(w, g->k);
    return wr_ok(w);
}

hsm_err keymat_import(const struct key_numbers *given, const struct keymat_spec *spec,
                      struct secret_buf *ret_private, struct keymat_public *ret_public,
                      const char **why)
{
    struct keymat_spec s = *spec;
    TRY(keymat_import_size(given, &s, why));
    DEFER(secret_buf_done) struct secret_buf work = {0};
    TRY(secret_buf_new(&work, KEYMAT_PRIVATE_MAX));
    struct wr w = wr_of(work.p, work.n);
    TRY(write_key(given, &s, &w, why));
    if (s.kty != KTY_OCT)
        TRY(keymat_pairwise(wr_view(&w), &s));
    return keymat_finish(&w, ret_private, ret_public);
}
