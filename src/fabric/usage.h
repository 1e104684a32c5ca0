/* The meter: what each pool has used, region by region, from provisioning until the purge.
 * Documents of state (STATE_USAGE), staged together with what they are about, so that neither a
 * crash nor a restart loses or doubles anything: POOL/REGION              the pool of that name
 * that is there now:
 *     {"pool","region","resource","provisioned":s,"deleted":s,"sampled":s,"keys":{type:n},
 *      "counter":n}          "deleted" while it is soft-deleted
 *   POOL/REGION/BEGIN        the same of one that is purged, with "purged":s; BEGIN: "provisioned"
 *   POOL/REGION/BEGIN/MONTH  {"keySeconds":{type:n},"operations":n} of the month "2026-11" */
#ifndef FABRIC_USAGE_H
#define FABRIC_USAGE_H

#include "fabric/fabric.h"
#include "model/billing.h"

#define USAGE_KEY_MAX 200

/* ---- for the operations on pools; idempotent, and without a document nothing happens ---- */

/* Provisioning begins: the first thing of create, before anything is ready. resource: ARM id. Does
 * nothing when that pool is metered already. */
void usage_begin(struct changes *c, const char *pool, const char *region, const char *resource,
                 uint64_t now_ms);
/* Soft-deleted, recovered: the hours go on. */
void usage_deleted(struct changes *c, const char *pool, const char *region, uint64_t now_ms);
void usage_recovered(struct changes *c, const char *pool, const char *region);
/* The purge, or an extended region was taken away. */
void usage_end(struct changes *c, const char *pool, const char *region, uint64_t now_ms);

/* ---- for the sampler ---- */

/* So many keys from now on, and the counter of operations as its process has it. Samples that are
 * not newer than the last one do nothing, nor do those that say the same. */
void usage_sample(struct changes *c, const char *pool, const char *region, uint64_t now_ms,
                  const struct key_amounts *keys, uint64_t counter);

/* ---- for the bill ---- */

struct usage_pool {
    char pool[32], region[64];
    char resource[STATE_KEY_MAX + 1];
    uint64_t provisioned_s, deleted_s, purged_s, sampled_s; /* 0: not */
    struct key_amounts keys;                                /* of the last sample */
    uint64_t counter;
};
/* HSM_E_CORRUPT: not the document of a pool. */
HSM_MUST_USE hsm_err usage_read(const struct document *d, struct usage_pool *ret);
/* Every pool that ever was, in the order of its key, until fn returns false. */
typedef bool usage_each_fn(void *ctx, const struct usage_pool *p);
void usage_each(const struct state *s, usage_each_fn *fn, void *ctx);
/* Keys and operations of one within the month of p. Keys of the last sample count until now_s. */
void usage_of_month(const struct state *s, const struct usage_pool *u, struct period p,
                    uint64_t now_s, struct usage *ret);

#endif
