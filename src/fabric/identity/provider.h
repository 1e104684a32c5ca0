/* The development identity provider without its HTTP face: directory plus signing key; issues and
 * verifies tokens. Thread-safe after provider_load(). */
#ifndef FABRIC_IDENTITY_PROVIDER_H
#define FABRIC_IDENTITY_PROVIDER_H

#include "fabric/identity/directory.h"
#include "fabric/identity/signing.h"
#include "fabric/identity/token_fault.h"
#include "fabric/identity/token_request.h"

#define TOKEN_LIFETIME_S         3599u
#define TOKEN_REFRESH_LIFETIME_S (90u * 86400u)
#define TOKEN_ANSWER_MAX         16384
#define TOKEN_ISSUER_MAX         128

struct provider {
    struct directory dir;
    struct signing_key key;
};

/* Loads or creates both files in dir. Errors of directory_load_or_create and signing_... */
HSM_MUST_USE hsm_err provider_load(const char *dir, uint64_t now_ms, struct provider *ret);
void provider_done(struct provider *p);

/* "https://sts.windows.net/TENANT/" */
void provider_issuer(const struct provider *p, char dst[TOKEN_ISSUER_MAX]);

/* Answer a token request: authenticates the client and the user, appends the JSON answer to out.
 * id_issuer: "iss" of an id token (that of the OpenID metadata in use). On a fault out is
 * untouched. */
HSM_MUST_USE enum token_fault provider_token(const struct provider *p,
                                             const struct token_request *q, const char *id_issuer,
                                             uint64_t now_s, struct wr *out);

/* Managed identity endpoint: header is the value of X-IDENTITY-HEADER, client_id selects an
 * identity (p == NULL: the only one). */
HSM_MUST_USE enum token_fault provider_managed_token(const struct provider *p, struct bytes header,
                                                     struct bytes resource, struct bytes client_id,
                                                     uint64_t now_s, struct wr *out);

/* An access token for a principal, appended to out. client_id: the app that acts ("appid"). */
HSM_MUST_USE hsm_err provider_access_token(const struct provider *p, const struct principal *who,
                                           struct bytes resource, struct bytes client_id,
                                           uint64_t now_s, struct wr *out);

/* Verify one of our own access tokens. HSM_E_TOKEN_*. audience[] receives "aud"; *ret_who borrows
 * from p. */
HSM_MUST_USE hsm_err provider_verify(const struct provider *p, struct bytes token, uint64_t now_s,
                                     const struct principal **ret_who,
                                     char audience[TOKEN_RESOURCE_MAX + 1]);

/* Refresh tokens carry their own content under a MAC, so that nothing is stored: principal, client,
 * time of issue. A changed password invalidates them. */
HSM_MUST_USE hsm_err refresh_token_make(const struct provider *p, const struct principal *who,
                                        struct bytes client_id, uint64_t now_s, struct wr *out);
HSM_MUST_USE enum token_fault refresh_token_open(const struct provider *p, struct bytes token,
                                                 struct bytes client_id, uint64_t now_s,
                                                 const struct principal **ret_who);

#endif
