/* What a node is told about a pool, one JSON line each. */
#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/hsm.h"

#define PARTITIONS 3

static void open_line(struct json_wr *j, const char *op, const char *name)
{
    char key[STATE_KEY_MAX + 1] = "";
    (void)arm_key(bytes_str(name), key);
    json_obj_open(j);
    put_str(j, "op", op);
    put_str(j, "name", key);
}

bool hsm_node_line(struct wr *w, const char *op, const char *name)
{
    struct json_wr j = json_wr_of(w);
    open_line(&j, op, name);
    json_obj_close(&j);
    return wr_ok(w) == HSM_OK;
}

/* A partition a rack, as far as the node has racks: it says where they really are. */
bool hsm_node_make(struct fabric *f, struct wr *w, const struct hsm_pool *p,
                   const struct json_doc *resource)
{
    static const char *const rack[PARTITIONS] = {"a", "b", "c"};
    struct json_wr j = json_wr_of(w);
    int64_t days = 0;
    bool protected = false;
    hsm_protection(f, p, resource, &days, &protected);
    open_line(&j, "make", p->name);
    json_name(&j, "pool");
    json_obj_open(&j);
    put_str(&j, "tenant", f->provider.dir.tenant);
    json_name(&j, "administrators");
    json_put_raw(&j, json_raw(resource, json_get(resource, arm_properties(resource),
                                                 "initialAdminObjectIds")));
    put_int(&j, "retentionDays", days);
    put_bool(&j, "purgeProtection", protected);
    put_str(&j, "region", p->location);
    json_name(&j, "partitions");
    json_arr_open(&j);
    for (size_t i = 0; i < PARTITIONS; i++) {
        json_obj_open(&j);
        put_str(&j, "rack", rack[i]);
        json_obj_close(&j);
    }
    json_arr_close(&j);
    json_obj_close(&j);
    json_obj_close(&j);
    return wr_ok(w) == HSM_OK;
}

/* ---- the network's rules ---- */

static bool put_endpoint(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    struct json_wr *j = ctx;
    char id[ARM_ID_MAX + 1], short_id[HSM_ENDPOINT_ID_MAX + 1], status[32];
    uint32_t p = arm_properties(&r->json);
    (void)f;
    if (!arm_string(&r->json, json_get(&r->json, p, "privateEndpoint"), "id", id, sizeof id) ||
        arm_string_is(&r->json, p, "provisioningState", "Deleting"))
        return true;
    (void)arm_string(&r->json, json_get(&r->json, p, "privateLinkServiceConnectionState"), "status",
                     status, sizeof status);
    hsm_endpoint_id(bytes_str(id), short_id);
    json_obj_open(j);
    put_str(j, "id", short_id);
    put_str(j, "state", status);
    json_obj_close(j);
    return true;
}

static void put_ranges(struct json_wr *j, const struct json_doc *d, uint32_t acls)
{
    char text[64];
    uint32_t list = json_get_nn(d, acls, "ipRules");
    json_name(j, "ipRules");
    json_arr_open(j);
    for (uint32_t v = list == JSON_NONE ? JSON_NONE : json_first(d, list); v != JSON_NONE;
         v = json_next(d, list, v))
        if (arm_string(d, v, "value", text, sizeof text))
            json_put_str(j, text);
    json_arr_close(j);
}

static void put_network(struct fabric *f, struct json_wr *j, const struct hsm_pool *p,
                        const struct json_doc *d)
{
    uint32_t o = arm_properties(d), acls = json_get_nn(d, o, "networkAcls");
    char below[ARM_ID_MAX + 2];
    json_obj_open(j);
    arm_copy(j, d, o, "publicNetworkAccess");
    if (acls != JSON_NONE)
        arm_copy(j, d, acls, "defaultAction");
    json_name(j, "bypassCallers");
    json_arr_open(j);
    if (acls != JSON_NONE && arm_string_is(d, acls, "bypass", "AzureServices"))
        json_put_str(j, f->provider.dir.managed.oid);
    json_arr_close(j);
    put_ranges(j, d, acls);
    json_name(j, "endpoints");
    json_arr_open(j);
    snprintf(below, sizeof below, "%s/", p->id);
    arm_each(f, bytes_str(below), &hsm_connection_type, put_endpoint, j);
    json_arr_close(j);
    json_obj_close(j);
}

bool hsm_node_configure(struct fabric *f, struct wr *w, const struct hsm_pool *p,
                        const struct json_doc *resource)
{
    struct json_wr j = json_wr_of(w);
    int64_t days = 0;
    bool protected = false;
    hsm_protection(f, p, resource, &days, &protected);
    open_line(&j, "configure", p->name);
    json_name(&j, "settings");
    json_obj_open(&j);
    put_bool(&j, "purgeProtection", protected);
    json_name(&j, "network");
    put_network(f, &j, p, resource);
    json_obj_close(&j);
    json_obj_close(&j);
    return wr_ok(w) == HSM_OK;
}
