#include "fabric/placement.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* "East US 2" and "eastus2" are one region. */
static bool region_fits(const char *a, const char *b)
{
    for (;;) {
        while (*a == ' ')
            a++;
        while (*b == ' ')
            b++;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (*a == 0)
            return true;
        a++;
        b++;
    }
}

static bool same_zone(const struct placement_node *a, const struct placement_node *b)
{
    return strcmp(a->zone, b->zone) == 0;
}

static bool same_rack(const struct placement_node *a, const struct placement_node *b)
{
    return same_zone(a, b) && strcmp(a->rack, b->rack) == 0;
}

/* Pairs that share something; compared in the order of the members. */
struct cost {
    unsigned nodes, zones, racks, partitions;
};

static struct cost cost_of(const struct placement_node *nodes,
                           const size_t pick[PLACEMENT_PARTITIONS])
{
    struct cost c = {0};
    for (size_t i = 0; i < PLACEMENT_PARTITIONS; i++) {
        c.partitions += nodes[pick[i]].partitions;
        for (size_t k = i + 1; k < PLACEMENT_PARTITIONS; k++) {
            c.nodes += pick[i] == pick[k];
            c.zones += same_zone(&nodes[pick[i]], &nodes[pick[k]]);
            c.racks += same_rack(&nodes[pick[i]], &nodes[pick[k]]);
        }
    }
    return c;
}

static bool is_less(const struct cost *a, const struct cost *b)
{
    if (a->nodes != b->nodes)
        return a->nodes < b->nodes;
    if (a->zones != b->zones)
        return a->zones < b->zones;
    if (a->racks != b->racks)
        return a->racks < b->racks;
    return a->partitions < b->partitions;
}

/* The nearest of what is shared: with it goes the majority. */
static void warn(const struct placement_node *nodes, const struct cost *c, struct placement *p)
{
    const char *what = c->nodes > 0 ? "node" : c->racks > 0 ? "rack" : "zone";
    unsigned pairs = c->nodes > 0 ? c->nodes : c->racks > 0 ? c->racks : c->zones;
    if (pairs == 0)
        return;
    snprintf(p->warning, sizeof p->warning,
             "%s partitions share a %s (nodes %.50s, %.50s, %.50s): the pool does not survive its "
             "loss.",
             pairs == 3 ? "All three" : "Two", what, nodes[p->node[0]].name, nodes[p->node[1]].name,
             nodes[p->node[2]].name);
}

/* Indices of what may be taken. */
static size_t candidates(const struct placement_node *nodes, size_t n, const char *region,
                         size_t ret[PLACEMENT_NODES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (nodes[i].is_up && region_fits(nodes[i].region, region))
            ret[count++] = i;
    }
    return count;
}

hsm_err placement_choose(const struct placement_node *nodes, size_t n, const char *region,
                         struct placement *ret)
{
    size_t may[PLACEMENT_NODES_MAX];
    if (n > PLACEMENT_NODES_MAX)
        return HSM_E_RANGE;
    size_t count = candidates(nodes, n, region, may);
    if (count == 0)
        return HSM_E_NOT_FOUND;
    struct placement best = {.node = {may[0], may[0], may[0]}};
    struct cost least = cost_of(nodes, best.node);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i; k < count; k++) {
            for (size_t l = k; l < count; l++) {
                const size_t pick[PLACEMENT_PARTITIONS] = {may[i], may[k], may[l]};
                struct cost c = cost_of(nodes, pick);
                if (!is_less(&c, &least))
                    continue;
                least = c;
                memcpy(best.node, pick, sizeof pick);
            }
        }
    }
    warn(nodes, &least, &best);
    *ret = best;
    return HSM_OK;
}
