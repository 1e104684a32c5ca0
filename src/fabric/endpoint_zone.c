/* Zone groups of private endpoints: they keep a record for the endpoint in each of their zones. */
#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/network.h"

#define TTL         10
#define ZONES_MAX   5
#define CREATOR     "\"creator\":\"private endpoint\""
#define RECORD_TEXT (4 * ARM_ID_MAX)

/* Name of the managed HSM, in lower case: that of its records. */
static void record_of(const struct endpoint *e, char dst[ARM_NAME_MAX + 1])
{
    struct bytes name = arm_last_segment(bytes_str(e->hsm));
    size_t n = name.n < ARM_NAME_MAX ? name.n : ARM_NAME_MAX;
    for (size_t i = 0; i < n; i++)
        dst[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]);
    dst[n] = 0;
}

/* Zone of an entry of privateDnsZoneConfigs. */
static bool zone_of(const struct json_doc *d, uint32_t v, char id[ARM_ID_MAX + 1])
{
    return arm_string(d, json_get_nn(d, v, "properties"), "privateDnsZoneId", id, ARM_ID_MAX + 1);
}

static bool record_id(const char *zone, const struct endpoint *e, char id[ARM_ID_MAX + 1])
{
    char name[ARM_NAME_MAX + 1];
    record_of(e, name);
    int n = snprintf(id, ARM_ID_MAX + 1, "%s/A/%s", zone, name);
    return n > 0 && n <= ARM_ID_MAX;
}

static bool stage_record(struct fabric *f, const struct request *rq, const char *zone,
                         const struct endpoint *e)
{
    char id[ARM_ID_MAX + 1], name[ARM_NAME_MAX + 1];
    uint8_t text[RECORD_TEXT];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    struct bytes zone_name = arm_last_segment(bytes_str(zone));
    record_of(e, name);
    if (!record_id(zone, e, id))
        return false;
    json_obj_open(&j);
    put_str(&j, "id", id);
    put_str(&j, "name", name);
    put_str(&j, "type", network_record_type.name);
    json_name(&j, "properties");
    json_obj_open(&j);
    put_int(&j, "ttl", TTL);
    json_name(&j, "metadata");
    json_put_raw(&j, bytes_str("{" CREATOR "}"));
    json_name(&j, "aRecords");
    json_arr_open(&j);
    json_obj_open(&j);
    put_str(&j, "ipv4Address", e->address);
    json_obj_close(&j);
    json_arr_close(&j);
    json_name(&j, "fqdn");
    json_str_open(&j);
    json_str_add_s(&j, name);
    json_str_add_s(&j, ".");
    json_str_add(&j, zone_name);
    json_str_add_s(&j, ".");
    json_str_close(&j);
    put_bool(&j, "isAutoRegistered", false);
    json_obj_close(&j);
    json_obj_close(&j);
    if (wr_ok(&w) != HSM_OK)
        return false;
    arm_stage(f, rq, id, wr_view(&w));
    return true;
}

/* A record that somebody else wrote stays. */
static void drop_record(struct fabric *f, const struct request *rq, const char *zone,
                        const struct endpoint *e)
{
    char id[ARM_ID_MAX + 1];
    struct arm_resource r;
    if (record_id(zone, e, id) && arm_find(f, bytes_str(id), &r) &&
        memmem(r.json.text.p, r.json.text.n, CREATOR, sizeof CREATOR - 1) != NULL)
        arm_stage_delete(f, rq, id);
}

static void drop_all(struct fabric *f, const struct request *rq, const struct json_doc *d,
                     const struct endpoint *e)
{
    char zone[ARM_ID_MAX + 1];
    uint32_t list = json_get_nn(d, arm_properties(d), "privateDnsZoneConfigs");
    for (uint32_t v = list == JSON_NONE ? JSON_NONE : json_first(d, list); v != JSON_NONE;
         v = json_next(d, list, v))
        if (zone_of(d, v, zone))
            drop_record(f, rq, zone, e);
}

static bool owner_of(struct fabric *f, const char *id, struct arm_resource *r, struct endpoint *e)
{
    return arm_find(f, bytes_str(id), r) && r->type == &network_endpoint_type &&
           endpoint_read(&r->json, e);
}

/* ---- hooks ---- */

static bool group_put(struct fabric *f, const struct request *rq, struct arm_put *p,
                      struct answer *a)
{
    char zone[ARM_ID_MAX + 1];
    struct endpoint e;
    uint32_t list = json_get_nn(p->body, arm_properties(p->body), "privateDnsZoneConfigs");
    if (!owner_of(f, p->parent, p->spare, &e))
        return arm_not_found(a, p->parent);
    if (list == JSON_NONE || json_type_of(p->body, list) != JSON_ARRAY ||
        json_count(p->body, list) == 0 || json_count(p->body, list) > ZONES_MAX)
        return arm_error(a, 400, "InvalidRequestFormat",
                         "A zone group needs 1 to %d entries of 'privateDnsZoneConfigs'.",
                         ZONES_MAX);
    if (p->old != NULL)
        drop_all(f, rq, p->old, &e);
    for (uint32_t v = json_first(p->body, list); v != JSON_NONE; v = json_next(p->body, list, v)) {
        if (!zone_of(p->body, v, zone) || !arm_find(f, bytes_str(zone), p->spare) ||
            p->spare->type != &network_zone_type)
            return arm_error(a, 400, "InvalidResourceReference",
                             "The private DNS zone of the zone group '%s' was not found.", p->name);
        if (!stage_record(f, rq, zone, &e))
            return arm_error(a, 400, "InvalidRequestFormat", "The record's name is too long.");
    }
    put_str(p->properties, "provisioningState", "Succeeded");
    arm_copy(p->properties, p->body, arm_properties(p->body), "privateDnsZoneConfigs");
    return true;
}

static bool group_delete(struct fabric *f, const struct request *rq, struct arm_delete *d,
                         struct answer *a)
{
    char parent[ARM_ID_MAX + 1];
    struct arm_resource r;
    struct endpoint e;
    (void)a;
    snprintf(parent, sizeof parent, "%s", d->id);
    char *end = strcasestr(parent, "/privateDnsZoneGroups/");
    if (end != NULL)
        *end = 0;
    if (owner_of(f, parent, &r, &e))
        drop_all(f, rq, &d->resource->json, &e);
    return true;
}

static void put_record_set(struct json_wr *j, const struct endpoint *e, const char *zone)
{
    char name[ARM_NAME_MAX + 1], fqdn[2 * ARM_NAME_MAX];
    struct bytes z = arm_last_segment(bytes_str(zone));
    record_of(e, name);
    snprintf(fqdn, sizeof fqdn, "%.250s.%.*s", name, (int)(z.n < 253 ? z.n : 253),
             (const char *)z.p);
    json_name(j, "recordSets");
    json_arr_open(j);
    json_obj_open(j);
    put_str(j, "recordType", "A");
    put_str(j, "recordSetName", name);
    put_str(j, "fqdn", fqdn);
    put_int(j, "ttl", TTL);
    json_name(j, "ipAddresses");
    json_arr_open(j);
    json_put_str(j, e->address);
    json_arr_close(j);
    put_str(j, "provisioningState", "Succeeded");
    json_obj_close(j);
    json_arr_close(j);
}

static void put_config(const struct json_doc *d, uint32_t v, const struct endpoint *e,
                       struct json_wr *j)
{
    char zone[ARM_ID_MAX + 1];
    json_obj_open(j);
    arm_copy(j, d, v, "name");
    json_name(j, "properties");
    json_obj_open(j);
    if (zone_of(d, v, zone)) {
        put_str(j, "privateDnsZoneId", zone);
        put_record_set(j, e, zone);
    }
    json_obj_close(j);
    json_obj_close(j);
}

static void group_render(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                         struct json_wr *j)
{
    char parent[ARM_ID_MAX + 1];
    struct arm_resource owner;
    struct endpoint e = {0};
    const struct json_doc *d = &r->json;
    uint32_t p = arm_properties(d), list = json_get_nn(d, p, "privateDnsZoneConfigs");
    (void)rq;
    (void)arm_string(d, 0, "id", parent, sizeof parent);
    char *end = strcasestr(parent, "/privateDnsZoneGroups/");
    if (end != NULL)
        *end = 0;
    arm_copy(j, d, p, "provisioningState");
    json_name(j, "privateDnsZoneConfigs");
    json_arr_open(j);
    if (owner_of(f, parent, &owner, &e) && list != JSON_NONE) {
        for (uint32_t v = json_first(d, list); v != JSON_NONE; v = json_next(d, list, v))
            put_config(d, v, &e, j);
    }
    json_arr_close(j);
}

const struct arm_type network_zone_group_type = {
    .name = NETWORK_NS "privateEndpoints/privateDnsZoneGroups",
    .place = ARM_IN_GROUP,
    .methods = ARM_GET | ARM_LIST | ARM_PUT | ARM_DELETE,
    .style = ARM_ASYNC,
    .operations = "operations",
    .hidden = true,
    .put = group_put,
    .del = group_delete,
    .render = group_render,
};

struct ending {
    const struct request *rq;
    const struct endpoint *e;
};

static bool end_one(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    const struct ending *x = ctx;
    drop_all(f, x->rq, &r->json, x->e);
    return true;
}

void network_endpoint_end_groups(struct fabric *f, const struct request *rq,
                                 const struct endpoint *e)
{
    char below[ARM_ID_MAX + 2];
    struct ending x = {.rq = rq, .e = e};
    snprintf(below, sizeof below, "%s/", e->id);
    arm_each(f, bytes_str(below), &network_zone_group_type, end_one, &x);
}
