/* JWS compact serialisation (RFC 7515) and JWK sets (RFC 7517): parsing only decides syntax,
 * verification takes a key and an algorithm that was allowed for that key beforehand. */
#ifndef CODEC_JWS_H
#define CODEC_JWS_H

#include <openssl/evp.h>
#include "base/bytes.h"

#define JWS_TEXT_MAX  16384
#define JWS_KID_MAX   128
#define JWKS_KEYS_MAX 16
#define JWKS_TEXT_MAX 65536

enum jws_alg {
    JWS_NONE,
    JWS_RS256,
    JWS_PS256,
    JWS_ES256
};

/* All views point into the caller's text or into buf. */
struct jws {
    enum jws_alg alg;
    char kid[JWS_KID_MAX + 1]; /* "" when absent */
    struct bytes signed_part;  /* header.payload as sent */
    struct bytes payload;      /* decoded JSON text */
    struct bytes signature;    /* decoded */
};

/* Split and decode; header: exactly one alg of the enum, no "crit", duplicates refused.
 * buf[cap] receives the decoded parts (cap >= text.n suffices). HSM_E_TOKEN_MALFORMED. */
HSM_MUST_USE hsm_err jws_parse(struct bytes text, uint8_t *buf, size_t cap, struct jws *ret);

/* Verify with a public key whose type fits the algorithm: RS256/PS256 RSA >= 2048 bits, ES256
 * P-256 (raw r||s, 64 bytes). HSM_E_TOKEN_SIGNATURE otherwise. */
HSM_MUST_USE hsm_err jws_verify(const struct jws *j, EVP_PKEY *key);

struct jwk_public {
    char kid[JWS_KID_MAX + 1];
    enum jws_alg only_alg; /* JWS_NONE: any that fits the key type */
    EVP_PKEY *key;         /* owned */
};
struct jwks {
    struct jwk_public key[JWKS_KEYS_MAX];
    size_t n;
};
/* Keys that are not for signatures or of unknown type are skipped; a damaged set is refused whole.
 * An RSA key without n is taken from the first certificate of its x5c. */
HSM_MUST_USE hsm_err jwks_parse(struct bytes text, struct jwks *ret);
void jwks_done(struct jwks *s);
/* By kid; NULL when absent. */
const struct jwk_public *jwks_find(const struct jwks *s, const char *kid);

/* Public keys from raw big-endian numbers; NULL when they are no valid key. */
EVP_PKEY *jwk_rsa_public(struct bytes n, struct bytes e);
EVP_PKEY *jwk_ec_public(const char *group, struct bytes x, struct bytes y);

/* ECDSA signature DER <-> raw r||s of 2*width bytes. */
HSM_MUST_USE hsm_err ecdsa_der_to_raw(struct bytes der, size_t width, uint8_t *raw);
HSM_MUST_USE hsm_err ecdsa_raw_to_der(struct bytes raw, size_t width, uint8_t *der, size_t cap,
                                      size_t *ret_len);

#endif
