/* What the pool was created with, from pool.json: for the control origin and the command. The
 * boundary has a strict reader of its own. */
#ifndef FABRIC_IDENTITY_POOL_SETTINGS_H
#define FABRIC_IDENTITY_POOL_SETTINGS_H

#include "base/bytes.h"
#include "base/uuid.h"

#define POOL_ADMINISTRATORS_MAX 10
#define POOL_RETENTION_MIN      7
#define POOL_RETENTION_MAX      90

struct pool_settings {
    int64_t retention_days;
    bool purge_protection;
    char administrator[POOL_ADMINISTRATORS_MAX][UUID_TEXT_LEN + 1]; /* lower case */
    size_t administrator_n;
};

/* HSM_E_MALFORMED. What is not there has its default. */
HSM_MUST_USE hsm_err pool_settings_parse(struct bytes json, struct pool_settings *ret);
/* HSM_E_NOT_FOUND, HSM_E_IO, HSM_E_MALFORMED. */
HSM_MUST_USE hsm_err pool_settings_read(const char *path, struct pool_settings *ret);

#endif
