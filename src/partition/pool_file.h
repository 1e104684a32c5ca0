/* pool.json, which the boundary reads when it makes a pool. */
#ifndef PARTITION_POOL_FILE_H
#define PARTITION_POOL_FILE_H

#include "base/bytes.h"
#include "base/uuid.h"

#define POOL_FILE_ADMINISTRATORS_MAX 10

struct pool_file {
    const char *name, *tenant;
    char administrator[POOL_FILE_ADMINISTRATORS_MAX][UUID_TEXT_LEN + 1];
    size_t administrator_n;
    int64_t retention_days;
    bool purge_protection;
    uint16_t port;        /* of the installation, for its issuer */
    struct bytes roots;   /* PEM of its CA */
    struct bytes issuers; /* more of them: JSON objects with commas between them; may be empty */
};
/* Written with mode 0600: temporary file, fsync, rename. */
HSM_MUST_USE hsm_err pool_file_store(const char *path, const struct pool_file *p);

#endif
