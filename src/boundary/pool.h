/* The pool record: name, tenant, rules, activation; and pool.json, from which the genesis
 * transaction makes it. Pure codecs; see docs/boundary.md for the JSON form. */
#ifndef BOUNDARY_POOL_H
#define BOUNDARY_POOL_H

#include "base/bytes.h"
#include "base/uuid.h"
#include "boundary/peer_policy.h"
#include "wire/wire.h"

#define POOL_NAME_MAX     24u
#define POOL_RESOURCE_MAX 512u
#define POOL_ADMINS_MAX   10u
#define POOL_JSON_MAX     131072u
#define POOL_PREPARED_MAX 64u

struct pool_info {
    char name[POOL_NAME_MAX + 1];
    char tenant[UUID_TEXT_LEN + 1];
    char resource_id[POOL_RESOURCE_MAX + 1]; /* of the control plane; upper case in audit records */
    enum pool_state state;
    uint8_t retention_days;
    bool purge_protection;
    uint32_t max_keys;
    uint64_t created;   /* Unix seconds */
    uint8_t *auth_json; /* owned */
    size_t auth_json_n;
};
void pool_info_done(struct pool_info *p);
void pool_info_encode(const struct pool_info *p, struct wr *w);
HSM_MUST_USE hsm_err pool_info_decode(struct bytes body, struct pool_info *ret);

struct pool_init {
    struct pool_info info; /* state POOL_NOT_ACTIVATED, created 0 */
    char admin[POOL_ADMINS_MAX][65];
    unsigned admin_n;
    unsigned prepared[3];     /* RSA keys to keep ready: 2048, 3072, 4096 bits */
    struct peer_policy peers; /* which other boundaries may have the root secrets */
};
/* Strict: unknown members, wrong types and ranges are HSM_E_BAD_PARAMETER with why[cap]. */
HSM_MUST_USE hsm_err pool_init_parse(struct bytes json, struct pool_init *ret, char *why,
                                     size_t cap);
void pool_init_done(struct pool_init *p);

#endif
