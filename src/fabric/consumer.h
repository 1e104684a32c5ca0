/* Resources of services that use a key: what `az` and Terraform need to store a reference to it.
 * They are stored and shown, not run: whether the key exists and the identity may use it is checked
 * by the services themselves, which this version does not have. */
#ifndef FABRIC_CONSUMER_H
#define FABRIC_CONSUMER_H

#include "fabric/arm_type.h"
#include "fabric/key_url.h"

/* consumer_disk.c */
extern const struct arm_type disk_encryption_set_type, disk_type;
/* consumer_sql.c, consumer_sql_key.c */
extern const struct arm_type sql_instance_type, sql_instance_key_type, sql_instance_protector_type;
extern const struct arm_type sql_server_type, sql_server_key_type, sql_server_protector_type;
extern const struct arm_type sql_database_type, sql_database_protector_type;
/* consumer_storage.c */
extern const struct arm_type storage_account_type, storage_scope_type;
fabric_handler storage_check_name;
/* consumer_identity.c */
extern const struct arm_type user_identity_type;
/* consumer_diagnostic.c */
extern const struct arm_type diagnostic_setting_type;
fabric_handler diagnostic_categories;

/* ---- identity of a resource (consumer_identity.c) ---- */

enum identity_kind {
    IDENTITY_NONE = 0,
    IDENTITY_SYSTEM = 1,
    IDENTITY_USER = 2, /* both: 3 */
};
/* Takes "identity" of the body, else keeps the stored one; stages what has to begin or end; writes
 * "identity" into p->top. false: answered. */
bool consumer_identity(struct fabric *f, const struct request *rq, struct arm_put *p,
                       unsigned *ret_kinds, struct answer *a);
/* Is that user-assigned identity one of the resource, after the change? */
bool consumer_has_identity(const struct arm_put *p, const char *id);
/* Hook for types whose system-assigned identity ends with them. */
arm_delete_fn consumer_delete;

/* ---- members (consumer.c) ---- */

/* "properties" member of the body, else of the stored resource (also for PUT when keep). */
struct consumer_value {
    const struct json_doc *d; /* NULL: neither has it */
    uint32_t v;
};
struct consumer_value consumer_get(const struct arm_put *p, const char *name, bool keep);
/* One of words (ended by NULL), any case; *ret is the table's spelling. */
bool consumer_word(const struct json_doc *d, uint32_t obj, const char *name,
                   const char *const *words, const char **ret);
/* A GUID. */
bool consumer_is_guid(const char *text);
/* Everything of the body's properties but those named, then (PATCH) what only the stored one has.
 */
void consumer_merge(const struct arm_put *p, const char *const *except);
/* The value as it stands, with its quotes. */
void consumer_copy(struct json_wr *j, const char *name, struct consumer_value v);
bool consumer_same(struct consumer_value a, struct consumer_value b);

/* 400 KeyVaultPolicyError and false when the pool that the URL names is one of this control plane
 * and its purge protection is off. Of others nothing is known. */
bool consumer_pool_ready(struct fabric *f, const struct key_url *u, struct answer *a);

#endif
