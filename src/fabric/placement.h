/* On which nodes the partitions of a pool go: in its region, as far apart as the nodes allow. Pure.
 */
#ifndef FABRIC_PLACEMENT_H
#define FABRIC_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

#define PLACEMENT_PARTITIONS 3
#define PLACEMENT_NODES_MAX  256

/* Texts are borrowed. A rack is one of its zone. */
struct placement_node {
    const char *name, *region, *zone, *rack;
    bool is_up;
    unsigned partitions; /* that run there already */
};

struct placement {
    size_t node[PLACEMENT_PARTITIONS]; /* indices; equal ones when there are too few nodes */
    char warning[256];                 /* what they share although they should not; "": nothing */
};

/* The least that is shared counts, in this order: a node, a zone, a rack; then the fewest
 * partitions on the chosen nodes, then the order of the list. Nodes that are down are not taken.
 * Regions compare without case and spaces. HSM_E_NOT_FOUND: no node of that region is up.
 * HSM_E_RANGE: too many nodes. */
HSM_MUST_USE hsm_err placement_choose(const struct placement_node *nodes, size_t n,
                                      const char *region, struct placement *ret);

#endif
