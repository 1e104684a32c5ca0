/* The provider's RSA-2048 token signing key, kept in DIR/signing.key (PKCS#8 PEM, 0600). It
 * survives restarts, because clients keep tokens on disk until they expire. Thread-safe after
 * loading. */
#ifndef FABRIC_IDENTITY_SIGNING_H
#define FABRIC_IDENTITY_SIGNING_H

#include <openssl/evp.h>
#include "base/bytes.h"
#include "codec/json.h"

#define SIGNING_KID_LEN 43 /* base64url of SHA-256 */

struct signing_key {
    EVP_PKEY *key;
    char kid[SIGNING_KID_LEN + 1]; /* RFC 7638 thumbprint */
    uint8_t n[512];                /* modulus */
    size_t n_len;
    uint8_t e[8]; /* public exponent */
    size_t e_len;
};

/* HSM_E_CORRUPT: the file is there but holds no RSA key of at least 2048 bits. HSM_E_IO. */
HSM_MUST_USE hsm_err signing_load_or_create(const char *dir, struct signing_key *ret);
void signing_done(struct signing_key *s);

/* A JWS in compact form (RS256) over claims, appended to out. */
HSM_MUST_USE hsm_err signing_jwt(const struct signing_key *s, struct bytes claims, struct wr *out);
/* {"keys":[...]} with the one public key. */
void signing_put_jwks(const struct signing_key *s, struct json_wr *j);

#endif
