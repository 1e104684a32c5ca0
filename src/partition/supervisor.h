/* Keeps one installation running: front door, fabric, and the partition (boundary and gateway,
 * which live and die together because they share fresh rings). A process that ends is started again
 * with a growing pause; orderly stop on SIGTERM, SIGINT (Ctrl-C of `keyhold up --foreground`) or
 * SIGHUP (its terminal is gone). Single-threaded, holds no secret. */
#ifndef PARTITION_SUPERVISOR_H
#define PARTITION_SUPERVISOR_H

#include "base/err.h"

struct supervisor_options {
    const char *home;
    const char *bindir;
    int ready_fd; /* "ready\n" or "error: ...\n" is written once; -1: none */
};
/* Runs until it is stopped; the exit status of the program. */
int supervisor_run(const struct supervisor_options *o);

/* Paths below HOME, shared with the CLI. */
#define HOME_CONFIG     "config.json"
#define HOME_POOL_INIT  "pool.json"
#define HOME_PKI        "pki"
#define HOME_FABRIC     "fabric"
#define HOME_PARTITION  "partition-0"
#define HOME_RUN        "run"
#define HOME_LOG        "log"
#define HOME_LOCK       "run/supervisor.lock" /* flock held while it runs; contains the pid */
#define HOME_DOOR       "run/door.%s.sock"    /* fabric, pool */
#define HOME_CONTROL    "run/gateway-0.sock"  /* status line of the gateway */
#define HOME_POOL_STATE "run/pool-state"      /* one word by the gateway, read by the fabric */
#define HOME_METRICS    "run/metrics-port" /* number of the port of monitoring, when there is one */

#endif
