/* keyhold-supervisor is one of two: the node of an installation (node.h), or the supervisor of one
 * pool. The latter keeps its partitions running: for each one here its boundary and gateway, which
 * live and die together because they share fresh rings. What ends is started again with a growing
 * pause; a partition that cannot serve any more is replaced by a new one while most of the others
 * serve. Orderly stop on SIGTERM, SIGINT (Ctrl-C of `keyhold up --foreground`) or SIGHUP (its
 * terminal is gone). Single-threaded, holds no secret. */
#ifndef PARTITION_SUPERVISOR_H
#define PARTITION_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

#define SUPERVISOR_TRIES_MAX 6u /* failures before the first readiness that end the start */

struct supervisor_options {
    const char *home;
    const char *bindir;
    int ready_fd; /* "ready\n" or "error: ...\n" is written once; -1: none. Of a pool below a
                   * node besides, and as long as it runs: "serve K of N\n" */
    bool is_pool; /* below a node; what follows is told by it */
    const char *door;
    uint16_t port;
};
/* Runs until it is stopped; the exit status of the program. */
int supervisor_run(const struct supervisor_options *o);

/* Signals of an orderly stop, and of children that ended, as a descriptor. */
HSM_MUST_USE hsm_err supervisor_signals(int *ret);

/* Paths below HOME, shared with the CLI. %u: number of a partition. */
#define HOME_CONFIG     "config.json"
#define HOME_POOL_INIT  "pool.json"
#define HOME_ADMISSION  "admission.key" /* the boundaries of the pool know each other by it */
#define HOME_PKI        "pki"
#define HOME_FABRIC     "fabric"
#define HOME_PARTITION  "partition-%u"
#define HOME_NETWORK    "network.json" /* rules for the pool's gateways; missing: open */
#define HOME_REMOVED    "removed"      /* directories of partitions that are no more */
#define HOME_RUN        "run"
#define HOME_LOG        "log"
#define HOME_LOCK       "run/supervisor.lock" /* flock held while it runs; contains the pid */
#define HOME_POOL_LOCK  "run/pool.lock"       /* the same, of one pool below a node */
#define HOME_SUPERVISOR "run/supervisor.sock" /* commands for it: commandd.c */
#define HOME_DOOR       "run/door.%s.sock"    /* fabric, pools */
#define HOME_CONTROL    "run/gateway-%u.sock" /* status line of a gateway; + ".cmd": commands */
#define HOME_NETWORK    "network.json"        /* rules of the network; absent: open */
#define HOME_POOL_STATE "run/pool-state"      /* one word by gateway 0; + "-%u": by the others */
#define HOME_METRICS    "run/metrics-port" /* number of the port of monitoring, when there is one */

#endif
