/* The one table of errors: every failure a function of this project can return, with the HTTP
 * status and the service's error code that a client sees for it. A handler never invents either.
 * Codes and statuses: data-plane error catalogue of the service; rows marked "own" are our choice
 * where the service's answer is not known (docs/PARITY.md). */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/*        name                        http  service code                  default text (no secrets,
 * no trailing period issues: sent to clients) */
#define HSM_ERRORS(X)                                                                              \
    X(HSM_OK, 200, "", "success")                                                                  \
    X(HSM_E_MALFORMED, 400, "BadParameter", "The request is malformed.")                           \
    X(HSM_E_BAD_PARAMETER, 400, "BadParameter", "A parameter of the request is invalid.")          \
    X(HSM_E_INVALID_KEY_ID, 400, "Invalidkeyidentifier", "Invalid key identifier")                 \
    X(HSM_E_CRYPTO, 400, "BadParameter", "The cryptographic input could not be processed.")        \
    X(HSM_E_TOKEN_MISSING, 401, "Unauthorized", "Request is missing a Bearer token.")              \
    X(HSM_E_TOKEN_MALFORMED, 401, "Unauthorized", "Error decoding or parsing JWT components")      \
    X(HSM_E_TOKEN_AUDIENCE, 401, "Unauthorized", "Found token with wrong aud")                     \
    X(HSM_E_TOKEN_NOT_YET, 401, "Unauthorized", "Token not yet valid")                             \
    X(HSM_E_TOKEN_EXPIRED, 401, "Unauthorized", "Token expired")                                   \
    X(HSM_E_TOKEN_ISSUER, 401, "Unauthorized", "Invalid issuer or tenant")                         \
    X(HSM_E_TOKEN_SIGNATURE, 401, "Unauthorized", "Signature validation failed")                   \
    X(HSM_E_DENIED, 403, "AccessDenied", "Not authorized")                                         \
    X(HSM_E_FORBIDDEN, 403, "Forbidden", "The operation is not allowed on this key.")              \
    X(HSM_E_NOT_ACTIVATED, 403, "Forbidden",                                                       \
      "The HSM is not activated. Download the security domain to activate it.")                    \
    X(HSM_E_FIREWALL_ADDRESS, 403, "Forbidden",                                                    \
      "Client address is not authorized and caller is not a trusted service.")                     \
    X(HSM_E_FIREWALL_WAY, 403, "Forbidden",                                                        \
      "Public network access is disabled and request is not from a trusted service nor via an "    \
      "approved private link.")                                                                    \
    X(HSM_E_KEY_NOT_FOUND, 404, "KeyNotFound", "Key not found")                                    \
    X(HSM_E_ROLE_DEFINITION_NOT_FOUND, 404, "RoleDefinitionNotFound",                              \
      "Requested role definition not found")                                                       \
    X(HSM_E_ROLE_ASSIGNMENT_NOT_FOUND, 404, "RoleAssignmentNotFound",                              \
      "Requested role assignment not found")                                                       \
    X(HSM_E_ROLE_ASSIGNMENT_EXISTS, 400, "RoleAssignmentExists",                                   \
      "The role assignment already exists.")                                                       \
    X(HSM_E_MATCHING_ROLE_ASSIGNMENT, 400, "MatchingRoleAssignmentExists",                         \
      "A role assignment with the same role, principal and scope exists.")                         \
    X(HSM_E_BACKUP_BLOB, 400, "MalformedBackupBlob",                                               \
      "Backup blob belongs to a different crypto domain and cannot be used with this instance.")   \
    X(HSM_E_NOT_FOUND, 404, "NotFound", "The requested resource does not exist.")                  \
    X(HSM_E_METHOD, 405, "MethodNotAllowed", "The method is not allowed on this resource.")        \
    X(HSM_E_TIMEOUT, 408, "RequestTimeout", "The request was not received in time.")               \
    X(HSM_E_CONFLICT, 409, "Conflict", "The request conflicts with the current state.")            \
    X(HSM_E_TOO_LARGE, 413, "RequestBodyTooLarge", "The request body is too large.")               \
    X(HSM_E_HEADERS_TOO_LARGE, 431, "RequestHeadersTooLarge",                                      \
      "The request headers are too large.")                                                        \
    X(HSM_E_MISDIRECTED, 421, "MisdirectedRequest", "This server does not serve that host.")       \
    X(HSM_E_THROTTLED, 429, "Throttled",                                                           \
      "Request was not processed because too many requests were received.")                        \
    X(HSM_E_INTERNAL, 500, "InternalServerError", "The service failed to process the request.")    \
    X(HSM_E_NOT_IMPLEMENTED, 501, "NotImplemented",                                                \
      "This operation is not implemented by this server version.")                                 \
    X(HSM_E_NOMEM, 503, "ServiceUnavailable", "The service is out of memory; retry later.")        \
    X(HSM_E_UNAVAILABLE, 503, "ServiceUnavailable", "The service is unavailable; retry later.")    \
    X(HSM_E_DISK_FULL, 503, "ServiceUnavailable",                                                  \
      "The store's disk is full; free space on it and retry.")                                     \
    /* never leave the process that raised them */                                                 \
    X(HSM_E_IO, 500, "InternalServerError", "input/output error")                                  \
    X(HSM_E_CORRUPT, 500, "InternalServerError", "stored data is damaged")                         \
    X(HSM_E_STALE, 409, "Conflict", "a newer revision exists")                                     \
    X(HSM_E_AGAIN, 503, "ServiceUnavailable", "waiting for another party; try again")              \
    X(HSM_E_RANGE, 400, "BadParameter", "value out of range")

typedef enum {
#define X(name, http, code, text) name,
    HSM_ERRORS(X)
#undef X
    HSM_E__COUNT
} hsm_err;

#define HSM_MUST_USE __attribute__((warn_unused_result))
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        hsm_err try_e_ = (expr);                                                                   \
        if (try_e_ != HSM_OK)                                                                      \
            return try_e_;                                                                         \
    } while (0)
#define DEFER(fn) __attribute__((cleanup(fn)))

/* All accept any value, also ones received from another process; unknown ones read as
 * HSM_E_INTERNAL. The strings are static. */
unsigned hsm_err_http(unsigned err);
const char *hsm_err_code(unsigned err);
/* The code inside the code, of the few that have one; NULL: none. */
const char *hsm_err_inner_code(unsigned err);
const char *hsm_err_text(unsigned err);
/* The C name, for logs: "HSM_E_DENIED". */
const char *hsm_err_name(unsigned err);

/* Programming errors end the process: it is restarted, its secret memory goes with it. */
#define HSM_ASSERT(cond)                                                                           \
    do {                                                                                           \
        if (!(cond))                                                                               \
            hsm_assert_failed(#cond, __FILE__, __LINE__);                                          \
    } while (0)
__attribute__((noreturn)) void hsm_assert_failed(const char *cond, const char *file, int line);

#endif
