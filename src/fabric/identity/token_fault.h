/* What the token endpoints can refuse, one row each: HTTP status, OAuth 2.0 error (RFC 6749 §5.2),
 * number and text in the manner of the service. The texts name no value of the request. */
#ifndef FABRIC_IDENTITY_TOKEN_FAULT_H
#define FABRIC_IDENTITY_TOKEN_FAULT_H

#include "base/bytes.h"
#include "base/err.h"

#define TOKEN_FAULTS(X)                                                                            \
    X(TOKEN_OK, 200, "", 0, "")                                                                    \
    X(TOKEN_BODY, 400, "invalid_request", 9002014,                                                 \
      "The request body must be a well-formed application/x-www-form-urlencoded form.")            \
    X(TOKEN_NO_GRANT, 400, "invalid_request", 900144,                                              \
      "The request body must contain the following parameter: 'grant_type'.")                      \
    X(TOKEN_NO_CLIENT, 400, "invalid_request", 900144,                                             \
      "The request body must contain the following parameter: 'client_id'.")                       \
    X(TOKEN_NO_SCOPE, 400, "invalid_request", 900144,                                              \
      "The request body must contain the following parameter: 'scope'.")                           \
    X(TOKEN_NO_USER, 400, "invalid_request", 900144,                                               \
      "The request body must contain the following parameters: 'username' and 'password'.")        \
    X(TOKEN_NO_REFRESH, 400, "invalid_request", 900144,                                            \
      "The request body must contain the following parameter: 'refresh_token'.")                   \
    X(TOKEN_GRANT, 400, "unsupported_grant_type", 70003,                                           \
      "The app requested an unsupported grant type. Supported: client_credentials, password, "     \
      "refresh_token, authorization_code, device_code.")                                           \
    X(TOKEN_SCOPE, 400, "invalid_scope", 70011,                                                    \
      "The provided value for the input parameter 'scope' is not valid. It must name one "         \
      "resource, for an app as RESOURCE/.default.")                                                \
    X(TOKEN_TWO_CLIENTS, 400, "invalid_request", 900144,                                           \
      "The client must authenticate in one way only: form or Authorization header.")               \
    X(TOKEN_ASSERTION, 401, "invalid_client", 50027,                                               \
      "The client assertion is malformed. It must be a JWT with RS256 or PS256 and the "           \
      "thumbprint of a certificate, iss and sub being the client's id.")                           \
    X(TOKEN_ASSERTION_KEY, 401, "invalid_client", 700027,                                          \
      "Client assertion failed signature validation: no certificate of that thumbprint is "        \
      "registered for the application, or another key has signed.")                                \
    X(TOKEN_ASSERTION_TIME, 401, "invalid_client", 700024,                                         \
      "Client assertion is not within its valid time range.")                                      \
    X(TOKEN_ASSERTION_AUDIENCE, 401, "invalid_client", 700025,                                     \
      "Client assertion audience claim does not match this token endpoint.")                       \
    X(TOKEN_SECRET_EXPIRED, 401, "invalid_client", 7000222,                                        \
      "The provided client secret keys are expired.")                                              \
    X(TOKEN_DISABLED, 401, "invalid_client", 7000112, "Application is disabled.")                  \
    X(TOKEN_USER_DISABLED, 400, "invalid_grant", 50057, "The user account is disabled.")           \
    X(TOKEN_LOCKED, 400, "invalid_grant", 50053,                                                   \
      "Too many sign-in attempts with a wrong user name or password; try again in a minute.")      \
    X(TOKEN_NO_DEVICE_CODE, 400, "invalid_request", 900144,                                        \
      "The request body must contain the following parameter: 'device_code'.")                     \
    X(TOKEN_NO_CODE, 400, "invalid_request", 900144,                                               \
      "The request body must contain the following parameters: 'code' and 'redirect_uri'.")        \
    X(TOKEN_PENDING, 400, "authorization_pending", 70016,                                          \
      "OAuth 2.0 device flow error. Authorization is pending. Continue polling.")                  \
    X(TOKEN_SLOW_DOWN, 400, "slow_down", 70016,                                                    \
      "OAuth 2.0 device flow error. Polling is faster than the interval allows.")                  \
    X(TOKEN_DECLINED, 400, "authorization_declined", 70017, "The sign-in was declined.")           \
    X(TOKEN_DEVICE_EXPIRED, 400, "expired_token", 70020,                                           \
      "The provided value for the input parameter 'device_code' is not valid. This device code "   \
      "has expired.")                                                                              \
    X(TOKEN_DEVICE_CODE, 400, "bad_verification_code", 70019,                                      \
      "The verification code is not known, or was not issued for this client.")                    \
    X(TOKEN_CODE, 400, "invalid_grant", 9002313,                                                   \
      "The authorization code is malformed or was not issued for this client and redirect URI.")   \
    X(TOKEN_CODE_EXPIRED, 400, "invalid_grant", 70008, "The authorization code has expired.")      \
    X(TOKEN_CODE_USED, 400, "invalid_grant", 54005,                                                \
      "The authorization code was already redeemed; please retry with a new one.")                 \
    X(TOKEN_VERIFIER, 400, "invalid_grant", 501481,                                                \
      "The code_verifier does not match the code_challenge supplied in the authorization "         \
      "request.")                                                                                  \
    X(TOKEN_UNAVAILABLE, 503, "temporarily_unavailable", 90033,                                    \
      "The directory cannot be written at the moment.")                                            \
    X(TOKEN_APP, 400, "unauthorized_client", 700016,                                               \
      "Application was not found in the directory.")                                               \
    X(TOKEN_SECRET_MISSING, 401, "invalid_client", 7000218,                                        \
      "The request body must contain the following parameter: 'client_secret'.")                   \
    X(TOKEN_SECRET, 401, "invalid_client", 7000215, "Invalid client secret provided.")             \
    X(TOKEN_PASSWORD, 400, "invalid_grant", 50126,                                                 \
      "Error validating credentials due to invalid username or password.")                         \
    X(TOKEN_REFRESH, 400, "invalid_grant", 9002313,                                                \
      "The refresh token is malformed or was not issued for this client.")                         \
    X(TOKEN_REFRESH_EXPIRED, 400, "invalid_grant", 700082, "The refresh token has expired.")       \
    X(TOKEN_TENANT, 400, "invalid_request", 90002, "Tenant not found. Check the tenant id.")       \
    X(TOKEN_IDENTITY_HEADER, 401, "invalid_client", 7000215,                                       \
      "The X-IDENTITY-HEADER header is missing or wrong.")                                         \
    X(TOKEN_IDENTITY, 400, "invalid_request", 700016,                                              \
      "No managed identity with that id is assigned here.")                                        \
    X(TOKEN_RESOURCE, 400, "invalid_resource", 500011,                                             \
      "The 'resource' parameter is missing or names no resource.")                                 \
    X(TOKEN_INTERNAL, 500, "server_error", 90033, "The identity provider failed.")

enum token_fault {
#define X(name, http, oauth, number, text) name,
    TOKEN_FAULTS(X)
#undef X
    TOKEN_FAULT__COUNT
};

unsigned token_fault_http(enum token_fault f);
const char *token_fault_oauth(enum token_fault f);
unsigned token_fault_number(enum token_fault f);
const char *token_fault_text(enum token_fault f);

/* The error document. correlation_id: of the request; now_ms: wall clock. */
void token_fault_write(enum token_fault f, const char *correlation_id, uint64_t now_ms,
                       struct wr *out);

#endif
