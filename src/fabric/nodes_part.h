/* Everything of the nodes that lives as long as the control origin: asking the embedded one, the
 * listener for those on other hosts, what is known of each, the local commands about them. */
#ifndef FABRIC_NODES_PART_H
#define FABRIC_NODES_PART_H

#include "fabric/fabric.h"

/* After the state was opened; with a loop. */
HSM_MUST_USE hsm_err nodes_part_open(struct fabric *f, uint64_t now_ms, char *text, size_t cap);
void nodes_part_end(struct fabric *f, void (*done)(void *ctx), void *ctx);

#endif
