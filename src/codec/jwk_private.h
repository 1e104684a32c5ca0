/* Private and symmetric keys as JWK (RFC 7517, RFC 7518 §6): bytes to numbers, nothing more.
 * Whether the numbers make a key is decided by whoever takes them. The text and the numbers are
 * secret. Pure, no allocation, thread-safe. */
#ifndef CODEC_JWK_PRIVATE_H
#define CODEC_JWK_PRIVATE_H

#include <stdbool.h>
#include "codec/key_numbers.h"

#define JWK_OPS_MAX     16
#define JWK_K_MAX       64  /* bytes of a symmetric key */
#define JWK_MODULUS_MAX 512 /* bytes of an RSA modulus */
/* Room for all numbers of one key. */
#define JWK_NUMBERS_MAX 4096

struct jwk_private {
    struct bytes kty, crv; /* views into the text */
    struct bytes op[JWK_OPS_MAX];
    size_t op_n;
    bool has_ops;   /* key_ops is there, perhaps empty */
    bool has_other; /* "oth": more than two primes */
    struct key_numbers num;
    struct bytes key_hsm; /* view into the text: a wrapped key instead of numbers */
};

/* secret_buf: room for JWK_NUMBERS_MAX bytes, to which the numbers point. Unknown members are
 * ignored, null counts as absent. On error *ret_member is the member that is wrong, NULL when it is
 * the whole:
 *   HSM_E_MALFORMED  no JSON object, duplicate members; wrong type, no base64url
 *   HSM_E_RANGE      longer than any key has it; too many members */
HSM_MUST_USE hsm_err jwk_private_parse(struct bytes text, uint8_t *secret_buf,
                                       struct jwk_private *ret, const char **ret_member);

#endif
