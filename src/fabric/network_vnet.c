/* Virtual networks and subnets. Here they are descriptions: what makes one real is a network device
 * or namespace of the machine, which tags name (keyhold-device, keyhold-netns, keyhold-address). */
#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/network.h"

#define PREFIXES_MAX 16

/* A list of CIDRs; false: answered. */
static bool prefixes_ready(const struct json_doc *d, uint32_t list, const char *what,
                           struct answer *a)
{
    size_t n = 0;
    struct bytes text = bytes_str("");
    struct network_cidr c;
    if (list == JSON_NONE || json_type_of(d, list) != JSON_ARRAY || json_count(d, list) == 0)
        return arm_error(a, 400, "InvalidRequestFormat", "The property '%s' needs a prefix.", what);
    for (uint32_t v = json_first(d, list); v != JSON_NONE; v = json_next(d, list, v))
        if (++n > PREFIXES_MAX || json_plain(d, v, &text) != HSM_OK ||
            network_cidr_parse(text, &c) != HSM_OK)
            return arm_error(a, 400, "InvalidAddressPrefixFormat",
                             "The value '%.*s' in '%s' is no address prefix.", (int)text.n,
                             (const char *)text.p, what);
    return true;
}

/* addressPrefix, or the first of addressPrefixes */
static bool first_prefix(const struct json_doc *d, uint32_t properties, struct network_cidr *ret)
{
    char text[NETWORK_CIDR_TEXT_MAX];
    struct bytes first;
    if (arm_string(d, properties, "addressPrefix", text, sizeof text))
        return network_cidr_parse(bytes_str(text), ret) == HSM_OK;
    uint32_t list = json_get_nn(d, properties, "addressPrefixes");
    uint32_t v = list == JSON_NONE ? JSON_NONE : json_first(d, list);
    return v != JSON_NONE && json_plain(d, v, &first) == HSM_OK &&
           network_cidr_parse(first, ret) == HSM_OK;
}

/* ---- virtual networks ---- */

static bool space_has(const struct json_doc *d, uint32_t properties, const struct network_cidr *c)
{
    uint32_t space = json_get_nn(d, properties, "addressSpace");
    uint32_t list = space == JSON_NONE ? JSON_NONE : json_get_nn(d, space, "addressPrefixes");
    for (uint32_t v = list == JSON_NONE ? JSON_NONE : json_first(d, list); v != JSON_NONE;
         v = json_next(d, list, v)) {
        struct network_cidr o;
        struct bytes text;
        if (json_plain(d, v, &text) == HSM_OK && network_cidr_parse(text, &o) == HSM_OK &&
            o.bits <= c->bits && network_cidr_has(&o, &c->first))
            return true;
    }
    return false;
}

static void write_subnet(const struct json_doc *d, uint32_t v, const char *id, const char *name,
                         struct json_wr *j)
{
    static const char *const not_kept[] = {"provisioningState", "privateEndpoints", NULL};
    json_obj_open(j);
    put_str(j, "id", id);
    put_str(j, "name", name);
    put_str(j, "type", network_subnet_type.name);
    arm_copy(j, d, v, "tags");
    json_name(j, "properties");
    json_obj_open(j);
    put_str(j, "provisioningState", "Succeeded");
    arm_copy_except(j, d, json_get_nn(d, v, "properties"), not_kept);
    json_obj_close(j);
    json_obj_close(j);
}

/* A subnet inside the body of its network. */
static bool stage_subnet(struct fabric *f, const struct request *rq, const struct arm_put *p,
                         uint32_t v, struct answer *a)
{
    char name[ARM_NAME_MAX + 1], id[ARM_ID_MAX + 1];
    uint8_t text[8192];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    struct network_cidr c;
    uint32_t properties = json_get_nn(p->body, v, "properties");
    if (!arm_string(p->body, v, "name", name, sizeof name) || name[0] == 0 ||
        strpbrk(name, "/<>%&\\?#") != NULL)
        return arm_error(a, 400, "InvalidRequestFormat", "A subnet needs a valid name.");
    if (properties == JSON_NONE || !first_prefix(p->body, properties, &c) ||
        !space_has(p->body, arm_properties(p->body), &c))
        return arm_error(a, 400, "NetcfgInvalidSubnet",
                         "Subnet '%s' is not valid in virtual network '%s'.", name, p->name);
    int n = snprintf(id, sizeof id, "%s/subnets/%s", p->id, name);
    write_subnet(p->body, v, id, name, &j);
    if (n < 0 || n > ARM_ID_MAX || wr_ok(&w) != HSM_OK)
        return arm_error(a, 400, "InvalidRequestFormat", "The subnet '%s' is too long.", name);
    arm_stage(f, rq, id, wr_view(&w));
    return true;
}

static bool vnet_put(struct fabric *f, const struct request *rq, struct arm_put *p,
                     struct answer *a)
{
    static const char *const not_kept[] = {"subnets", "provisioningState", NULL};
    uint32_t body = arm_properties(p->body);
    uint32_t space = body == JSON_NONE ? JSON_NONE : json_get_nn(p->body, body, "addressSpace");
    uint32_t subnets = body == JSON_NONE ? JSON_NONE : json_get_nn(p->body, body, "subnets");
    if (p->patch && p->old != NULL) { /* tags */
        arm_copy_except(p->properties, p->old, arm_properties(p->old), (const char *const[]){NULL});
        return true;
    }
    if (!prefixes_ready(p->body,
                        space == JSON_NONE ? JSON_NONE
                                           : json_get_nn(p->body, space, "addressPrefixes"),
                        "addressSpace.addressPrefixes", a))
        return false;
    put_str(p->properties, "provisioningState", "Succeeded");
    arm_copy_except(p->properties, p->body, body, not_kept);
    if (subnets == JSON_NONE)
        return true;
    for (uint32_t v = json_first(p->body, subnets); v != JSON_NONE;
         v = json_next(p->body, subnets, v))
        if (!stage_subnet(f, rq, p, v, a))
            return false;
    return true;
}

static bool put_child(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    (void)f;
    json_put_raw(ctx, r->json.text);
    return true;
}

static void vnet_render(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                        struct json_wr *j)
{
    char id[ARM_ID_MAX + 1], below[ARM_ID_MAX + 10];
    (void)rq;
    arm_copy_except(j, &r->json, arm_properties(&r->json), (const char *const[]){NULL});
    (void)arm_string(&r->json, 0, "id", id, sizeof id);
    snprintf(below, sizeof below, "%s/subnets/", id);
    json_name(j, "subnets");
    json_arr_open(j);
    arm_each(f, bytes_str(below), &network_subnet_type, put_child, j);
    json_arr_close(j);
}

/* ---- in use? ---- */

struct use {
    struct bytes below;  /* id of a subnet, or of a network and "/" */
    struct bytes within; /* who uses it from here goes with it */
    bool found;
};

static bool begins(const char *id, struct bytes with)
{
    return with.n > 0 && strlen(id) >= with.n && bytes_ieq(bytes_of(id, with.n), with);
}

static bool look_use(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    struct use *u = ctx;
    struct endpoint e;
    char id[ARM_ID_MAX + 1];
    (void)f;
    if (endpoint_read(&r->json, &e) && arm_string(&r->json, 0, "id", id, sizeof id))
        u->found = begins(e.subnet, u->below) && !begins(id, u->within) &&
                   (strlen(e.subnet) == u->below.n || u->below.p[u->below.n - 1] == '/');
    return !u->found;
}

static bool not_in_use(struct fabric *f, const struct arm_delete *d, bool is_network,
                       struct answer *a)
{
    char text[ARM_ID_MAX + 2];
    snprintf(text, sizeof text, "%s%s", d->id, is_network ? "/" : "");
    struct use u = {.below = bytes_str(text),
                    .within = bytes_str(d->within == NULL ? "" : d->within)};
    arm_each(f, bytes_str("/subscriptions/"), &network_endpoint_type, look_use, &u);
    return !u.found ||
           arm_error(a, 400, "InUseSubnetCannotBeDeleted",
                     "'%s' is in use by a private endpoint and cannot be deleted.", d->id);
}

static bool vnet_delete(struct fabric *f, const struct request *rq, struct arm_delete *d,
                        struct answer *a)
{
    (void)rq;
    return not_in_use(f, d, true, a);
}

const struct arm_type network_vnet_type = {
    .name = NETWORK_NS "virtualNetworks",
    .place = ARM_IN_GROUP,
    .methods = ARM_ALL,
    .style = ARM_ASYNC,
    .operations = "operations",
    .located = true,
    .put = vnet_put,
    .del = vnet_delete,
    .render = vnet_render,
};

/* ---- subnets ---- */

static bool subnet_put(struct fabric *f, const struct request *rq, struct arm_put *p,
                       struct answer *a)
{
    static const char *const not_kept[] = {"provisioningState", "privateEndpoints", NULL};
    struct network_cidr c;
    uint32_t body = arm_properties(p->body);
    (void)rq;
    if (!arm_find(f, bytes_str(p->parent), p->spare))
        return arm_not_found(a, p->parent);
    if (body == JSON_NONE || !first_prefix(p->body, body, &c) ||
        !space_has(&p->spare->json, arm_properties(&p->spare->json), &c))
        return arm_error(a, 400, "NetcfgInvalidSubnet",
                         "Subnet '%s' is not valid in virtual network '%s'.", p->name, p->parent);
    arm_keep_top(p, "tags");
    put_str(p->properties, "provisioningState", "Succeeded");
    arm_copy_except(p->properties, p->body, body, not_kept);
    return true;
}

static bool subnet_delete(struct fabric *f, const struct request *rq, struct arm_delete *d,
                          struct answer *a)
{
    (void)rq;
    return not_in_use(f, d, false, a);
}

const struct arm_type network_subnet_type = {
    .name = NETWORK_NS "virtualNetworks/subnets",
    .place = ARM_IN_GROUP,
    .methods = ARM_GET | ARM_LIST | ARM_PUT | ARM_DELETE,
    .style = ARM_ASYNC,
    .operations = "operations",
    .hidden = true,
    .put = subnet_put,
    .del = subnet_delete,
};

bool network_subnet_prefix(struct fabric *f, struct bytes subnet_id, struct network_cidr *ret)
{
    struct arm_resource r;
    return arm_find(f, subnet_id, &r) && r.type == &network_subnet_type &&
           first_prefix(&r.json, arm_properties(&r.json), ret);
}

bool network_subnet_tag(struct fabric *f, struct bytes subnet_id, const char *name, char *dst,
                        size_t cap)
{
    struct arm_resource r;
    static const char word[] = "/subnets/";
    dst[0] = 0;
    if (!arm_find(f, subnet_id, &r))
        return false;
    if (arm_string(&r.json, json_get_nn(&r.json, 0, "tags"), name, dst, cap))
        return true;
    const uint8_t *at = subnet_id.p;
    for (size_t i = 0; i + sizeof word - 1 <= subnet_id.n; i++)
        if (bytes_ieq(bytes_of(subnet_id.p + i, sizeof word - 1), bytes_str(word)))
            at = subnet_id.p + i;
    return arm_find(f, bytes_of(subnet_id.p, (size_t)(at - subnet_id.p)), &r) &&
           arm_string(&r.json, json_get_nn(&r.json, 0, "tags"), name, dst, cap);
}
