/* What the control origin can say about the pool, from files beside its own directory: the settings
 * the pool was created with (../pool.json) and its state (../run/pool-state, one word). What is not
 * there is left out of the answer. */
#ifndef FABRIC_POOL_INFO_H
#define FABRIC_POOL_INFO_H

#include "fabric/identity/pool_settings.h"

struct pool_info {
    bool has_settings;
    struct pool_settings settings;
    bool has_state, active;
};

void pool_info_read(const char *home, struct pool_info *ret);
/* The same of a pool in ../pools/NAME, where only its state is; NULL: as pool_info_read(). */
void pool_info_read_pool(const char *home, const char *name, struct pool_info *ret);

#endif
