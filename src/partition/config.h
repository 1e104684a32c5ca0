/* What one installation runs: HOME/config.json, written by `keyhold up` on its first run.
 *   {"name":"dev","tenant":"GUID","port":8443,"region":"local","loops":2,"cpus":"0,1",
 *    "metricsPort":9443}
 * loops 0 or absent: one per CPU, at most 4. cpus absent: not pinned. metricsPort 0: any free one,
 * it stands in HOME/run/metrics-port then; absent: no listener for monitoring. */
#ifndef PARTITION_CONFIG_H
#define PARTITION_CONFIG_H

#include "base/bytes.h"

#define CONFIG_NO_METRICS (-1)

struct partition_config {
    char name[25]; /* pool */
    char tenant[37];
    uint16_t port; /* public port of the front door, on 127.0.0.1 and ::1 */
    char region[33];
    unsigned loops;
    char cpus[128];   /* comma separated list, "" when not pinned */
    int metrics_port; /* on 127.0.0.1; 0: any; CONFIG_NO_METRICS: none */
};

/* HSM_E_MALFORMED / HSM_E_IO with text[cap] saying what is wrong and where. */
HSM_MUST_USE hsm_err partition_config_load(const char *path, struct partition_config *ret,
                                           char *text, size_t cap);
/* Written with mode 0600: temporary file, fsync, rename. */
HSM_MUST_USE hsm_err partition_config_store(const char *path, const struct partition_config *c,
                                            char *text, size_t cap);

/* Pool names: 3-24 characters, letters, digits, single hyphens inside, first a letter. */
bool pool_name_valid(const char *name);

#endif
