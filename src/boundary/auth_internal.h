/* Internal to auth*.c. */
#ifndef BOUNDARY_AUTH_INTERNAL_H
#define BOUNDARY_AUTH_INTERNAL_H

#include "boundary/auth.h"

/* ---- claims: pure, fuzzed ---- */

#define AUTH_CLAIM_TEXT_MAX 255
#define AUTH_CLAIM_AUD_MAX  8

/* Claims as the token has them; nothing is judged but their types. Texts are "" when absent. */
struct auth_claims {
    char iss[AUTH_CLAIM_TEXT_MAX + 1];
    char aud[AUTH_CLAIM_AUD_MAX][AUTH_CLAIM_TEXT_MAX + 1];
    unsigned aud_n;
    bool has_nbf, has_exp;
    uint64_t nbf, exp;
    char tid[AUTH_CLAIM_TEXT_MAX + 1];
    char oid[AUTH_CLAIM_TEXT_MAX + 1];
    char sub[AUTH_CLAIM_TEXT_MAX + 1];
    char appid[AUTH_CLAIM_TEXT_MAX + 1]; /* appid, or azp of newer tokens */
    char upn[AUTH_CLAIM_TEXT_MAX + 1];
    bool is_app;
    char groups[AUTH_GROUPS_MAX][37]; /* lower-case guids */
    unsigned group_n;
};
/* HSM_E_TOKEN_MALFORMED for anything that is no JSON object with claims of the right types. */
HSM_MUST_USE hsm_err auth_claims_parse(struct bytes payload, struct auth_claims *ret);

/* aud, nbf, exp, tid, oid or sub against the configuration, in this order; by: the issuer, which is
 * in conf. detail: the client's text. */
HSM_MUST_USE hsm_err auth_claims_check(const struct auth_claims *c, const struct auth_config *conf,
                                       const struct auth_issuer *by, uint64_t now_s, char *detail,
                                       size_t cap);
/* The identity of checked claims; one reference. */
HSM_MUST_USE hsm_err auth_identity_new(const struct auth_claims *c, const struct auth_issuer *by,
                                       struct identity **ret);

/* Untrusted text for a message: printable ASCII without quotes and backslashes, cut off at
 * AUTH_SHOWN_MAX characters. */
#define AUTH_SHOWN_MAX 200
void auth_shown(char dst[AUTH_SHOWN_MAX + 4], const char *text);

/* ---- verdicts ---- */

/* A token that verified. */
#define AUTH_CACHE_TRUST_S 300u
struct auth_verdict {
    uint64_t generation; /* of the keys that it was verified with */
    uint64_t verified_s;
    struct identity *who;
};
/* Not of another generation, not past its exp, not older than AUTH_CACHE_TRUST_S. */
bool auth_verdict_holds(const struct auth_verdict *v, uint64_t generation, uint64_t now_s);
struct identity *auth_identity_ref(struct identity *i);

/* All workers' verdicts, by SHA-256 of the token. */
struct auth_cache;
HSM_MUST_USE hsm_err auth_cache_new(struct auth_cache **ret);
void auth_cache_free(struct auth_cache *c);
/* A verdict that holds, its identity with a reference; false: none. */
bool auth_cache_find(struct auth_cache *c, const uint8_t digest[32], uint64_t generation,
                     uint64_t now_s, struct auth_verdict *ret);
/* Takes its own reference. */
void auth_cache_add(struct auth_cache *c, const uint8_t digest[32], const struct auth_verdict *v,
                    uint64_t now_s);

/* One worker's last few, by the token itself: comparing costs less than hashing. NULL: none. */
struct identity *auth_memo_find(struct auth_memo *m, struct bytes token, uint64_t generation,
                                uint64_t now_s);
void auth_memo_add(struct auth_memo *m, struct bytes token, const struct auth_verdict *v);

#endif
