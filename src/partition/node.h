/* The node: keeps one installation running, that is the front door, the fabric, and for each pool
 * that is wanted a supervisor of its own (supervisor.h). The pool of `keyhold up` has the home of
 * the installation itself, the others HOME/pools/NAME. Single-threaded, holds no secret. */
#ifndef PARTITION_NODE_H
#define PARTITION_NODE_H

#include "partition/supervisor.h"

/* Runs until it is stopped; the exit status of the program. "ready" once door, fabric and the first
 * pool are. */
int node_run(const struct supervisor_options *o);

#define HOME_NODE  "run/node.sock" /* commands for it: noded.c */
#define HOME_POOLS "pools"
/* In a pool's home: */
#define HOME_WANTED   "wanted"        /* "run", "stop"; of the first one "gone"; missing: run */
#define HOME_SETTINGS "settings.json" /* what `configure` last said */

#endif
