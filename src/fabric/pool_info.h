/* What the control origin can say about the pool, from files beside its own directory: the settings
 * the pool was created with (../pool.json) and its state (../run/pool-state, one word). What is not
 * there is left out of the answer. */
#ifndef FABRIC_POOL_INFO_H
#define FABRIC_POOL_INFO_H

#include "codec/json.h"
#include "fabric/identity/pool_settings.h"

struct pool_info {
    bool has_settings;
    struct pool_settings settings;
    bool has_state, active;
};

void pool_info_read(const char *home, struct pool_info *ret);
/* Members of the resource's "properties". */
void pool_info_put(struct json_wr *j, const struct pool_info *p);

#endif
