/* Handlers of the key commands, and what they share. */
#ifndef BOUNDARY_KEYS_H
#define BOUNDARY_KEYS_H

#include "boundary/boundary.h"

hsm_err keys_handle_create(struct request *rq);
hsm_err keys_handle_import(struct request *rq);
hsm_err keys_handle_backup(struct request *rq);
hsm_err keys_handle_restore(struct request *rq);
hsm_err keys_handle_get(struct request *rq);
hsm_err keys_handle_list(struct request *rq);
hsm_err keys_handle_versions(struct request *rq);
hsm_err keys_handle_update(struct request *rq);
hsm_err keys_handle_delete(struct request *rq);
hsm_err keys_handle_deleted_get(struct request *rq);
hsm_err keys_handle_deleted_list(struct request *rq);
hsm_err keys_handle_recover(struct request *rq);
hsm_err keys_handle_purge(struct request *rq);
hsm_err keys_handle_crypto(struct request *rq);
hsm_err keys_handle_rotation_get(struct request *rq);
hsm_err keys_handle_rotation_put(struct request *rq);
hsm_err keys_handle_rotate(struct request *rq);

hsm_err sd_handle_download(struct request *rq);
hsm_err sd_handle_status(struct request *rq);

struct jwk_private;
/* The wrapped key of an import, and the opened key exchange key it names. Nothing is unwrapped yet.
 */
HSM_MUST_USE hsm_err keys_take_transfer(struct request *rq, const struct jwk_private *jwk,
                                        struct made_key *made);
/* The usable key of a version, out of its seal when it is not among the opened ones. */
HSM_MUST_USE hsm_err keys_open_version(struct request *rq, const struct key_version *v,
                                       struct keymat **ret);
/* Key of a name, or HSM_E_KEY_NOT_FOUND with the service's text. */
HSM_MUST_USE hsm_err keys_find(struct request *rq, struct bytes name, bool deleted,
                               struct key **ret);
/* version: text of the request, empty for the current one. */
HSM_MUST_USE hsm_err keys_find_version(struct request *rq, const struct key *k, struct bytes name,
                                       struct bytes version, struct key_version **ret);
hsm_err keys_not_found(struct request *rq, bool deleted, struct bytes name, struct bytes version);
/* Result of an operation on a version. short_form: as in lists. */
void keys_put_result(struct request *rq, const struct key *k, const struct uuid *id,
                     const struct version_fields *f, bool short_form, struct wr *out);
/* 15 tags, 256 characters each. */
HSM_MUST_USE hsm_err keys_check_tags(struct request *rq, struct bytes tags);

/* What a new version has besides the key itself. */
struct new_version {
    struct bytes name; /* of the key, valid; as the client wrote it */
    uint32_t ops;
    uint8_t attr_set, attr_flags;
    uint64_t nbf, exp;
    struct bytes tags;
    struct bytes policy; /* canonical; empty unless it is exportable */
    bool policy_immutable;
};
/* Room for one more version of that key, which may be new. *ret: the key, or NULL. */
HSM_MUST_USE hsm_err keys_check_new(struct request *rq, struct bytes name, const struct key **ret);
/* No key has that name, and there is room for one more. */
HSM_MUST_USE hsm_err keys_check_absent(struct request *rq, struct bytes name);
/* Records of the new version of k (NULL: a new key) in the request's transaction, and its answer.
 */
HSM_MUST_USE hsm_err keys_put_new(struct request *rq, const struct key *k,
                                  const struct new_version *v, const struct made_key *made);
/* Canonical text of a release policy. */
struct policy_text {
    uint8_t *p;
    size_t n;
};
void policy_text_done(struct policy_text *t);
/* Of a new version: exportable keys and no others have one. */
HSM_MUST_USE hsm_err keys_take_policy(struct request *rq, bool exportable, struct bytes given,
                                      struct policy_text *ret);
/* Change f as an update asks for; f->policy may then point into *ret. */
HSM_MUST_USE hsm_err keys_change_policy(struct request *rq, const struct wire_key_update *m,
                                        struct version_fields *f, struct policy_text *ret);
/* Room for one more version of k. */
HSM_MUST_USE hsm_err keys_check_room(struct request *rq, const struct key *k);
/* Ask for a key by that specification: it is made without the state lock, then the handler runs
 * again. */
HSM_MUST_USE hsm_err keys_ask_for(struct request *rq, const struct keymat_spec *spec);
/* The body is the name of a key: rotate it if that is due. HSM_E_STALE: it is not. Lock held. */
HSM_MUST_USE hsm_err keys_rotate_if_due(struct request *rq);

/* Record changes. */
/* The private part goes from secret memory into its sealed form and nowhere else. */
HSM_MUST_USE hsm_err keys_put_made(struct request *rq, const struct uuid *id,
                                   const struct made_key *made, const struct version_fields *f);
HSM_MUST_USE hsm_err keys_put_key(struct request *rq, struct bytes name,
                                  const struct key_fields *f);
HSM_MUST_USE hsm_err keys_put_version(struct request *rq, const struct uuid *id,
                                      const struct version_fields *f, struct bytes tail);
/* txn_put with a tail; see seal_record.h. */
HSM_MUST_USE hsm_err txn_put_tailed(struct request *rq, enum record_kind kind, struct bytes name,
                                    struct bytes plain, struct bytes tail);
HSM_MUST_USE hsm_err txn_purge(struct request *rq, const struct key *k);
/* Add the removal of a key and all its versions. Lock held. */
HSM_MUST_USE hsm_err keys_txn_purge(struct txn *t, struct state *s, struct seal_ctx *sc,
                                    const struct key *k);

#endif
