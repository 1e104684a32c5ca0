#include "codec/jws.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include "codec/base64url.h"
#include "codec/json.h"

#define RSA_BITS_MIN  2048
#define RSA_BITS_MAX  16384
#define RSA_BYTES_MAX (RSA_BITS_MAX / 8)
#define EC_WIDTH_MAX  66
#define JWKS_TOKENS   1024
#define CERT_MAX      8192

static void pkey_ctx_done(EVP_PKEY_CTX **c)
{
    EVP_PKEY_CTX_free(*c);
}
static void bn_done(BIGNUM **n)
{
    BN_free(*n);
}
static void params_done(OSSL_PARAM **p)
{
    OSSL_PARAM_free(*p);
}
static void params_bld_done(OSSL_PARAM_BLD **b)
{
    OSSL_PARAM_BLD_free(*b);
}
static void x509_done(X509 **x)
{
    X509_free(*x);
}

static EVP_PKEY *public_from(const char *type, OSSL_PARAM *params)
{
    DEFER(pkey_ctx_done) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;
    if (ctx == NULL || params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        /* The reason is of no use to anybody and must not be found by an unrelated caller later. */
        ERR_clear_error();
        return NULL;
    }
    return key;
}

static bool rsa_numbers_fit(const BIGNUM *n, const BIGNUM *e)
{
    int bits = BN_num_bits(n);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX || !BN_is_odd(n))
        return false;
    /* Odd and not 1 is at least 3. */
    return BN_is_odd(e) && !BN_is_one(e) && BN_cmp(e, n) < 0;
}

EVP_PKEY *jwk_rsa_public(struct bytes n, struct bytes e)
{
    /* One byte more than the maximum: some writers put a zero in front. */
    if (n.n == 0 || n.n > RSA_BYTES_MAX + 1 || e.n == 0 || e.n > RSA_BYTES_MAX + 1)
        return NULL;
    DEFER(bn_done) BIGNUM *bn = BN_bin2bn(n.p, (int)n.n, NULL);
    DEFER(bn_done) BIGNUM *be = BN_bin2bn(e.p, (int)e.n, NULL);
    if (bn == NULL || be == NULL || !rsa_numbers_fit(bn, be))
        return NULL;
    DEFER(params_bld_done) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld == NULL || OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) != 1 ||
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be) != 1)
        return NULL;
    DEFER(params_done) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    return public_from("RSA", params);
}

struct ec_group {
    const char *names[3]; /* JWK first; then what other layers call it */
    const char *openssl;
    size_t width;
};
static const struct ec_group ec_groups[] = {
    {{"P-256", "prime256v1", "secp256r1"}, "prime256v1", 32},
    {{"P-384", "secp384r1", "secp384r1"}, "secp384r1", 48},
    {{"P-521", "secp521r1", "secp521r1"}, "secp521r1", 66},
    {{"P-256K", "secp256k1", "SECP256K1"}, "secp256k1", 32},
};

static const struct ec_group *ec_group_find(const char *name)
{
    for (size_t i = 0; i < sizeof ec_groups / sizeof ec_groups[0]; i++)
        for (size_t k = 0; k < 3; k++)
            if (strcmp(name, ec_groups[i].names[k]) == 0)
                return &ec_groups[i];
    return NULL;
}

EVP_PKEY *jwk_ec_public(const char *group, struct bytes x, struct bytes y)
{
    const struct ec_group *g = ec_group_find(group);
    if (g == NULL || x.n == 0 || y.n == 0 || x.n > g->width || y.n > g->width)
        return NULL;
    /* Uncompressed point; libcrypto checks that it lies on the curve. */
    uint8_t point[1 + 2 * EC_WIDTH_MAX] = {0x04};
    memcpy(point + 1 + g->width - x.n, x.p, x.n);
    memcpy(point + 1 + 2 * g->width - y.n, y.p, y.n);
    char name[16];
    memcpy(name, g->openssl, strlen(g->openssl) + 1);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * g->width),
        OSSL_PARAM_construct_end(),
    };
    return public_from("EC", params);
}

/* Bytes of a base64url member into dst[max]. */
static hsm_err get_number(const struct json_doc *d, uint32_t obj, const char *name, uint8_t *dst,
                          size_t max, struct bytes *ret)
{
    struct bytes text;
    size_t n;
    TRY(json_plain(d, json_get(d, obj, name), &text));
    if (text.n == 0 || b64_decoded_max(text.n) > max)
        return HSM_E_MALFORMED;
    TRY(b64u_decode(dst, text, &n));
    *ret = bytes_of(dst, n);
    return HSM_OK;
}

/* Attestation services publish the certificate alone, without n and e. */
static hsm_err key_from_x5c(const struct json_doc *d, uint32_t obj, EVP_PKEY **ret)
{
    uint32_t chain = json_get(d, obj, "x5c");
    uint8_t der[CERT_MAX];
    struct bytes text;
    size_t n;
    if (json_count(d, chain) == 0 || json_type_of(d, chain) != JSON_ARRAY)
        return HSM_E_MALFORMED;
    /* Standard base64 contains '/', which some writers escape. */
    char unescaped[CERT_MAX];
    size_t text_n;
    TRY(json_string(d, json_first(d, chain), unescaped, sizeof unescaped, &text_n));
    text = bytes_of(unescaped, text_n);
    if (b64_decoded_max(text.n) > sizeof der)
        return HSM_E_MALFORMED;
    TRY(b64_decode(der, text, &n));
    const uint8_t *p = der;
    DEFER(x509_done) X509 *cert = d2i_X509(NULL, &p, (long)n);
    EVP_PKEY *key = cert == NULL || p != der + n ? NULL : X509_get_pubkey(cert);
    ERR_clear_error();
    if (key == NULL)
        return HSM_E_MALFORMED;
    *ret = key;
    return HSM_OK;
}

static hsm_err rsa_key(const struct json_doc *d, uint32_t obj, EVP_PKEY **ret)
{
    if (json_get(d, obj, "n") == JSON_NONE && json_get(d, obj, "x5c") != JSON_NONE) {
        EVP_PKEY *key;
        TRY(key_from_x5c(d, obj, &key));
        int bits = EVP_PKEY_get_bits(key);
        if (!EVP_PKEY_is_a(key, "RSA") || bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) {
            EVP_PKEY_free(key);
            return HSM_E_MALFORMED;
        }
        *ret = key;
        return HSM_OK;
    }
    uint8_t n[RSA_BYTES_MAX + 8];
    uint8_t e[RSA_BYTES_MAX + 8];
    struct bytes nb;
    struct bytes eb;
    TRY(get_number(d, obj, "n", n, sizeof n, &nb));
    TRY(get_number(d, obj, "e", e, sizeof e, &eb));
    EVP_PKEY *key = jwk_rsa_public(nb, eb);
    if (key == NULL)
        return HSM_E_MALFORMED;
    *ret = key;
    return HSM_OK;
}

static hsm_err ec_key(const struct json_doc *d, uint32_t obj, EVP_PKEY **ret)
{
    uint8_t x[EC_WIDTH_MAX + 8];
    uint8_t y[EC_WIDTH_MAX + 8];
    struct bytes xb;
    struct bytes yb;
    TRY(get_number(d, obj, "x", x, sizeof x, &xb));
    TRY(get_number(d, obj, "y", y, sizeof y, &yb));
    EVP_PKEY *key = jwk_ec_public("P-256", xb, yb);
    if (key == NULL)
        return HSM_E_MALFORMED;
    *ret = key;
    return HSM_OK;
}

/* Is the member absent or the given word? */
static bool absent_or(const struct json_doc *d, uint32_t obj, const char *name, const char *word)
{
    uint32_t v = json_get_nn(d, obj, name);
    struct bytes text;
    return v == JSON_NONE || (json_plain(d, v, &text) == HSM_OK && bytes_eq_str(text, word));
}

static bool member_is(const struct json_doc *d, uint32_t obj, const char *name, const char *word)
{
    return json_get_nn(d, obj, name) != JSON_NONE && absent_or(d, obj, name, word);
}

static bool may_verify(const struct json_doc *d, uint32_t obj)
{
    uint32_t ops = json_get_nn(d, obj, "key_ops");
    if (!absent_or(d, obj, "use", "sig"))
        return false;
    if (ops == JSON_NONE)
        return true;
    if (json_type_of(d, ops) != JSON_ARRAY)
        return false;
    for (uint32_t at = json_first(d, ops); at != JSON_NONE; at = json_next(d, ops, at)) {
        struct bytes op;
        if (json_plain(d, at, &op) == HSM_OK && bytes_eq_str(op, "verify"))
            return true;
    }
    return false;
}

/* Which algorithm the key is bound to; false: one we do not verify. */
static bool bound_alg(const struct json_doc *d, uint32_t obj, bool is_rsa, enum jws_alg *ret)
{
    *ret = JWS_NONE;
    if (json_get_nn(d, obj, "alg") == JSON_NONE)
        return true;
    if (is_rsa && member_is(d, obj, "alg", "RS256"))
        *ret = JWS_RS256;
    else if (is_rsa && member_is(d, obj, "alg", "PS256"))
        *ret = JWS_PS256;
    else if (!is_rsa && member_is(d, obj, "alg", "ES256"))
        *ret = JWS_ES256;
    return *ret != JWS_NONE;
}

static hsm_err add_key(const struct json_doc *d, uint32_t obj, struct jwks *set)
{
    bool is_rsa = member_is(d, obj, "kty", "RSA");
    bool is_p256 = member_is(d, obj, "kty", "EC") && member_is(d, obj, "crv", "P-256");
    struct jwk_public k = {0};
    if (json_type_of(d, obj) != JSON_OBJECT)
        return HSM_E_MALFORMED;
    if ((!is_rsa && !is_p256) || !may_verify(d, obj) || !bound_alg(d, obj, is_rsa, &k.only_alg))
        return HSM_OK;
    uint32_t kid = json_get_nn(d, obj, "kid");
    size_t kid_n = 0;
    if (kid != JSON_NONE)
        TRY(json_string(d, kid, k.kid, JWS_KID_MAX, &kid_n));
    k.kid[kid_n] = '\0';
    if (set->n == JWKS_KEYS_MAX)
        return HSM_E_RANGE;
    if (is_rsa)
        TRY(rsa_key(d, obj, &k.key));
    else
        TRY(ec_key(d, obj, &k.key));
    set->key[set->n++] = k;
    return HSM_OK;
}

hsm_err jwks_parse(struct bytes text, struct jwks *ret)
{
    if (text.n > JWKS_TEXT_MAX)
        return HSM_E_RANGE;
    struct json_tok toks[JWKS_TOKENS];
    struct json_doc doc;
    TRY(json_parse(text, toks, JWKS_TOKENS, &doc));
    uint32_t keys = json_get(&doc, 0, "keys");
    if (keys == JSON_NONE || json_type_of(&doc, keys) != JSON_ARRAY)
        return HSM_E_MALFORMED;
    struct jwks set = {0};
    hsm_err err = HSM_OK;
    for (uint32_t at = json_first(&doc, keys); at != JSON_NONE && err == HSM_OK;
         at = json_next(&doc, keys, at))
        err = add_key(&doc, at, &set);
    if (err != HSM_OK) {
        jwks_done(&set);
        return err;
    }
    *ret = set;
    return HSM_OK;
}

void jwks_done(struct jwks *s)
{
    for (size_t i = 0; i < s->n; i++)
        EVP_PKEY_free(s->key[i].key);
    *s = (struct jwks){0};
}

const struct jwk_public *jwks_find(const struct jwks *s, const char *kid)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->key[i].kid, kid) == 0)
            return &s->key[i];
    return NULL;
}
