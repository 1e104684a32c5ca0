/* Rules about one key version: when it may be used. Time is a parameter. */
#ifndef MODEL_KEY_H
#define MODEL_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "model/alg.h"

#define KEY_CLOCK_LEEWAY_S 300u
#define KEY_TAGS_MAX       15
#define KEY_TAG_TEXT_MAX   256
#define KEY_VERSIONS_MAX   100
#define KEYS_MAX_DEFAULT   5000

struct key_window {
    bool enabled;
    bool has_nbf, has_exp;
    uint64_t nbf, exp; /* Unix seconds */
    uint32_t ops;      /* KEY_OP bits the version permits */
};
/* HSM_OK, or HSM_E_FORBIDDEN with *why: disabled; operation not in key_ops; outside nbf/exp for
 * everything but decrypt, unwrap, verify (old data stays readable). */
HSM_MUST_USE hsm_err key_may_use(const struct key_window *k, uint32_t op, uint64_t now_s,
                                 const char **why);

/* Requested operations of a new or updated key: known bits only; import excludes every other and
 * is for RSA only. */
HSM_MUST_USE hsm_err key_ops_valid(uint32_t ops, enum key_type t, const char **why);

/* What is told when key_possible_ops() does not have all of them. */
#define KEY_OPS_SIZE_TEXT                                                                          \
    "An oct key of this size is for HMAC: it cannot encrypt, decrypt, wrapKey or unwrapKey."

enum recovery_level key_recovery_level(unsigned retention_days, bool purge_protection);

#endif
