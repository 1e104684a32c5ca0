/* Keys and key versions in memory, and the bodies of their records. Private parts stay sealed
 * (struct key_version holds the sealed bytes as they came); everything here is public metadata.
 * The state's lock protects the objects. */
#ifndef BOUNDARY_KEY_RECORD_H
#define BOUNDARY_KEY_RECORD_H

#include "base/bytes.h"
#include "base/uuid.h"
#include "model/key.h"
#include "model/rotation.h"
#include "wire/wire.h"

#define KEY_NAME_MAX 127u
#define VERSION_HEX  32u

struct key_version;
struct key_rotation;

/* Body of a REC_KEY record; the record's name is the canonical (lower-case) key name. */
struct key_fields {
    struct bytes display; /* as created */
    uint64_t created;
    uint64_t deleted_date; /* 0: active */
    uint64_t purge_date;
    uint32_t next_seq; /* number of the next version */
    bool has_rotation; /* a policy is set */
    struct rotation rotation;
};
void key_fields_encode(const struct key_fields *f, struct wr *w);
HSM_MUST_USE hsm_err key_fields_decode(struct bytes body, struct key_fields *ret);

/* Body of a REC_KEY_VERSION record; the record's name is the version id in hex. */
struct version_fields {
    struct bytes key; /* canonical key name */
    uint32_t seq;     /* order of creation within the key */
    uint8_t kty, crv;
    uint8_t attr_set, attr_flags; /* enum wire_attr */
    uint8_t policy_immutable;
    uint32_t bits, ops;
    uint64_t nbf, exp, created, updated;
    struct bytes n, e, x, y;
    struct bytes tags; /* list of WIRE_TAG */
    struct bytes policy;
};
void version_fields_encode(const struct version_fields *f, struct wr *w);
HSM_MUST_USE hsm_err version_fields_decode(struct bytes body, struct version_fields *ret);

/* One allocation: header and all variable parts. */
struct key_version {
    struct uuid id;
    struct key *key;
    uint64_t nbf, exp, created, updated;
    uint32_t seq, bits, ops;
    uint32_t tags_n, policy_n, private_n;
    uint16_t n_n;
    uint8_t e_n, x_n, y_n;
    uint8_t kty, crv, attr_set, attr_flags, policy_immutable;
    uint8_t data[]; /* n e x y tags policy private */
};
HSM_MUST_USE hsm_err key_version_new(const struct uuid *id, const struct version_fields *f,
                                     struct bytes sealed_private, struct key_version **ret);
/* Views into v; valid as long as v. key must be set. */
void key_version_fields(const struct key_version *v, struct version_fields *ret);
struct bytes key_version_private(const struct key_version *v);
struct key_window key_version_window(const struct key_version *v);
void version_hex(const struct uuid *id, char dst[VERSION_HEX + 1]);

#define KEY_LEVELS_MAX 12
struct key {
    struct key_version **version; /* by seq */
    uint64_t created, deleted_date, purge_date;
    uint32_t next_seq;
    uint16_t version_n, version_cap;
    struct key_rotation *rotation; /* owned; NULL: no policy (key_rotation.h) */
    bool has_record;               /* false: only versions were seen so far (loading) */
    uint8_t name_n;
    uint8_t levels; /* of the skip list */
    char *display;  /* behind next[]; not terminated */
    struct key *next[];
};
static inline struct bytes key_display(const struct key *k)
{
    return bytes_of(k->display, k->name_n);
}
static inline bool key_is_deleted(const struct key *k)
{
    return k->deleted_date != 0;
}
static inline struct key_version *key_current(const struct key *k)
{
    return k->version_n == 0 ? NULL : k->version[k->version_n - 1];
}
/* As the key's record is now: what a handler changes, and keeps the rest of. */
void key_fields_of(const struct key *k, struct key_fields *ret);
struct key_version *key_find_version(const struct key *k, const struct uuid *id);
HSM_MUST_USE hsm_err key_attach(struct key *k, struct key_version *v);
void key_detach(struct key *k, struct key_version *v);

/* Lower-case ASCII copy. name.n <= KEY_NAME_MAX. */
struct bytes key_canonical(struct bytes name, char dst[KEY_NAME_MAX + 1]);

/* Keys in the order of their canonical names (a skip list). */
struct key_index {
    struct key *head[KEY_LEVELS_MAX];
    uint64_t n;
    uint64_t random; /* state of the level generator */
};
struct key *key_index_find(const struct key_index *x, struct bytes name);
/* First key whose name is after that one; "" gives the first. */
struct key *key_index_after(const struct key_index *x, struct bytes name);
void key_index_insert(struct key_index *x, struct key *k); /* name must be absent */
void key_index_remove(struct key_index *x, struct key *k);
/* A key that belongs to no index yet. levels are drawn from x. */
HSM_MUST_USE hsm_err key_new(struct key_index *x, struct bytes display, struct key **ret);
void key_free(struct key *k); /* not its versions; in no index any more */

#endif
