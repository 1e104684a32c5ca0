#include "boundary/keymat_impl.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <pthread.h>

/* ---- algorithms fetched once ----------------------------------------------------------------- */
static struct {
    EVP_MD *md[KM_MD__COUNT];
    EVP_CIPHER *cipher[KM_MODE__COUNT][3];
    EVP_MAC *hmac;
} algs;
static pthread_once_t algs_once = PTHREAD_ONCE_INIT;

static void algs_fetch(void)
{
    static const char *const md[KM_MD__COUNT] = {"SHA1", "SHA256", "SHA384", "SHA512"};
    static const char *const cipher[KM_MODE__COUNT][3] = {
        [KM_GCM] = {"AES-128-GCM", "AES-192-GCM", "AES-256-GCM"},
        [KM_CBC] = {"AES-128-CBC", "AES-192-CBC", "AES-256-CBC"},
        [KM_ECB] = {"AES-128-ECB", "AES-192-ECB", "AES-256-ECB"},
    };
    for (unsigned i = 0; i < KM_MD__COUNT; i++)
        algs.md[i] = EVP_MD_fetch(NULL, md[i], NULL);
    for (unsigned m = 0; m < KM_MODE__COUNT; m++) {
        for (unsigned i = 0; i < 3; i++)
            algs.cipher[m][i] = EVP_CIPHER_fetch(NULL, cipher[m][i], NULL);
    }
    algs.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
}

EVP_MD *keymat_md(enum keymat_md md)
{
    pthread_once(&algs_once, algs_fetch);
    return algs.md[md];
}

EVP_CIPHER *keymat_cipher(enum keymat_mode mode, size_t key_n)
{
    pthread_once(&algs_once, algs_fetch);
    if (key_n != 16 && key_n != 24 && key_n != 32)
        return NULL;
    return algs.cipher[mode][key_n / 8 - 2];
}

EVP_MAC *keymat_hmac(void)
{
    pthread_once(&algs_once, algs_fetch);
    return algs.hmac;
}

bool keymat_ran_out_of_memory(void)
{
    bool nomem = false;
    for (unsigned long e = ERR_get_error(); e != 0; e = ERR_get_error())
        nomem |= ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE;
    return nomem;
}

/* ---- ready contexts -------------------------------------------------------------------------- */
void ready_free(struct ready *r)
{
    if (r == NULL)
        return;
    EVP_PKEY_CTX_free(r->pkey);
    EVP_CIPHER_CTX_free(r->cipher);
    EVP_MAC_CTX_free(r->mac);
    secret_free(r);
}

static bool slot_offer(_Atomic(struct ready *) *slot, struct ready *r)
{
    struct ready *none = NULL;
    return atomic_compare_exchange_strong(slot, &none, r);
}

/* Whoever takes a context out of its slot owns it, so no lock is needed; one that turns out to be
 * for another algorithm goes back. */
struct ready *keymat_ready_take(struct keymat *k, unsigned alg, uint32_t op)
{
    for (unsigned i = 0; i < KEYMAT_READY; i++) {
        struct ready *r = atomic_exchange(&k->ready[i], NULL);
        if (r == NULL)
            continue;
        if (r->alg == alg && r->op == op)
            return r;
        if (!slot_offer(&k->ready[i], r))
            ready_free(r);
    }
    return NULL;
}

void keymat_ready_put(struct keymat *k, struct ready *r)
{
    for (unsigned i = 0; i < KEYMAT_READY; i++) {
        if (slot_offer(&k->ready[i], r))
            return;
    }
    /* All taken, perhaps by algorithms that are not used any more. */
    ready_free(atomic_exchange(&k->ready[r->alg % KEYMAT_READY], r));
}

/* ---- opening --------------------------------------------------------------------------------- */
/* Numbers for libcrypto, which wants them in the machine's (little-endian) order. */
struct numbers {
    OSSL_PARAM param[4];
    size_t n;
    struct secret_buf mem;
    size_t used;
};

static void numbers_done(struct numbers *s)
{
    secret_buf_done(&s->mem);
}

static void numbers_add(struct numbers *s, const char *name, struct bytes big_endian)
{
    HSM_ASSERT(s->n == 0 && big_endian.n <= s->mem.n - s->used);
    uint8_t *dst = s->mem.p + s->used;
    for (size_t i = 0; i < big_endian.n; i++)
        dst[i] = big_endian.p[big_endian.n - 1 - i];
    s->param[s->n++] = OSSL_PARAM_construct_BN(name, dst, big_endian.n);
    s->used += big_endian.n;
}

static void pkey_ctx_done(EVP_PKEY_CTX **p)
{
    EVP_PKEY_CTX_free(*p);
}

static void bn_done(BIGNUM **p)
{
    BN_clear_free(*p);
}

hsm_err keymat_from_params(const char *type, OSSL_PARAM *params, EVP_PKEY **ret)
{
    DEFER(pkey_ctx_done) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        return keymat_failed(HSM_E_CORRUPT);
    *ret = key;
    return HSM_OK;
}

static hsm_err scalar_check(const EVP_PKEY *key, struct bytes scalar)
{
    DEFER(bn_done) BIGNUM *order = NULL;
    DEFER(bn_done) BIGNUM *d = BN_bin2bn(scalar.p, (int)scalar.n, NULL);
    if (d == NULL || EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_ORDER, &order) != 1)
        return keymat_failed(HSM_E_INTERNAL);
    return BN_is_zero(d) || BN_cmp(d, order) >= 0 ? HSM_E_CORRUPT : HSM_OK;
}

static hsm_err open_ec(const struct keymat_parts *p, EVP_PKEY **ret)
{
    uint8_t point[1 + 2 * 66] = {4};
    memcpy(point + 1, p->x.p, p->x.n);
    memcpy(point + 1 + p->x.n, p->y.p, p->y.n);
    char group[16] = {0};
    memcpy(group, keymat_group_name(p->crv), strlen(keymat_group_name(p->crv)));
    DEFER(numbers_done) struct numbers s = {0};
    TRY(secret_buf_new(&s.mem, p->scalar.n));
    numbers_add(&s, OSSL_PKEY_PARAM_PRIV_KEY, p->scalar);
    s.param[s.n++] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
    s.param[s.n++] =
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * p->x.n);
    s.param[s.n] = OSSL_PARAM_construct_end();
    EVP_PKEY *key = NULL;
    TRY(keymat_from_params("EC", s.param, &key));
    hsm_err err = scalar_check(key, p->scalar);
    if (err != HSM_OK) {
        EVP_PKEY_free(key);
        return err;
    }
    *ret = key;
    return HSM_OK;
}

hsm_err keymat_open(struct bytes private_part, struct keymat **ret)
{
    struct keymat_parts parts;
    TRY(keymat_parts_decode(private_part, &parts));
    EVP_PKEY *key = NULL;
    if (parts.kty == KTY_RSA)
        TRY(keymat_rsa_open(&parts, &key));
    else if (parts.kty == KTY_EC)
        TRY(open_ec(&parts, &key));
    struct keymat *k = (struct keymat *)secret_alloc(sizeof *k);
    if (k == NULL) {
        EVP_PKEY_free(key);
        return HSM_E_NOMEM;
    }
    atomic_init(&k->refs, 1);
    k->kty = parts.kty;
    k->crv = parts.crv;
    k->bits = parts.bits;
    k->pkey = key;
    k->oct_n = parts.oct.n;
    if (parts.oct.n > 0)
        memcpy(k->oct, parts.oct.p, parts.oct.n);
    for (unsigned i = 0; i < KEYMAT_READY; i++)
        atomic_init(&k->ready[i], NULL);
    *ret = k;
    return HSM_OK;
}

struct keymat *keymat_ref(struct keymat *k)
{
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}

void keymat_unref(struct keymat *k)
{
    if (k == NULL || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < KEYMAT_READY; i++)
        ready_free(atomic_load(&k->ready[i]));
    EVP_PKEY_free(k->pkey);
    secret_free(k);
}

/* Measured with OpenSSL 3.0 on a 64-bit machine, contexts and Montgomery values included, rounded
 * up; libcrypto cannot be asked. */
size_t keymat_cost(const struct keymat *k)
{
    switch (k->kty) {
    case KTY_RSA:
        return 10240u + (size_t)k->bits * 5;
    case KTY_EC:
        return 8192;
    case KTY_OCT:
    case KTY_NONE:
        break;
    }
    return 4096;
}
