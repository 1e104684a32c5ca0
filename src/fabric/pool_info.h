/* What the control origin can say about the pool, from files beside its own directory: the settings
 * the pool was created with (../pool.json) and its state (../run/pool-state, one word). What is not
 * there is left out of the answer. */
#ifndef FABRIC_POOL_INFO_H
#define FABRIC_POOL_INFO_H

#include "base/uuid.h"
#include "codec/json.h"

#define POOL_ADMINISTRATORS_MAX 16

struct pool_info {
    bool has_settings;
    int64_t retention_days;
    bool purge_protection;
    char administrator[POOL_ADMINISTRATORS_MAX][UUID_TEXT_LEN + 1];
    size_t administrator_n;
    bool has_state, active;
};

void pool_info_read(const char *home, struct pool_info *ret);
/* Settings of pool.json's text. HSM_E_MALFORMED. */
HSM_MUST_USE hsm_err pool_settings_parse(struct bytes json, struct pool_info *ret);
/* Members of the resource's "properties". */
void pool_info_put(struct json_wr *j, const struct pool_info *p);

#endif
