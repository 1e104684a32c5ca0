#include "codec/jws.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include "codec/base64url.h"
#include "codec/json.h"

#define HEADER_TOKENS 128
#define RSA_BITS_MIN  2048
#define ES256_WIDTH   32
#define ES256_DER_MAX 80

static void md_ctx_done(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}

/* Cut text at the first dot. */
static bool cut(struct bytes *text, struct bytes *ret)
{
    const uint8_t *dot = text->n == 0 ? NULL : memchr(text->p, '.', text->n);
    if (dot == NULL)
        return false;
    size_t n = (size_t)(dot - text->p);
    *ret = bytes_of(text->p, n);
    *text = bytes_of(dot + 1, text->n - n - 1);
    return true;
}

/* Decode one part behind what buf holds already. Padding is not part of a compact JWS: it would
 * give one token two spellings. */
static hsm_err decode_part(struct wr *buf, struct bytes part, struct bytes *ret)
{
    size_t n;
    if (part.n == 0 || part.p[part.n - 1] == '=')
        return HSM_E_TOKEN_MALFORMED;
    /* Exact, as the decoder writes no more than this. */
    if (buf->cap - buf->n < part.n / 4 * 3 + part.n % 4)
        return HSM_E_TOKEN_MALFORMED;
    if (b64u_decode(buf->p + buf->n, part, &n) != HSM_OK)
        return HSM_E_TOKEN_MALFORMED;
    *ret = bytes_of(buf->p + buf->n, n);
    buf->n += n;
    return HSM_OK;
}

static enum jws_alg alg_of(struct bytes name)
{
    if (bytes_eq_str(name, "RS256"))
        return JWS_RS256;
    if (bytes_eq_str(name, "PS256"))
        return JWS_PS256;
    return bytes_eq_str(name, "ES256") ? JWS_ES256 : JWS_NONE;
}

static hsm_err parse_header(struct bytes text, struct jws *ret)
{
    struct json_tok toks[HEADER_TOKENS];
    struct json_doc d;
    struct bytes alg;
    if (json_parse(text, toks, HEADER_TOKENS, &d) != HSM_OK)
        return HSM_E_TOKEN_MALFORMED;
    /* An extension that must be understood is one we do not understand. */
    if (json_get(&d, 0, "crit") != JSON_NONE)
        return HSM_E_TOKEN_MALFORMED;
    if (json_plain(&d, json_get(&d, 0, "alg"), &alg) != HSM_OK)
        return HSM_E_TOKEN_MALFORMED;
    ret->alg = alg_of(alg);
    if (ret->alg == JWS_NONE)
        return HSM_E_TOKEN_MALFORMED;
    uint32_t kid = json_get_nn(&d, 0, "kid");
    size_t n = 0;
    if (kid != JSON_NONE && json_string(&d, kid, ret->kid, JWS_KID_MAX, &n) != HSM_OK)
        return HSM_E_TOKEN_MALFORMED;
    ret->kid[n] = '\0';
    return HSM_OK;
}

hsm_err jws_parse(struct bytes text, uint8_t *buf, size_t cap, struct jws *ret)
{
    struct jws j = {0};
    struct bytes rest = text;
    struct bytes header;
    struct bytes payload;
    struct bytes header_json;
    struct wr w = wr_of(buf, cap);
    if (text.n > JWS_TEXT_MAX || !cut(&rest, &header) || !cut(&rest, &payload))
        return HSM_E_TOKEN_MALFORMED;
    j.signed_part = bytes_of(text.p, header.n + 1 + payload.n);
    TRY(decode_part(&w, header, &header_json));
    TRY(decode_part(&w, payload, &j.payload));
    /* A third dot is no base64url character: five-part texts end here. */
    TRY(decode_part(&w, rest, &j.signature));
    TRY(parse_header(header_json, &j));
    *ret = j;
    return HSM_OK;
}

static bool is_p256(EVP_PKEY *key)
{
    char group[32];
    size_t n;
    if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME,
                                                                    group, sizeof group, &n) != 1)
        return false;
    return strcmp(group, "prime256v1") == 0;
}

static bool is_rsa(EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN;
}

static bool set_pss(EVP_PKEY_CTX *ctx)
{
    /* RFC 7518 section 3.5: MGF1 with the same hash, salt as long as the hash. */
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool verify(EVP_PKEY *key, bool pss, struct bytes text, struct bytes sig)
{
    DEFER(md_ctx_done) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    if (ctx == NULL || EVP_DigestVerifyInit(ctx, &pctx, EVP_sha256(), NULL, key) != 1)
        return false;
    if (pss && !set_pss(pctx))
        return false;
    return EVP_DigestVerify(ctx, sig.p, sig.n, text.p, text.n) == 1;
}

static bool verify_es256(const struct jws *j, EVP_PKEY *key)
{
    uint8_t der[ES256_DER_MAX];
    size_t n;
    if (!is_p256(key) || ecdsa_raw_to_der(j->signature, ES256_WIDTH, der, sizeof der, &n) != HSM_OK)
        return false;
    return verify(key, false, j->signed_part, bytes_of(der, n));
}

hsm_err jws_verify(const struct jws *j, EVP_PKEY *key)
{
    bool ok = false;
    switch (j->alg) {
    case JWS_NONE:
        break;
    case JWS_RS256:
    case JWS_PS256:
        ok = is_rsa(key) && verify(key, j->alg == JWS_PS256, j->signed_part, j->signature);
        break;
    case JWS_ES256:
        ok = verify_es256(j, key);
        break;
    }
    /* What libcrypto noted about a bad signature must not be found by an unrelated caller later. */
    ERR_clear_error();
    return ok ? HSM_OK : HSM_E_TOKEN_SIGNATURE;
}
