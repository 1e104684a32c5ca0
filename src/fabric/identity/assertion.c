#include "fabric/identity/assertion.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include "base/uuid.h"
#include "codec/base64url.h"
#include "codec/json.h"

#define TOKENS 128

/* A text without escapes of at most cap bytes and a terminator into dst. */
static hsm_err take_text(const struct json_doc *d, const char *name, char *dst, size_t cap,
                         bool required)
{
    uint32_t v = json_get_nn(d, 0, name);
    size_t n = 0;
    if (v == JSON_NONE && required)
        return HSM_E_TOKEN_MALFORMED;
    if (v != JSON_NONE && (json_string(d, v, dst, cap, &n) != HSM_OK || (required && n == 0)))
        return HSM_E_TOKEN_MALFORMED;
    dst[n] = 0;
    return HSM_OK;
}

static hsm_err take_time(const struct json_doc *d, const char *name, bool required, uint64_t *ret)
{
    uint32_t v = json_get_nn(d, 0, name);
    int64_t t = 0;
    if (v == JSON_NONE && required)
        return HSM_E_TOKEN_MALFORMED;
    if (v != JSON_NONE && (json_number_trunc(d, v, &t) != HSM_OK || t < 0))
        return HSM_E_TOKEN_MALFORMED;
    *ret = (uint64_t)t;
    return HSM_OK;
}

/* base64url, with padding or without: clients send both. */
static hsm_err take_digest(const struct json_doc *d, const char *name, uint8_t *dst, size_t want,
                           bool *ret_has)
{
    struct bytes text;
    uint8_t raw[64];
    size_t n = 0;
    uint32_t v = json_get_nn(d, 0, name);
    *ret_has = v != JSON_NONE;
    if (v == JSON_NONE)
        return HSM_OK;
    if (json_plain(d, v, &text) != HSM_OK || b64_decoded_max(text.n) > sizeof raw ||
        b64u_decode(raw, text, &n) != HSM_OK || n != want)
        return HSM_E_TOKEN_MALFORMED;
    memcpy(dst, raw, want);
    return HSM_OK;
}

static hsm_err parse_header(struct bytes text, struct assertion *a)
{
    struct json_tok tok[TOKENS];
    struct json_doc d;
    uint8_t raw[ASSERTION_TEXT_MAX];
    size_t n = 0;
    const uint8_t *dot = memchr(text.p, '.', text.n);
    struct bytes part = bytes_of(text.p, dot == NULL ? 0 : (size_t)(dot - text.p));
    if (part.n == 0 || b64_decoded_max(part.n) > sizeof raw ||
        b64u_decode(raw, part, &n) != HSM_OK ||
        json_parse(bytes_of(raw, n), tok, TOKENS, &d) != HSM_OK)
        return HSM_E_TOKEN_MALFORMED;
    TRY(take_digest(&d, "x5t", a->sha1, sizeof a->sha1, &a->has_sha1));
    TRY(take_digest(&d, "x5t#S256", a->sha256, sizeof a->sha256, &a->has_sha256));
    if (!a->has_sha1)
        a->has_sha1 = hex_decode(a->sha1, sizeof a->sha1, bytes_str(a->jws.kid)) == HSM_OK;
    return a->has_sha1 || a->has_sha256 ? HSM_OK : HSM_E_TOKEN_MALFORMED;
}

static hsm_err parse_claims(struct bytes text, struct assertion *a)
{
    struct json_tok tok[TOKENS];
    struct json_doc d;
    char subject[ASSERTION_ID_MAX + 1];
    if (json_parse(text, tok, TOKENS, &d) != HSM_OK || json_type_of(&d, 0) != JSON_OBJECT)
        return HSM_E_TOKEN_MALFORMED;
    TRY(take_text(&d, "aud", a->audience, ASSERTION_URL_MAX, true));
    TRY(take_text(&d, "iss", a->issuer, ASSERTION_ID_MAX, true));
    TRY(take_text(&d, "sub", subject, ASSERTION_ID_MAX, true));
    TRY(take_text(&d, "jti", a->id, ASSERTION_ID_MAX, false));
    TRY(take_time(&d, "nbf", false, &a->not_before_s));
    TRY(take_time(&d, "exp", true, &a->not_after_s));
    return strcmp(a->issuer, subject) == 0 ? HSM_OK : HSM_E_TOKEN_MALFORMED;
}

hsm_err assertion_parse(struct bytes text, uint8_t *buf, size_t cap, struct assertion *ret)
{
    struct assertion a = {0};
    if (text.n > ASSERTION_TEXT_MAX || cap < text.n)
        return HSM_E_TOKEN_MALFORMED;
    TRY(jws_parse(text, buf, cap, &a.jws));
    if (a.jws.alg != JWS_RS256 && a.jws.alg != JWS_PS256)
        return HSM_E_TOKEN_MALFORMED;
    TRY(parse_header(text, &a));
    TRY(parse_claims(a.jws.payload, &a));
    *ret = a;
    return HSM_OK;
}

hsm_err assertion_check_time(const struct assertion *a, uint64_t now_s)
{
    if (a->not_before_s > now_s + ASSERTION_SKEW_S)
        return HSM_E_TOKEN_NOT_YET;
    if (now_s >= ASSERTION_SKEW_S && a->not_after_s < now_s - ASSERTION_SKEW_S)
        return HSM_E_TOKEN_EXPIRED;
    return a->not_after_s > now_s + ASSERTION_LIFE_S ? HSM_E_TOKEN_EXPIRED : HSM_OK;
}

static void x509_done(X509 **x)
{
    X509_free(*x);
}

static bool is_named(const struct assertion *a, struct bytes der)
{
    uint8_t d[32];
    if (a->has_sha256)
        return EVP_Digest(der.p, der.n, d, NULL, EVP_sha256(), NULL) == 1 &&
               memcmp(d, a->sha256, sizeof a->sha256) == 0;
    return EVP_Digest(der.p, der.n, d, NULL, EVP_sha1(), NULL) == 1 &&
           memcmp(d, a->sha1, sizeof a->sha1) == 0;
}

hsm_err assertion_check_certificate(const struct assertion *a, struct bytes der)
{
    if (der.n == 0 || der.n > ASSERTION_TEXT_MAX || !is_named(a, der))
        return HSM_E_NOT_FOUND;
    const uint8_t *at = der.p;
    DEFER(x509_done) X509 *x = d2i_X509(NULL, &at, (long)der.n);
    EVP_PKEY *key = x == NULL ? NULL : X509_get0_pubkey(x); /* borrowed */
    hsm_err e = key == NULL ? HSM_E_TOKEN_SIGNATURE : jws_verify(&a->jws, key);
    ERR_clear_error();
    return e;
}
