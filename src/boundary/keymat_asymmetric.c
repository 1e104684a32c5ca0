/* RSA and ECDSA. */
#include <openssl/params.h>
#include <openssl/rsa.h>
#include "boundary/keymat_impl.h"
#include "codec/jws.h"

#define ECDSA_DER_MAX 160u

struct rsa_alg {
    int padding;
    int md;          /* enum keymat_md, -1: none */
    size_t digest;   /* signatures: exact input; 0: anything that fits */
    size_t overhead; /* input at most modulus - overhead */
};

static struct rsa_alg rsa_alg_of(unsigned alg)
{
    switch (alg) {
    case ALG_RSA1_5:
        return (struct rsa_alg){RSA_PKCS1_PADDING, -1, 0, 11};
    case ALG_RSA_OAEP:
        return (struct rsa_alg){RSA_PKCS1_OAEP_PADDING, KM_SHA1, 0, 42};
    case ALG_RSA_OAEP_256:
        return (struct rsa_alg){RSA_PKCS1_OAEP_PADDING, KM_SHA256, 0, 66};
    case ALG_RS256:
        return (struct rsa_alg){RSA_PKCS1_PADDING, KM_SHA256, 32, 0};
    case ALG_RS384:
        return (struct rsa_alg){RSA_PKCS1_PADDING, KM_SHA384, 48, 0};
    case ALG_RS512:
        return (struct rsa_alg){RSA_PKCS1_PADDING, KM_SHA512, 64, 0};
    case ALG_PS256:
        return (struct rsa_alg){RSA_PKCS1_PSS_PADDING, KM_SHA256, 32, 0};
    case ALG_PS384:
        return (struct rsa_alg){RSA_PKCS1_PSS_PADDING, KM_SHA384, 48, 0};
    case ALG_PS512:
        return (struct rsa_alg){RSA_PKCS1_PSS_PADDING, KM_SHA512, 64, 0};
    default: /* RSNULL: the caller built the DigestInfo */
        return (struct rsa_alg){RSA_PKCS1_PADDING, -1, 0, 11};
    }
}

static bool ctx_init(EVP_PKEY_CTX *ctx, uint32_t op)
{
    switch (op) {
    case KEY_OP_ENCRYPT:
    case KEY_OP_WRAP:
        return EVP_PKEY_encrypt_init(ctx) == 1;
    case KEY_OP_DECRYPT:
    case KEY_OP_UNWRAP:
        return EVP_PKEY_decrypt_init(ctx) == 1;
    case KEY_OP_SIGN:
        return EVP_PKEY_sign_init(ctx) == 1;
    case KEY_OP_VERIFY:
        return EVP_PKEY_verify_init(ctx) == 1;
    default:
        return false;
    }
}

/* From 3.2 on, libcrypto answers wrong PKCS #1 padding with a made-up plaintext. The service
 * answers with an error, and a caller that gets the wrong key without a word has no use for it: the
 * answer is the same with every libcrypto. */
static bool ctx_reject_openly(EVP_PKEY_CTX *ctx)
{
    static const char name[] = "implicit-rejection";
    unsigned off = 0;
    const OSSL_PARAM off_param[] = {OSSL_PARAM_construct_uint(name, &off),
                                    OSSL_PARAM_construct_end()};
    const OSSL_PARAM *known = EVP_PKEY_CTX_settable_params(ctx);
    if (known == NULL || OSSL_PARAM_locate_const(known, name) == NULL)
        return true;
    return EVP_PKEY_CTX_set_params(ctx, off_param) == 1;
}

static bool ctx_set_rsa(EVP_PKEY_CTX *ctx, uint32_t op, const struct rsa_alg *a)
{
    bool opens = op == KEY_OP_DECRYPT || op == KEY_OP_UNWRAP;
    if (EVP_PKEY_CTX_set_rsa_padding(ctx, a->padding) != 1)
        return false;
    if (opens && a->padding == RSA_PKCS1_PADDING)
        return ctx_reject_openly(ctx);
    if (a->padding == RSA_PKCS1_OAEP_PADDING) {
        EVP_MD *md = keymat_md((enum keymat_md)a->md);
        return EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) == 1;
    }
    if (a->md >= 0 && EVP_PKEY_CTX_set_signature_md(ctx, keymat_md((enum keymat_md)a->md)) != 1)
        return false;
    return a->padding != RSA_PKCS1_PSS_PADDING ||
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static hsm_err pkey_ready(struct crypto_run *r, const struct rsa_alg *rsa, struct ready **ret)
{
    struct ready *c = keymat_ready_take(r->k, r->in->alg, r->op);
    if (c != NULL) {
        *ret = c;
        return HSM_OK;
    }
    c = (struct ready *)secret_alloc(sizeof *c);
    if (c == NULL)
        return HSM_E_NOMEM;
    c->alg = r->in->alg;
    c->op = r->op;
    c->pkey = EVP_PKEY_CTX_new_from_pkey(NULL, r->k->pkey, NULL);
    if (c->pkey == NULL || !ctx_init(c->pkey, r->op) ||
        (rsa != NULL && !ctx_set_rsa(c->pkey, r->op, rsa))) {
        ready_free(c);
        return keymat_failed(HSM_E_INTERNAL);
    }
    *ret = c;
    return HSM_OK;
}

static hsm_err rsa_cipher(struct crypto_run *r, const struct rsa_alg *a)
{
    static const uint8_t nothing[1];
    bool forward = r->op == KEY_OP_ENCRYPT || r->op == KEY_OP_WRAP;
    size_t modulus = r->k->bits / 8;
    struct bytes in = r->in->value;
    if (r->in->has != 0)
        return run_refuse(r, "iv, aad and tag are not supported by the algorithm.");
    if (forward && in.n > modulus - a->overhead)
        return run_refuse(r, "value is too long for the key and the algorithm.");
    if (!forward && in.n != modulus)
        return HSM_E_CRYPTO;
    struct ready *c = NULL;
    TRY(pkey_ready(r, a, &c));
    size_t n = r->w.cap;
    const uint8_t *p = in.n > 0 ? in.p : nothing;
    int done = forward ? EVP_PKEY_encrypt(c->pkey, r->w.p, &n, p, in.n)
                       : EVP_PKEY_decrypt(c->pkey, r->w.p, &n, p, in.n);
    keymat_ready_put(r->k, c);
    /* The API itself tells a client of RSA1_5 whether the padding was right, as the service's does.
     * All that can be done here is not to tell more: every failure takes this path and has this
     * text, whatever libcrypto queued. */
    hsm_err failed = keymat_failed(forward ? HSM_E_INTERNAL : HSM_E_CRYPTO);
    if (done != 1)
        return failed;
    r->w.n = n;
    r->res.value = wr_view(&r->w);
    return HSM_OK;
}

static hsm_err verified(struct crypto_run *r, int answer)
{
    hsm_err err = keymat_failed(HSM_OK); /* a malformed signature is just a wrong one */
    r->res.verified = answer == 1;
    return answer == 1 ? HSM_OK : err;
}

static hsm_err rsa_sign(struct crypto_run *r, const struct rsa_alg *a)
{
    bool sign = r->op == KEY_OP_SIGN;
    size_t modulus = r->k->bits / 8;
    struct bytes tbs = sign ? r->in->value : r->in->digest;
    if (a->digest != 0 && tbs.n != a->digest)
        return run_refuse(r, "The length of the digest does not fit the algorithm.");
    if (a->digest == 0 && (tbs.n == 0 || tbs.n > modulus - a->overhead))
        return run_refuse(r, "The length of the value does not fit the key.");
    if (!sign && r->in->value.n != modulus)
        return HSM_OK; /* verified stays 0 */
    struct ready *c = NULL;
    TRY(pkey_ready(r, a, &c));
    size_t n = r->w.cap;
    int done = sign ? EVP_PKEY_sign(c->pkey, r->w.p, &n, tbs.p, tbs.n)
                    : EVP_PKEY_verify(c->pkey, r->in->value.p, modulus, tbs.p, tbs.n);
    keymat_ready_put(r->k, c);
    if (!sign)
        return verified(r, done);
    if (done != 1)
        return keymat_failed(HSM_E_INTERNAL);
    r->w.n = n;
    r->res.value = wr_view(&r->w);
    return HSM_OK;
}

static hsm_err ecdsa_sign(struct crypto_run *r, struct bytes digest, size_t width)
{
    uint8_t der[ECDSA_DER_MAX];
    size_t n = sizeof der;
    struct ready *c = NULL;
    TRY(pkey_ready(r, NULL, &c));
    int done = EVP_PKEY_sign(c->pkey, der, &n, digest.p, digest.n);
    keymat_ready_put(r->k, c);
    if (done != 1)
        return keymat_failed(HSM_E_INTERNAL);
    TRY(ecdsa_der_to_raw(bytes_of(der, n), width, r->w.p));
    r->w.n = 2 * width;
    r->res.value = wr_view(&r->w);
    return HSM_OK;
}

static hsm_err ecdsa_verify(struct crypto_run *r, struct bytes digest, size_t width)
{
    uint8_t der[ECDSA_DER_MAX];
    size_t n = 0;
    if (r->in->value.n != 2 * width ||
        ecdsa_raw_to_der(r->in->value, width, der, sizeof der, &n) != HSM_OK)
        return HSM_OK; /* verified stays 0 */
    struct ready *c = NULL;
    TRY(pkey_ready(r, NULL, &c));
    int done = EVP_PKEY_verify(c->pkey, der, n, digest.p, digest.n);
    keymat_ready_put(r->k, c);
    return verified(r, done);
}

static hsm_err ecdsa(struct crypto_run *r)
{
    bool sign = r->op == KEY_OP_SIGN;
    struct bytes digest = sign ? r->in->value : r->in->digest;
    size_t want = r->in->alg == ALG_ES384 ? 48 : r->in->alg == ALG_ES512 ? 64 : 32;
    if (digest.n != want)
        return run_refuse(r, "The length of the digest does not fit the algorithm.");
    size_t width = key_curve_width(r->k->crv);
    return sign ? ecdsa_sign(r, digest, width) : ecdsa_verify(r, digest, width);
}

hsm_err keymat_run_asymmetric(struct crypto_run *r)
{
    if (r->k->kty == KTY_EC)
        return ecdsa(r);
    struct rsa_alg a = rsa_alg_of(r->in->alg);
    bool signature = r->op == KEY_OP_SIGN || r->op == KEY_OP_VERIFY;
    return signature ? rsa_sign(r, &a) : rsa_cipher(r, &a);
}
