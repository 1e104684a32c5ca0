/* AES and HMAC. */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include "base/ct.h"
#include "boundary/keymat_impl.h"

#define BLOCK   16u
#define GCM_IV  12u
#define GCM_TAG 16u

/* Context of the key's cipher in the direction of the operation. */
static hsm_err cipher_ready(struct crypto_run *r, enum keymat_mode mode, bool padded, bool encrypt,
                            struct ready **ret)
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
    c->cipher = EVP_CIPHER_CTX_new();
    if (c->cipher == NULL) {
        ready_free(c);
        return keymat_failed(HSM_E_NOMEM);
    }
    if (EVP_CipherInit_ex2(c->cipher, keymat_cipher(mode, r->k->oct_n), r->k->oct, NULL, encrypt,
                           NULL) != 1 ||
        EVP_CIPHER_CTX_set_padding(c->cipher, padded) != 1) {
        ready_free(c);
        return keymat_failed(HSM_E_INTERNAL);
    }
    *ret = c;
    return HSM_OK;
}

/* The whole input through the cipher into the run's buffer; false when libcrypto refuses. */
static bool cipher_pass(struct crypto_run *r, EVP_CIPHER_CTX *ctx)
{
    static const uint8_t nothing[1];
    struct bytes in = r->in->value;
    int n = 0;
    int last = 0;
    if (EVP_CipherUpdate(ctx, r->w.p, &n, in.n > 0 ? in.p : nothing, (int)in.n) != 1 ||
        EVP_CipherFinal_ex(ctx, r->w.p + n, &last) != 1)
        return false;
    r->w.n = (size_t)n + (size_t)last;
    r->res.value = wr_view(&r->w);
    return true;
}

static bool gcm_pass(struct crypto_run *r, EVP_CIPHER_CTX *ctx, bool encrypt, const uint8_t *iv,
                     uint8_t tag[GCM_TAG])
{
    int n = 0;
    OSSL_PARAM param[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, GCM_TAG),
        OSSL_PARAM_construct_end(),
    };
    if (EVP_CipherInit_ex2(ctx, NULL, NULL, iv, encrypt, encrypt ? NULL : param) != 1)
        return false;
    if (r->in->aad.n > 0 && EVP_CipherUpdate(ctx, NULL, &n, r->in->aad.p, (int)r->in->aad.n) != 1)
        return false;
    if (!cipher_pass(r, ctx))
        return false;
    return !encrypt || EVP_CIPHER_CTX_get_params(ctx, param) == 1;
}

static hsm_err gcm_encrypt(struct crypto_run *r)
{
    /* A caller that could choose the IV could make us use one twice, which gives away the
     * authentication key and the plaintexts: it is always made here. */
    if ((r->in->has & (CRYPTO_HAS_IV | CRYPTO_HAS_TAG)) != 0)
        return run_refuse(r, "iv and tag must not be sent: the HSM generates them.");
    uint8_t iv[GCM_IV];
    uint8_t tag[GCM_TAG];
    if (RAND_bytes(iv, sizeof iv) != 1)
        return keymat_failed(HSM_E_INTERNAL);
    struct ready *c = NULL;
    TRY(cipher_ready(r, KM_GCM, false, true, &c));
    bool done = gcm_pass(r, c->cipher, true, iv, tag);
    keymat_ready_put(r->k, c);
    if (!done)
        return keymat_failed(HSM_E_INTERNAL);
    wr_bytes(&r->w, iv, sizeof iv);
    wr_bytes(&r->w, tag, sizeof tag);
    TRY(wr_ok(&r->w));
    const uint8_t *end = r->w.p + r->w.n;
    r->res.iv = bytes_of(end - GCM_TAG - GCM_IV, GCM_IV);
    r->res.tag = bytes_of(end - GCM_TAG, GCM_TAG);
    r->res.has = CRYPTO_HAS_IV | CRYPTO_HAS_TAG;
    if ((r->in->has & CRYPTO_HAS_AAD) != 0) {
        r->res.aad = r->in->aad;
        r->res.has |= CRYPTO_HAS_AAD;
    }
    return HSM_OK;
}

static hsm_err gcm_decrypt(struct crypto_run *r)
{
    if ((r->in->has & CRYPTO_HAS_IV) == 0 || r->in->iv.n != GCM_IV)
        return run_refuse(r, "iv of 12 bytes is required.");
    if ((r->in->has & CRYPTO_HAS_TAG) == 0 || r->in->tag.n != GCM_TAG)
        return run_refuse(r, "tag of 16 bytes is required.");
    uint8_t tag[GCM_TAG];
    memcpy(tag, r->in->tag.p, GCM_TAG);
    struct ready *c = NULL;
    TRY(cipher_ready(r, KM_GCM, false, false, &c));
    bool done = gcm_pass(r, c->cipher, false, r->in->iv.p, tag);
    keymat_ready_put(r->k, c);
    return done ? HSM_OK : keymat_failed(HSM_E_CRYPTO);
}

static hsm_err cbc(struct crypto_run *r, bool padded, bool encrypt)
{
    if ((r->in->has & CRYPTO_HAS_IV) == 0 || r->in->iv.n != BLOCK)
        return run_refuse(r, "iv of 16 bytes is required.");
    if ((r->in->has & (CRYPTO_HAS_AAD | CRYPTO_HAS_TAG)) != 0)
        return run_refuse(r, "aad and tag are not supported by the algorithm.");
    bool whole = r->in->value.n > 0 && r->in->value.n % BLOCK == 0;
    if (!whole && !(padded && encrypt))
        return run_refuse(r, "value must be a multiple of 16 bytes.");
    struct ready *c = NULL;
    TRY(cipher_ready(r, KM_CBC, padded, encrypt, &c));
    bool done = EVP_CipherInit_ex2(c->cipher, NULL, NULL, r->in->iv.p, encrypt, NULL) == 1 &&
                cipher_pass(r, c->cipher);
    keymat_ready_put(r->k, c);
    if (!done)
        return keymat_failed(encrypt ? HSM_E_INTERNAL : HSM_E_CRYPTO);
    if (encrypt) {
        size_t at = r->w.n;
        wr_bytes(&r->w, r->in->iv.p, BLOCK);
        TRY(wr_ok(&r->w));
        r->res.iv = bytes_of(r->w.p + at, BLOCK);
        r->res.has = CRYPTO_HAS_IV;
    }
    return HSM_OK;
}

/* RFC 3394 (64-bit blocks, at least two of them) and RFC 5649 (any length from one byte). */
static hsm_err key_wrap(struct crypto_run *r, bool padded, bool wrap)
{
    size_t n = r->in->value.n;
    if (r->in->has != 0)
        return run_refuse(r, "iv, aad and tag are not supported by the algorithm.");
    if (wrap && padded && n == 0)
        return run_refuse(r, "value must not be empty.");
    if (wrap && !padded && (n < 16 || n % 8 != 0))
        return run_refuse(r, "value must be at least 16 bytes and a multiple of 8.");
    size_t least = padded ? 16 : 24;
    if (!wrap && (n < least || n % 8 != 0))
        return HSM_E_CRYPTO;
    struct ready *c = NULL;
    TRY(cipher_ready(r, KM_ECB, false, wrap, &c));
    hsm_err err = wrap ? keywrap_wrap(c->cipher, padded, r->in->value, &r->w)
                       : keywrap_unwrap(c->cipher, padded, r->in->value, &r->w);
    keymat_ready_put(r->k, c);
    TRY(err);
    r->res.value = wr_view(&r->w);
    return HSM_OK;
}

/* ---- HMAC ------------------------------------------------------------------------------------ */
static hsm_err hmac_ready(struct crypto_run *r, char *md_name, struct ready **ret)
{
    struct ready *c = keymat_ready_take(r->k, r->in->alg, r->op);
    if (c != NULL) {
        /* Without a key: the one that was set before starts over. */
        if (EVP_MAC_init(c->mac, NULL, 0, NULL) != 1) {
            ready_free(c);
            return keymat_failed(HSM_E_INTERNAL);
        }
        *ret = c;
        return HSM_OK;
    }
    OSSL_PARAM param[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, md_name, 0),
        OSSL_PARAM_construct_end(),
    };
    c = (struct ready *)secret_alloc(sizeof *c);
    if (c == NULL)
        return HSM_E_NOMEM;
    c->alg = r->in->alg;
    c->op = r->op;
    c->mac = EVP_MAC_CTX_new(keymat_hmac());
    if (c->mac == NULL || EVP_MAC_init(c->mac, r->k->oct, r->k->oct_n, param) != 1) {
        ready_free(c);
        return keymat_failed(HSM_E_INTERNAL);
    }
    *ret = c;
    return HSM_OK;
}

static hsm_err hmac(struct crypto_run *r, const char *md, size_t md_n)
{
    bool sign = r->op == KEY_OP_SIGN;
    struct bytes message = sign ? r->in->value : r->in->digest;
    uint8_t mac[64];
    size_t mac_n = 0;
    char md_name[8] = {0};
    memcpy(md_name, md, strlen(md) + 1);
    struct ready *c = NULL;
    TRY(hmac_ready(r, md_name, &c));
    bool done = (message.n == 0 || EVP_MAC_update(c->mac, message.p, message.n) == 1) &&
                EVP_MAC_final(c->mac, mac, &mac_n, sizeof mac) == 1 && mac_n == md_n;
    keymat_ready_put(r->k, c);
    if (!done)
        return keymat_failed(HSM_E_INTERNAL);
    if (sign) {
        wr_bytes(&r->w, mac, mac_n);
        TRY(wr_ok(&r->w));
        r->res.value = wr_view(&r->w);
    } else {
        r->res.verified = r->in->value.n == mac_n && ct_eq(r->in->value.p, mac, mac_n);
    }
    secret_wipe(mac, sizeof mac);
    return HSM_OK;
}

hsm_err keymat_run_symmetric(struct crypto_run *r)
{
    bool forward = r->op == KEY_OP_ENCRYPT || r->op == KEY_OP_WRAP;
    switch (r->in->alg) {
    case ALG_A128GCM:
    case ALG_A192GCM:
    case ALG_A256GCM:
        return forward ? gcm_encrypt(r) : gcm_decrypt(r);
    case ALG_A128CBC:
    case ALG_A192CBC:
    case ALG_A256CBC:
        return cbc(r, false, forward);
    case ALG_A128CBCPAD:
    case ALG_A192CBCPAD:
    case ALG_A256CBCPAD:
        return cbc(r, true, forward);
    case ALG_A128KW:
    case ALG_A192KW:
    case ALG_A256KW:
    case ALG_CKM_AES_KEY_WRAP:
        return key_wrap(r, false, forward);
    case ALG_A128KWPAD:
    case ALG_A192KWPAD:
    case ALG_A256KWPAD:
    case ALG_CKM_AES_KEY_WRAP_PAD:
        return key_wrap(r, true, forward);
    case ALG_HS256:
        return hmac(r, "SHA256", 32);
    case ALG_HS384:
        return hmac(r, "SHA384", 48);
    case ALG_HS512:
        return hmac(r, "SHA512", 64);
    default:
        return run_refuse(r, "The algorithm does not fit the type of the key.");
    }
}
