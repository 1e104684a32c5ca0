/* Managed HSMs as resources: Microsoft.KeyVault/managedHSMs and what belongs to it. */
#ifndef FABRIC_HSM_H
#define FABRIC_HSM_H

#include "fabric/arm_type.h"

#define HSM_TYPE       "Microsoft.KeyVault/managedHSMs"
#define HSM_NAME_MAX   24
#define HSM_ADMINS_MAX 10
#define HSM_PER_REGION 5
#define HSM_PLACE_MAX  63

extern const struct arm_type hsm_type, hsm_connection_type;
/* Every region name that a pool can be asked for in. */
extern const char *const hsm_regions[];
extern const size_t hsm_regions_n;

/* ---- names and places: STATE_POOL, key: name in lower case ---- */

/* Who has a name, from the acceptance of its creation until the purge. */
struct hsm_pool {
    char name[HSM_NAME_MAX + 1]; /* as created */
    char id[ARM_ID_MAX + 1];     /* of the resource, spelled as created */
    char location[HSM_PLACE_MAX + 1];
    char node[NODE_NAME_MAX + 1]; /* where it runs */
    bool first;                   /* that of `keyhold up` */
    bool deleted;                 /* soft-deleted */
    uint64_t created_ms;
};
/* false: the name is free. Any case. */
bool hsm_pool_find(const struct fabric *f, struct bytes name, struct hsm_pool *ret);
void hsm_pool_stage(struct changes *c, const struct hsm_pool *p);
void hsm_pool_stage_free(struct changes *c, const char *name);
bool hsm_name_is_valid(struct bytes name);
bool hsm_region_is_known(const struct fabric *f, const char *name);

/* The node for a new pool: one of the region that is up; the embedded one for its own region and
 * for every known name of which there is no node. false: answered. */
bool hsm_place(struct fabric *f, const char *location, char ret_node[NODE_NAME_MAX + 1],
               struct answer *a);

/* ---- soft-deleted ones: STATE_DELETED_HSM, key: location/name in lower case ---- */

struct hsm_deleted {
    struct hsm_pool pool;
    uint64_t deleted_ms, purge_ms;
    bool protected, purging;
    struct json_doc json; /* the document; "resource" in it is what was deleted */
    struct json_tok tok[ARM_TOKENS_MAX];
};
bool hsm_deleted_find(const struct fabric *f, struct bytes location, struct bytes name,
                      struct hsm_deleted *ret);
/* Move a resource there: stages the document, the pool's mark, and the end of the resource. */
bool hsm_deleted_stage(struct fabric *f, struct changes *c, const struct hsm_pool *p,
                       const struct arm_resource *r, uint64_t now_ms);
/* Its end, and that of its system-assigned identity. */
void hsm_deleted_stage_end(struct fabric *f, struct changes *c, const struct hsm_pool *p);
fabric_handler hsm_deleted_list, hsm_deleted_get, hsm_deleted_purge, hsm_name_check;
/* Starts purges that are due. */
operations_look_fn hsm_deleted_look;

/* ---- a stored resource ---- */

/* Stage it with another provisioningState, and statusMessage when message is not NULL. */
void hsm_stage_state(struct fabric *f, struct changes *c, const char *key, const char *state,
                     const char *message);
/* Is something being done with it? */
bool hsm_is_busy(const struct json_doc *resource);
bool hsm_conflict(struct answer *a, const char *name);
/* Retention and purge protection of a resource; what it does not say, the pool's file does. */
void hsm_protection(const struct fabric *f, const struct hsm_pool *p, const struct json_doc *r,
                    int64_t *ret_days, bool *ret_protected);

/* Keys through Resource Manager: not here, and nothing says otherwise. */
fabric_handler hsm_keys_refused;

#define HSM_ALLOCATING "Resource creation in progress. Allocating hardware..."
#define HSM_STARTING   "Resource creation in progress. Starting service..."
#define HSM_READY      "The Managed HSM is provisioned and ready to use."

/* ---- private endpoint connections; for the endpoints themselves ---- */

/* Stage a new connection of an HSM. status: "Approved" or "Pending". false: there is no such HSM or
 * the id does not fit. The HSM's gateways learn of it by an operation that is started as well. */
bool hsm_connection_make(struct fabric *f, const struct request *rq, struct bytes hsm_id,
                         const char *name, const char *endpoint_id, const char *status,
                         const char *description);
/* The endpoint goes: so does its connection. Fine when there is none. */
void hsm_connection_end(struct fabric *f, const struct request *rq, struct bytes hsm_id,
                        const char *name);

/* What the gateways of a pool and its listeners call a private endpoint: its id in lower case, or a
 * digest of that when it is longer than 200 bytes. */
#define HSM_ENDPOINT_ID_MAX 200
void hsm_endpoint_id(struct bytes endpoint_id, char dst[HSM_ENDPOINT_ID_MAX + 1]);

/* ---- operations (hsm_operation.c) ---- */

#define HSM_OP_CREATE     "hsm.create"
#define HSM_OP_UPDATE     "hsm.update"
#define HSM_OP_DELETE     "hsm.delete"
#define HSM_OP_RECOVER    "hsm.recover"
#define HSM_OP_PURGE      "hsm.purge"
#define HSM_OP_CONNECTION "hsm.connection"
HSM_MUST_USE hsm_err hsm_operations(struct operations *o);

/* Lines for a node (hsm_node.c). false: does not fit. */
bool hsm_node_line(struct wr *w, const char *op, const char *name);
bool hsm_node_make(struct fabric *f, struct wr *w, const struct hsm_pool *p,
                   const struct json_doc *resource);
bool hsm_node_configure(struct fabric *f, struct wr *w, const struct hsm_pool *p,
                        const struct json_doc *resource);

/* When the state is there: what an installation begins with, that is its owners, the first group,
 * the first pool as a resource. Nothing when that was done before. */
void hsm_adopt(struct fabric *f);
/* The same, when it could not be committed then. */
operations_look_fn hsm_adopt_look;
/* Until then nobody has any right. */
bool hsm_is_adopted(const struct fabric *f);

#endif
