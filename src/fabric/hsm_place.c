/* Where a new managed HSM runs. A node has all partitions of a pool. */
#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/hsm.h"
#include "fabric/node_registry.h"

static bool is_in(const struct placement_node *n, const char *location)
{
    char region[NODE_LABEL_MAX + 1];
    snprintf(region, sizeof region, "%.*s", NODE_LABEL_MAX, n->region);
    arm_normal_location(region);
    return strcmp(region, location) == 0;
}

bool hsm_place(struct fabric *f, const char *location, char ret_node[NODE_NAME_MAX + 1],
               struct answer *a)
{
    static struct placement_node nodes[PLACEMENT_NODES_MAX];
    struct placement where;
    bool has_region = false;
    size_t n = f->views == NULL ? 0 : node_views_get(f->views, nodes, PLACEMENT_NODES_MAX);
    if (placement_choose(nodes, n, location, &where) == HSM_OK) {
        snprintf(ret_node, NODE_NAME_MAX + 1, "%s", nodes[where.node[0]].name);
        return true;
    }
    for (size_t i = 0; i < n; i++)
        has_region =
            has_region || (is_in(&nodes[i], location) && strcmp(nodes[i].name, NODE_LOCAL) != 0);
    if (has_region && strcmp(location, f->config.region) != 0)
        return arm_error(a, 503, "503", "Pool creation is disabled in this region");
    if (!hsm_region_is_known(f, location))
        return arm_error(a, 400, "RegionNotSupported",
                         "The region '%s' is not one in which managed HSMs can be created.",
                         location);
    snprintf(ret_node, NODE_NAME_MAX + 1, "%s", NODE_LOCAL);
    return true;
}
