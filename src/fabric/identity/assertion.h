/* Client assertions (RFC 7521, RFC 7523): a JWT that a client signs with the key of a certificate
 * that its application has registered. Syntax only; what it is worth is decided with the
 * application's certificates at hand. Pure. */
#ifndef FABRIC_IDENTITY_ASSERTION_H
#define FABRIC_IDENTITY_ASSERTION_H

#include "codec/jws.h"

#define ASSERTION_TEXT_MAX 8192
#define ASSERTION_LIFE_S   86400u /* a longer life is refused */
#define ASSERTION_SKEW_S   300u
#define ASSERTION_URL_MAX  512
#define ASSERTION_ID_MAX   128

struct assertion {
    struct jws jws;     /* RS256 or PS256 */
    uint8_t sha1[20];   /* "x5t", or what a "kid" of 40 hex digits says */
    uint8_t sha256[32]; /* "x5t#S256" */
    bool has_sha1, has_sha256;
    char audience[ASSERTION_URL_MAX + 1];
    char issuer[ASSERTION_ID_MAX + 1];  /* equal to "sub" */
    char id[ASSERTION_ID_MAX + 1];      /* "jti"; "" when absent */
    uint64_t not_before_s, not_after_s; /* "nbf" (0 when absent) and "exp"; fractions cut off */
};

/* buf[cap]: cap >= text.n; the result points into text and buf. HSM_E_TOKEN_MALFORMED: no such
 * token, another algorithm, no thumbprint, "iss" and "sub" differ. */
HSM_MUST_USE hsm_err assertion_parse(struct bytes text, uint8_t *buf, size_t cap,
                                     struct assertion *ret);
/* HSM_E_TOKEN_EXPIRED (also when its life is too long), HSM_E_TOKEN_NOT_YET */
HSM_MUST_USE hsm_err assertion_check_time(const struct assertion *a, uint64_t now_s);
/* Is this certificate (DER) the one that the assertion names, and did its key sign?
 * HSM_E_NOT_FOUND: it names another one. HSM_E_TOKEN_SIGNATURE. */
HSM_MUST_USE hsm_err assertion_check_certificate(const struct assertion *a, struct bytes der);

#endif
