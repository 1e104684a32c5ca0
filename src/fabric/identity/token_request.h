/* A request to a token endpoint: form body and headers in, checked structure out. Pure: nothing is
 * looked up, compared or allocated. */
#ifndef FABRIC_IDENTITY_TOKEN_REQUEST_H
#define FABRIC_IDENTITY_TOKEN_REQUEST_H

#include "base/bytes.h"
#include "fabric/identity/token_fault.h"

#define TOKEN_REQUEST_BODY_MAX 32768
/* Work memory the parser needs for a body and an Authorization header of these lengths. */
#define TOKEN_REQUEST_BUF(body_n, auth_n) ((body_n) + (auth_n) + 8)
#define TOKEN_REQUEST_PARAMS_MAX          48
#define TOKEN_RESOURCE_MAX                512

enum token_grant {
    GRANT_CLIENT_CREDENTIALS,
    GRANT_PASSWORD,
    GRANT_REFRESH_TOKEN,
    GRANT_DEVICE_CODE,
    GRANT_CODE
};

/* Views point into the caller's buf; p == NULL when the parameter was absent. */
struct token_request {
    enum token_grant grant;
    struct bytes client_id;        /* always present */
    struct bytes client_secret;    /* from the form or from HTTP Basic */
    struct bytes client_assertion; /* instead of a secret; its text, not parsed */
    struct bytes username, password;
    struct bytes refresh_token;
    struct bytes device_code;
    struct bytes code, redirect_uri, code_verifier;
    struct bytes resource; /* becomes "aud", its own trailing slash kept; absent: none was named */
    struct bytes scope;    /* as sent */
    bool wants_openid;     /* scopes openid / profile / email */
    bool wants_refresh;    /* scope offline_access, or no scope list at all (version 1 endpoint) */
};

/* content_type, authorization: header values (p == NULL: absent). The client sends either RESOURCE
 * in "resource" (version 1) or RESOURCE/.default or RESOURCE/permission in "scope". Parameters not
 * known here are ignored. ret is only written for TOKEN_OK. */
HSM_MUST_USE enum token_fault token_request_parse(struct bytes content_type,
                                                  struct bytes authorization, struct bytes body,
                                                  uint8_t *buf, size_t cap,
                                                  struct token_request *ret);

/* What a login asked for when it began elsewhere, for a request that names nothing itself. Both are
 * as in a form, p == NULL: absent; q is changed for TOKEN_OK only. */
HSM_MUST_USE enum token_fault token_request_scope(struct token_request *q, struct bytes scope,
                                                  struct bytes resource);

/* An absolute URI without blanks, quotes, query or fragment, or a GUID; at most
 * TOKEN_RESOURCE_MAX characters. */
bool token_resource_is_valid(struct bytes resource);

#endif
