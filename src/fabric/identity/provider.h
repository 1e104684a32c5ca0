/* The identity provider without its HTTP face: people plus signing key; issues and verifies tokens.
 * One thread. */
#ifndef FABRIC_IDENTITY_PROVIDER_H
#define FABRIC_IDENTITY_PROVIDER_H

#include "fabric/identity/directory.h"
#include "fabric/identity/guess_limit.h"
#include "fabric/identity/signing.h"
#include "fabric/identity/token_fault.h"
#include "fabric/identity/token_request.h"

#define TOKEN_LIFETIME_S         3599u
#define TOKEN_REFRESH_LIFETIME_S (90u * 86400u)
#define TOKEN_ANSWER_MAX         65536
#define TOKEN_ISSUER_MAX         128
#define TOKEN_JWT_MAX            17408
#define TOKEN_ORIGIN_MAX         300

struct provider {
    struct directory dir;
    struct signing_key key;
    struct people people; /* of the directory; the owner may set others */
    struct guess_limit guesses;
    char graph[TOKEN_ORIGIN_MAX]; /* origin where a client can ask for groups; "": the service's */
};

/* What a token request came with besides its form. Borrowed. */
struct token_context {
    const char *id_issuer; /* "iss" of an id token: that of the OpenID metadata in use */
    const char *origin;    /* "https://HOST[:PORT]" of the login endpoints */
    const char *address;   /* of the client */
    uint64_t now_s;
};

/* Loads or creates both files in dir. ret stays where it is: people points into it. Errors of
 * directory_load_or_create and signing_... */
HSM_MUST_USE hsm_err provider_load(const char *dir, uint64_t now_ms, struct provider *ret);
void provider_done(struct provider *p);

/* "https://sts.windows.net/TENANT/" */
void provider_issuer(const struct provider *p, char dst[TOKEN_ISSUER_MAX]);

/* Which app asks, and is it that app? *ret_app is one of the directory; *ret_public: instead it is
 * a client of the service that everybody has, such as az, and *ret_app is untouched. */
HSM_MUST_USE enum token_fault provider_client(struct provider *p, const struct token_request *q,
                                              const struct token_context *c,
                                              struct principal *ret_app, bool *ret_public);
/* A client of the service that everybody has. */
bool provider_is_public(struct bytes client_id);
/* A user by name and password. All wrong ones look the same and take the same time. */
HSM_MUST_USE enum token_fault provider_password(struct provider *p, struct bytes upn,
                                                struct bytes password,
                                                const struct token_context *c,
                                                struct principal *ret_who);
/* The JSON answer with tokens of who, appended to out. On a fault out is untouched. */
HSM_MUST_USE enum token_fault provider_answer(struct provider *p, const struct token_request *q,
                                              const struct principal *who,
                                              const struct token_context *c, struct wr *out);
/* All of it for client_credentials, password and refresh_token. */
HSM_MUST_USE enum token_fault provider_token(struct provider *p, const struct token_request *q,
                                             const struct token_context *c, struct wr *out);

/* What selects a managed identity; at most one may be there (p == NULL: absent). */
struct managed_selector {
    struct bytes client_id, object_id, resource_id;
};
/* Managed identity endpoint: header is the value of X-IDENTITY-HEADER. It gives the built-in
 * identity and user-assigned ones, not those that belong to one resource. */
HSM_MUST_USE enum token_fault provider_managed_token(struct provider *p, struct bytes header,
                                                     struct bytes resource,
                                                     const struct managed_selector *which,
                                                     uint64_t now_s, struct wr *out);

/* An access token for a principal, appended to out. client_id: the app that acts ("appid"). */
HSM_MUST_USE hsm_err provider_access_token(const struct provider *p, const struct principal *who,
                                           struct bytes resource, struct bytes client_id,
                                           uint64_t now_s, struct wr *out);
HSM_MUST_USE hsm_err provider_id_token(const struct provider *p, const struct principal *who,
                                       struct bytes client_id, const char *issuer, uint64_t now_s,
                                       struct wr *out);

/* Verify one of our own access tokens. HSM_E_TOKEN_*. audience[] receives "aud". */
HSM_MUST_USE hsm_err provider_verify(const struct provider *p, struct bytes token, uint64_t now_s,
                                     struct principal *ret_who,
                                     char audience[TOKEN_RESOURCE_MAX + 1]);

/* Refresh tokens carry their own content under a MAC, so that nothing is stored: principal, client,
 * time of issue. A changed password invalidates them. */
HSM_MUST_USE hsm_err refresh_token_make(const struct provider *p, const struct principal *who,
                                        struct bytes client_id, uint64_t now_s, struct wr *out);
HSM_MUST_USE enum token_fault refresh_token_open(const struct provider *p, struct bytes token,
                                                 struct bytes client_id, uint64_t now_s,
                                                 struct principal *ret_who);

#endif
