#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include "boundary/keymat_impl.h"

hsm_err keymat_spec_check(struct keymat_spec *spec, const char **why)
{
    static const uint32_t curve_bits[] = {0, 256, 256, 384, 521};
    struct keymat_spec s = {.kty = spec->kty};
    const char *reason = NULL;
    switch (spec->kty) {
    case KTY_RSA:
        s.bits = spec->bits == 0 ? 2048 : spec->bits;
        s.public_exponent = spec->public_exponent == 0 ? 65537 : spec->public_exponent;
        if (s.bits != 2048 && s.bits != 3072 && s.bits != 4096)
            reason = "key_size of an RSA-HSM key must be 2048, 3072 or 4096.";
        else if (s.public_exponent != 3 && s.public_exponent != 65537)
            reason = "public_exponent must be 3 or 65537.";
        break;
    case KTY_EC:
        s.crv = spec->crv == CRV_NONE ? CRV_P256 : spec->crv;
        if (key_curve_width(s.crv) == 0)
            reason = "crv is unknown.";
        else
            s.bits = curve_bits[s.crv];
        break;
    case KTY_OCT:
        s.bits = spec->bits == 0 ? 256 : spec->bits;
        if (s.bits != 128 && s.bits != 192 && s.bits != 256)
            reason = "key_size of an oct-HSM key must be 128, 192 or 256.";
        break;
    default:
        reason = "kty is unknown.";
        break;
    }
    if (reason != NULL) {
        *why = reason;
        return HSM_E_BAD_PARAMETER;
    }
    *spec = s;
    return HSM_OK;
}

static void pkey_done(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}

static void pkey_ctx_done(EVP_PKEY_CTX **p)
{
    EVP_PKEY_CTX_free(*p);
}

static void bn_done(BIGNUM **p)
{
    BN_clear_free(*p);
}

/* Append a number of the key as a field of width bytes (0: as short as it is). */
static hsm_err put_number(struct wr *w, const EVP_PKEY *key, const char *param, size_t width)
{
    DEFER(bn_done) BIGNUM *n = NULL;
    if (EVP_PKEY_get_bn_param(key, param, &n) != 1)
        return keymat_failed(HSM_E_INTERNAL);
    size_t len = width != 0 ? width : (size_t)BN_num_bytes(n);
    wr_u32(w, (uint32_t)len);
    if (w->overflow || w->cap - w->n < len)
        return HSM_E_RANGE;
    if (BN_bn2binpad(n, w->p + w->n, (int)len) != (int)len)
        return HSM_E_INTERNAL;
    w->n += len;
    return HSM_OK;
}

static hsm_err write_rsa(struct wr *w, const EVP_PKEY *key, uint32_t bits)
{
    size_t full = bits / 8;
    size_t half = full / 2;
    TRY(put_number(w, key, OSSL_PKEY_PARAM_RSA_N, full));
    TRY(put_number(w, key, OSSL_PKEY_PARAM_RSA_E, 0));
    TRY(put_number(w, key, OSSL_PKEY_PARAM_RSA_FACTOR1, half));
    return put_number(w, key, OSSL_PKEY_PARAM_RSA_FACTOR2, half);
}

static hsm_err write_ec(struct wr *w, const EVP_PKEY *key, size_t width)
{
    TRY(put_number(w, key, OSSL_PKEY_PARAM_PRIV_KEY, width));
    TRY(put_number(w, key, OSSL_PKEY_PARAM_EC_PUB_X, width));
    return put_number(w, key, OSSL_PKEY_PARAM_EC_PUB_Y, width);
}

/* libcrypto asks between two candidates for a prime. */
static int go_on(EVP_PKEY_CTX *ctx)
{
    const atomic_bool *stop = (const atomic_bool *)EVP_PKEY_CTX_get_app_data(ctx);
    return stop == NULL || !atomic_load(stop) ? 1 : 0;
}

static hsm_err generate_pkey(const struct keymat_spec *s, atomic_bool *stop, EVP_PKEY **ret)
{
    bool rsa = s->kty == KTY_RSA;
    size_t bits = s->bits;
    uint64_t exponent = s->public_exponent;
    char group[16] = {0};
    memcpy(group, keymat_group_name(s->crv), strlen(keymat_group_name(s->crv)));
    OSSL_PARAM rsa_params[] = {
        OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_BITS, &bits),
        OSSL_PARAM_construct_uint64(OSSL_PKEY_PARAM_RSA_E, &exponent),
        OSSL_PARAM_construct_end(),
    };
    OSSL_PARAM ec_params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_end(),
    };
    DEFER(pkey_ctx_done)
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, rsa ? "RSA" : "EC", NULL);
    DEFER(pkey_done) EVP_PKEY *key = NULL;
    if (ctx == NULL || EVP_PKEY_keygen_init(ctx) != 1 ||
        EVP_PKEY_CTX_set_params(ctx, rsa ? rsa_params : ec_params) != 1)
        return keymat_failed(HSM_E_INTERNAL);
    EVP_PKEY_CTX_set_app_data(ctx, stop);
    EVP_PKEY_CTX_set_cb(ctx, go_on);
    if (EVP_PKEY_generate(ctx, &key) != 1) {
        bool stopped = stop != NULL && atomic_load(stop);
        return keymat_failed(stopped ? HSM_E_UNAVAILABLE : HSM_E_INTERNAL);
    }
    /* Primes and exponents as SP 800-56B wants them. */
    DEFER(pkey_ctx_done)
    EVP_PKEY_CTX *check = rsa ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    if (rsa && (check == NULL || EVP_PKEY_pairwise_check(check) != 1))
        return keymat_failed(HSM_E_INTERNAL);
    *ret = key;
    key = NULL;
    return HSM_OK;
}

static hsm_err write_private(const struct keymat_spec *s, atomic_bool *stop, struct wr *w)
{
    keymat_head_put(w, s->kty, s->crv, s->bits);
    if (s->kty == KTY_OCT) {
        size_t n = s->bits / 8;
        wr_u32(w, (uint32_t)n);
        if (w->overflow || w->cap - w->n < n)
            return HSM_E_RANGE;
        if (RAND_priv_bytes(w->p + w->n, (int)n) != 1)
            return keymat_failed(HSM_E_INTERNAL);
        w->n += n;
        return wr_ok(w);
    }
    DEFER(pkey_done) EVP_PKEY *key = NULL;
    TRY(generate_pkey(s, stop, &key));
    TRY(s->kty == KTY_RSA ? write_rsa(w, key, s->bits) : write_ec(w, key, key_curve_width(s->crv)));
    return wr_ok(w);
}

static void copy_public(const struct keymat_parts *p, struct keymat_public *ret)
{
    struct keymat_public pub = {0};
    if (p->kty == KTY_RSA) {
        pub.n_len = p->rsa[RSA_N].n;
        pub.e_len = p->rsa[RSA_E].n;
        memcpy(pub.n, p->rsa[RSA_N].p, pub.n_len);
        memcpy(pub.e, p->rsa[RSA_E].p, pub.e_len);
    } else if (p->kty == KTY_EC) {
        pub.x_len = p->x.n;
        pub.y_len = p->y.n;
        memcpy(pub.x, p->x.p, pub.x_len);
        memcpy(pub.y, p->y.p, pub.y_len);
    }
    *ret = pub;
}

hsm_err keymat_describe(struct bytes private_part, struct keymat_spec *ret_spec,
                        struct keymat_public *ret_public)
{
    struct keymat_parts parts;
    TRY(keymat_parts_decode(private_part, &parts));
    copy_public(&parts, ret_public);
    *ret_spec = (struct keymat_spec){.kty = parts.kty, .crv = parts.crv, .bits = parts.bits};
    return HSM_OK;
}

hsm_err keymat_finish(const struct wr *w, struct secret_buf *ret_private,
                      struct keymat_public *ret_public)
{
    struct keymat_parts parts;
    TRY(wr_ok(w));
    TRY(keymat_parts_decode(wr_view(w), &parts));
    struct secret_buf exact = {0};
    TRY(secret_buf_new(&exact, w->n));
    memcpy(exact.p, w->p, w->n);
    copy_public(&parts, ret_public);
    *ret_private = exact;
    return HSM_OK;
}

static hsm_err spec_fill(struct keymat_spec *s)
{
    const char *why;
    if (s->kty == KTY_OCT && s->bits % 8 == 0 && s->bits >= 8 && s->bits <= KEYMAT_OCT_MAX * 8u)
        return HSM_OK;
    struct keymat_spec usual = *s;
    if (s->kty == KTY_RSA && s->public_exponent % 2 == 1 && s->public_exponent >= 3)
        usual.public_exponent = 65537;
    TRY(keymat_spec_check(&usual, &why));
    if (s->kty == KTY_RSA && s->public_exponent != 0)
        usual.public_exponent = s->public_exponent;
    *s = usual;
    return HSM_OK;
}

hsm_err keymat_generate_until(const struct keymat_spec *spec, atomic_bool *stop,
                              struct secret_buf *ret_private, struct keymat_public *ret_public)
{
    struct keymat_spec s = *spec;
    TRY(spec_fill(&s));
    DEFER(secret_buf_done) struct secret_buf work = {0};
    TRY(secret_buf_new(&work, KEYMAT_PRIVATE_MAX));
    struct wr w = wr_of(work.p, work.n);
    TRY(write_private(&s, stop, &w));
    if (s.kty != KTY_OCT)
        TRY(keymat_pairwise(wr_view(&w), &s));
    return keymat_finish(&w, ret_private, ret_public);
}

hsm_err keymat_generate(const struct keymat_spec *spec, struct secret_buf *ret_private,
                        struct keymat_public *ret_public)
{
    return keymat_generate_until(spec, NULL, ret_private, ret_public);
}
