/* Structs and codecs of the boundary's command set, generated from messages.def.
 *   struct wire_X            decoded message; views point into the decoded buffer
 *   wire_X_get(&rd, &x)      reads one from the cursor, moves it
 *   wire_X_decode(bytes, &x) the whole input must be that message (leftovers: HSM_E_MALFORMED)
 *   wire_X_put(&wr, &x)      appends; overflow shows in wr_ok()
 * Pure, no allocation, thread-safe. */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "base/bytes.h"
#include "base/uuid.h"
#include "wire/messages.def"

#define WIRE_VERSION 1u

enum wire_type {
    WIRE_TYPE_NONE = 0,
#define O(op, req, res, name, http) op,
    WIRE_OPS(O)
#undef O
    WIRE_OP__END,
    WIRE_CTL__BASE = 128,
#define C(ctl, msg) ctl,
    WIRE_CONTROLS(C)
#undef C
    WIRE_TYPE__END,
    WIRE_ANSWER = 255, /* WIRE_RESULT to the request with the same id */
};

enum wire_attr {
    ATTR_ENABLED = 1,
    ATTR_EXPORTABLE = 2,
    ATTR_NBF = 4, /* attr_set only */
    ATTR_EXP = 8, /* attr_set only */
};
/* Whether a request says that the release policy is immutable; records have 0 or 1. */
enum wire_policy_immutable {
    POLICY_IMMUTABLE_NONE, /* nothing */
    POLICY_IMMUTABLE_ON,
    POLICY_IMMUTABLE_OFF
};
enum {
    CRYPTO_HAS_IV = 1,
    CRYPTO_HAS_AAD = 2,
    CRYPTO_HAS_TAG = 4
};
enum wire_role_filter {
    ROLE_FILTER_NONE,
    ROLE_FILTER_AT_SCOPE,
    ROLE_FILTER_PRINCIPAL
};
enum sd_status {
    SD_NONE,
    SD_IN_PROGRESS,
    SD_SUCCESS,
    SD_FAILED
};
enum pool_state {
    POOL_NEW,
    POOL_NOT_ACTIVATED,
    POOL_ACTIVE
};

#define WIRE_STRUCT_u8(name)               uint8_t name;
#define WIRE_STRUCT_u16(name)              uint16_t name;
#define WIRE_STRUCT_u32(name)              uint32_t name;
#define WIRE_STRUCT_u64(name)              uint64_t name;
#define WIRE_STRUCT_id(name)               struct uuid name;
#define WIRE_STRUCT_bytes(name)            struct bytes name;
#define WIRE_STRUCT_secret(name)           struct bytes name;
#define WIRE_STRUCT_list(name)             struct bytes name;
#define WIRE_STRUCT_FIELD(kind, name, max) WIRE_STRUCT_##kind(name)

/* An empty message still needs a member in C. */
#define WIRE_DECLARE(name, FIELDS)                                                                 \
    struct wire_##name {                                                                           \
        FIELDS(WIRE_STRUCT_FIELD)                                                                  \
        uint8_t end_;                                                                              \
    };                                                                                             \
    HSM_MUST_USE hsm_err wire_##name##_get(struct rd *r, struct wire_##name *ret);                 \
    HSM_MUST_USE hsm_err wire_##name##_decode(struct bytes in, struct wire_##name *ret);           \
    void wire_##name##_put(struct wr *w, const struct wire_##name *m);
WIRE_STRUCTS(WIRE_DECLARE)

/* Item by item through a list field: true and *ret set, or false at the end. A list that came out
 * of a decoder is well formed. */
bool wire_list_next(struct bytes *list, struct bytes *ret);
/* Check the framing of a list (decoders do). */
HSM_MUST_USE hsm_err wire_list_check(struct bytes list);

struct wire_op_info {
    const char *audit_name; /* operationName of the audit record */
    unsigned success;       /* HTTP status */
};
/* NULL when type is not a client operation. */
const struct wire_op_info *wire_op_info(unsigned type);
/* For logs: "OP_KEY_CREATE"; "?" when unknown. */
const char *wire_type_name(unsigned type);

#endif
