/* Our own access tokens, as the control origin receives them. */
#include <stdio.h>
#include "base/secret.h"
#include "codec/json.h"
#include "codec/jws.h"
#include "fabric/identity/provider.h"

#define VERIFY_TOKENS 512
#define VERIFY_SKEW_S 300

struct claims {
    struct bytes iss, tid, oid;
    char audience[TOKEN_RESOURCE_MAX + 1];
    int64_t nbf, exp;
};

static hsm_err plain(const struct json_doc *d, const char *name, struct bytes *ret)
{
    uint32_t v = json_get(d, 0, name);
    return v != JSON_NONE && json_plain(d, v, ret) == HSM_OK ? HSM_OK : HSM_E_TOKEN_MALFORMED;
}

static hsm_err number(const struct json_doc *d, const char *name, int64_t *ret)
{
    uint32_t v = json_get(d, 0, name);
    return v != JSON_NONE && json_number_trunc(d, v, ret) == HSM_OK ? HSM_OK
                                                                    : HSM_E_TOKEN_MALFORMED;
}

static hsm_err parse_claims(struct bytes payload, struct claims *ret)
{
    struct json_tok tok[VERIFY_TOKENS];
    struct json_doc d;
    struct claims c = {0};
    size_t n = 0;
    if (json_parse(payload, tok, VERIFY_TOKENS, &d) != HSM_OK)
        return HSM_E_TOKEN_MALFORMED;
    TRY(plain(&d, "iss", &c.iss));
    TRY(plain(&d, "tid", &c.tid));
    TRY(plain(&d, "oid", &c.oid));
    TRY(number(&d, "nbf", &c.nbf));
    TRY(number(&d, "exp", &c.exp));
    uint32_t aud = json_get(&d, 0, "aud");
    if (aud == JSON_NONE || json_string(&d, aud, c.audience, sizeof c.audience - 1, &n) != HSM_OK)
        return HSM_E_TOKEN_MALFORMED;
    c.audience[n] = 0;
    *ret = c;
    return HSM_OK;
}

hsm_err provider_verify(const struct provider *p, struct bytes token, uint64_t now_s,
                        struct principal *ret_who, char audience[TOKEN_RESOURCE_MAX + 1])
{
    uint8_t buf[JWS_TEXT_MAX];
    struct jws j;
    struct claims c;
    char issuer[TOKEN_ISSUER_MAX];
    if (token.n == 0)
        return HSM_E_TOKEN_MISSING;
    if (token.n > sizeof buf)
        return HSM_E_TOKEN_MALFORMED;
    TRY(jws_parse(token, buf, sizeof buf, &j));
    if (j.alg != JWS_RS256 || strcmp(j.kid, p->key.kid) != 0)
        return HSM_E_TOKEN_SIGNATURE;
    TRY(jws_verify(&j, p->key.key));
    TRY(parse_claims(j.payload, &c));
    provider_issuer(p, issuer);
    if (!bytes_eq_str(c.iss, issuer) || !bytes_eq_str(c.tid, p->dir.tenant))
        return HSM_E_TOKEN_ISSUER;
    if (c.exp <= (int64_t)now_s)
        return HSM_E_TOKEN_EXPIRED;
    if (c.nbf > (int64_t)now_s + VERIFY_SKEW_S)
        return HSM_E_TOKEN_NOT_YET;
    /* A token may outlive its principal. */
    struct principal who;
    if (!p->people.by_oid(p->people.ctx, c.oid, &who) || who.disabled)
        return HSM_E_TOKEN_ISSUER;
    memcpy(audience, c.audience, sizeof c.audience);
    secret_wipe(who.secret, sizeof who.secret);
    secret_wipe(who.hash, sizeof who.hash);
    *ret_who = who;
    return HSM_OK;
}
