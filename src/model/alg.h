/* Key types, curves, operations and algorithms: names on the wire of the service and the rules
 * which of them fit together. Pure tables. */
#ifndef MODEL_ALG_H
#define MODEL_ALG_H

#include <stdbool.h>
#include <stdint.h>
#include "base/bytes.h"

enum key_type {
    KTY_NONE,
    KTY_RSA,
    KTY_EC,
    KTY_OCT
};
enum key_curve {
    CRV_NONE,
    CRV_P256,
    CRV_P256K,
    CRV_P384,
    CRV_P521
};
enum key_op {
    KEY_OP_ENCRYPT = 1u << 0,
    KEY_OP_DECRYPT = 1u << 1,
    KEY_OP_SIGN = 1u << 2,
    KEY_OP_VERIFY = 1u << 3,
    KEY_OP_WRAP = 1u << 4,
    KEY_OP_UNWRAP = 1u << 5,
    KEY_OP_IMPORT = 1u << 6,
    KEY_OP_EXPORT = 1u << 7,
    KEY_OP_DERIVE = 1u << 8,
    KEY_OP__ALL = (1u << 9) - 1,
};
enum crypto_alg {
    ALG_NONE,
    ALG_RSA1_5,
    ALG_RSA_OAEP,
    ALG_RSA_OAEP_256,
    ALG_A128GCM,
    ALG_A192GCM,
    ALG_A256GCM,
    ALG_A128CBC,
    ALG_A192CBC,
    ALG_A256CBC,
    ALG_A128CBCPAD,
    ALG_A192CBCPAD,
    ALG_A256CBCPAD,
    ALG_A128KW,
    ALG_A192KW,
    ALG_A256KW,
    ALG_A128KWPAD,
    ALG_A192KWPAD,
    ALG_A256KWPAD,
    ALG_CKM_AES_KEY_WRAP,
    ALG_CKM_AES_KEY_WRAP_PAD,
    ALG_RS256,
    ALG_RS384,
    ALG_RS512,
    ALG_PS256,
    ALG_PS384,
    ALG_PS512,
    ALG_RSNULL,
    ALG_ES256,
    ALG_ES256K,
    ALG_ES384,
    ALG_ES512,
    ALG_HS256,
    ALG_HS384,
    ALG_HS512,
    ALG__COUNT
};
enum recovery_level {
    RECOVERY_90,
    RECOVERY_90_PURGEABLE,
    RECOVERY_CUSTOM,
    RECOVERY_CUSTOM_PURGEABLE
};

/* Names as sent ("RSA", "RSA-HSM", "EC", "EC-HSM", "oct", "oct-HSM", "AES", ...; exact case);
 * KTY_NONE when unknown. */
enum key_type key_type_from_name(struct bytes name);
const char *key_type_name(enum key_type t);            /* "RSA-HSM", "EC-HSM", "oct-HSM" */
enum key_curve key_curve_from_name(struct bytes name); /* also "SECP256K1" */
const char *key_curve_name(enum key_curve c);          /* "P-256", "P-256K", ... */
unsigned key_curve_width(enum key_curve c);            /* bytes of a coordinate: 32, 32, 48, 66 */
uint32_t key_op_from_name(struct bytes name);          /* 0 when unknown */
/* Names in the order they are written; walk bits 0.. with key_op_name(1u << i). */
const char *key_op_name(uint32_t single_bit);
uint32_t key_default_ops(enum key_type t);
/* Operations that a key of that type and size can have: an oct key that is no AES key does not
 * encrypt and wrap. */
uint32_t key_possible_ops(enum key_type t, uint32_t bits);
enum crypto_alg crypto_alg_from_name(struct bytes name); /* exact case; ALG_NONE when unknown */
const char *crypto_alg_name(unsigned alg);
const char *recovery_level_name(unsigned level);

/* Whether an algorithm can do the operation (one KEY_OP bit) with a key of that type, curve and
 * size in bits: HSM_OK, or HSM_E_BAD_PARAMETER with *why a short static reason for the client. */
HSM_MUST_USE hsm_err crypto_alg_fits(unsigned alg, uint32_t op, enum key_type t, enum key_curve c,
                                     uint32_t bits, const char **why);
/* Operations that take so long that they go to the slow pool: RSA >= 3072 private operations. */
bool crypto_is_slow(uint32_t op, enum key_type t, uint32_t bits);

/* Valid key name: 1-127 of [0-9a-zA-Z-]. */
bool key_name_valid(struct bytes name);

#endif
