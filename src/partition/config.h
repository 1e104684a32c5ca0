/* What one installation runs: HOME/config.json, written by `keyhold up` on its first run.
 *   {"name":"dev","tenant":"GUID","port":8443,"region":"local","loops":2,"cpus":"0,1",
 *    "metricsPort":9443,"seal":"tpm2","evidence":"tpm2",
 *    "partitions":[{"number":0,"peer":"127.0.0.1:21001","rack":"a","joined":true}, ...],
 *    "nextPartition":3,
 *    "local":[0],"listen":"10.0.0.1:8443","fabric":false,"issuer":"10.0.0.9:8443"}
 * loops 0 or absent: the CPUs are shared out, at most 4 for a partition. cpus absent: not pinned.
 * metricsPort 0: any free one, it stands in HOME/run/metrics-port then; absent: no listener for
 * monitoring. seal: what the boundaries are told of their seal provider; absent: a file. evidence:
 * what they show to each other, "software" or "tpm2[:TCTI]"; absent: software.
 * partitions absent: one, number 0, without a link to peers. With more than one each has its
 * address for the others. joined: it was ready once, so that an empty directory of it is a loss.
 * replaces: a number that is still there but has to go.
 * nextPartition: numbers are never used again.
 * Of a pool on several hosts: local are those that run here (absent: all); listen is an address for
 * clients besides loopback; without a fabric there is no door either, the one partition here
 * listens itself and gets issuer keys from the door at issuer. */
#ifndef PARTITION_CONFIG_H
#define PARTITION_CONFIG_H

#include <stdbool.h>
#include "base/bytes.h"

#define CONFIG_NO_METRICS (-1)
#define PARTITIONS_MAX    9
#define PARTITION_MAX     99999 /* largest number */

struct partition_entry {
    unsigned number;
    char peer[72]; /* HOST:PORT for the other partitions; "": none */
    char rack[33]; /* "": not said */
    bool joined;
    bool remote;          /* runs on another host */
    unsigned replaces_id; /* number + 1 of the partition whose place it takes; 0: of none */
};

struct partition_config {
    char name[25]; /* pool */
    char tenant[37];
    uint16_t port; /* public port of the front door, on 127.0.0.1 and ::1 */
    char region[33];
    unsigned loops;
    char cpus[128];     /* comma separated list, "" when not pinned */
    int metrics_port;   /* on 127.0.0.1; 0: any; CONFIG_NO_METRICS: none */
    char seal[1024];    /* "": a file */
    char evidence[256]; /* "": software */
    struct partition_entry partition[PARTITIONS_MAX]; /* by number */
    unsigned partition_n;                             /* at least 1 */
    unsigned next_partition;
    char listen[72];  /* "": loopback only */
    char issuer[280]; /* HOST:PORT; "": the door of this host */
    bool no_fabric;
    char nodes[72]; /* HOST:PORT where nodes of other hosts connect to; "": none may */
};

/* HSM_E_MALFORMED / HSM_E_IO with text[cap] saying what is wrong and where. */
HSM_MUST_USE hsm_err partition_config_load(const char *path, struct partition_config *ret,
                                           char *text, size_t cap);
/* Written with mode 0600: temporary file, fsync, rename. */
HSM_MUST_USE hsm_err partition_config_store(const char *path, const struct partition_config *c,
                                            char *text, size_t cap);

/* NULL: no partition has that number. */
struct partition_entry *partition_config_find(struct partition_config *c, unsigned number);
/* The next number, at 127.0.0.1 with a free port. HSM_E_RANGE: there are PARTITIONS_MAX, or no
 * number is left; HSM_E_IO: no port is free. */
HSM_MUST_USE hsm_err partition_config_add(struct partition_config *c, unsigned *ret_number);
void partition_config_remove(struct partition_config *c, unsigned number);
/* A port of 127.0.0.1 that nobody uses, below those that the kernel gives to outgoing connections:
 * it is still free at a later start. 0: none was found. */
uint16_t partition_free_port(void);

/* Pool names: 3-24 characters, letters, digits, single hyphens inside, first a letter. */
bool pool_name_valid(const char *name);

#endif
