/* The nodes as placement sees them: labels of the registry, and whether they answer. */
#include <stdio.h>
#include <stdlib.h>
#include "fabric/fabric.h"
#include "fabric/node_registry.h"

struct view {
    struct node_record node;
    bool is_up, is_asked;
    unsigned partitions;
    struct node_views *all;
    struct view *next;
};

struct node_views {
    struct fabric *fabric;
    struct view *first;
};

static struct view *view_of(struct node_views *v, const char *name)
{
    struct view *one;
    for (one = v->first; one != NULL; one = one->next) {
        if (strcmp(one->node.name, name) == 0)
            return one;
    }
    one = calloc(1, sizeof *one);
    if (one == NULL)
        return NULL;
    snprintf(one->node.name, sizeof one->node.name, "%s", name);
    one->all = v;
    one->next = v->first;
    v->first = one;
    return one;
}

static void take_label(const struct json_doc *d, const char *name, char dst[NODE_LABEL_MAX + 1])
{
    size_t n = 0;
    uint32_t at = json_get(d, 0, name);
    if (at != JSON_NONE && json_string(d, at, dst, NODE_LABEL_MAX, &n) == HSM_OK)
        dst[n] = 0;
}

static unsigned count_partitions(const struct json_doc *d)
{
    unsigned sum = 0;
    uint32_t pools = json_get(d, 0, "pools");
    if (pools == JSON_NONE || json_type_of(d, pools) != JSON_ARRAY)
        return 0;
    for (uint32_t at = json_first(d, pools); at != JSON_NONE; at = json_next(d, pools, at)) {
        int64_t n = 0;
        uint32_t v = json_get(d, at, "partitions");
        if (v != JSON_NONE && json_int(d, v, &n) == HSM_OK && n > 0 && n <= 16)
            sum += (unsigned)n;
    }
    return sum;
}

static void on_status(void *ctx, const struct node_answer *a)
{
    struct view *one = ctx;
    one->is_asked = false;
    one->is_up = a->err == HSM_OK;
    if (!one->is_up)
        return;
    one->partitions = count_partitions(&a->doc);
    /* A remote one has the labels it joined with. */
    if (one->node.number == 0) {
        take_label(&a->doc, "region", one->node.region);
        take_label(&a->doc, "zone", one->node.zone);
        take_label(&a->doc, "rack", one->node.rack);
    }
}

static void ask(struct view *one)
{
    if (one->is_asked)
        return;
    one->is_asked = true;
    nodes_ask(one->all->fabric->nodes, one->node.name, bytes_str("{\"op\":\"status\"}"), on_status,
              one);
}

static bool take_node(void *ctx, const struct document *d)
{
    struct node_views *v = ctx;
    struct node_record r;
    if (node_read(d, &r) == HSM_OK) {
        struct view *one = view_of(v, r.name);
        if (one != NULL)
            one->node = r;
    }
    return true;
}

static bool is_registered(const struct node_views *v, const struct view *one)
{
    return strcmp(one->node.name, NODE_LOCAL) == 0 ||
           state_get(v->fabric->state, STATE_NODE, bytes_str(one->node.name)) != NULL;
}

void node_views_ask(struct node_views *v)
{
    (void)view_of(v, NODE_LOCAL);
    state_each(v->fabric->state, STATE_NODE, bytes_str(""), take_node, v);
    for (struct view *one = v->first; one != NULL; one = one->next) {
        if (is_registered(v, one))
            ask(one);
    }
}

size_t node_views_get(const struct node_views *v, struct placement_node *ret, size_t cap)
{
    size_t n = 0;
    for (const struct view *one = v->first; one != NULL && n < cap; one = one->next) {
        if (is_registered(v, one))
            ret[n++] = (struct placement_node){.name = one->node.name,
                                               .region = one->node.region,
                                               .zone = one->node.zone,
                                               .rack = one->node.rack,
                                               .is_up = one->is_up,
                                               .partitions = one->partitions};
    }
    return n;
}

hsm_err node_views_new(struct fabric *f, struct node_views **ret)
{
    struct node_views *v = calloc(1, sizeof *v);
    if (v == NULL)
        return HSM_E_NOMEM;
    v->fabric = f;
    *ret = v;
    return HSM_OK;
}

void node_views_free(struct node_views *v)
{
    while (v != NULL && v->first != NULL) {
        struct view *one = v->first;
        v->first = one->next;
        free(one);
    }
    free(v);
}
