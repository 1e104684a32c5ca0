/* Private DNS zones, their links to virtual networks, and address records. */
#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/network.h"

#define ADDRESSES_MAX 20

static void zone_head(struct json_wr *j)
{
    put_str(j, "provisioningState", "Succeeded");
    put_int(j, "maxNumberOfRecordSets", 25000);
    put_int(j, "maxNumberOfVirtualNetworkLinks", 1000);
    put_int(j, "maxNumberOfVirtualNetworkLinksWithRegistration", 100);
}

static bool zone_put(struct fabric *f, const struct request *rq, struct arm_put *p,
                     struct answer *a)
{
    char name[DNS_NAME_MAX + 1];
    (void)f, (void)rq;
    if (dns_name_parse(bytes_str(p->name), name) != HSM_OK)
        return arm_error(a, 400, "BadRequest", "The zone name '%s' is not valid.", p->name);
    zone_head(p->properties);
    return true;
}

struct counts {
    int64_t records, links;
};

static bool count_one(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    struct counts *c = ctx;
    (void)f;
    c->records += r->type == &network_record_type;
    c->links += r->type == &network_link_type;
    return true;
}

static void zone_render(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                        struct json_wr *j)
{
    char id[ARM_ID_MAX + 1], below[ARM_ID_MAX + 2];
    struct counts c = {.records = 1}; /* SOA */
    (void)rq;
    (void)arm_string(&r->json, 0, "id", id, sizeof id);
    snprintf(below, sizeof below, "%s/", id);
    arm_each(f, bytes_str(below), NULL, count_one, &c);
    arm_copy_except(j, &r->json, arm_properties(&r->json), (const char *const[]){NULL});
    put_int(j, "numberOfRecordSets", c.records);
    put_int(j, "numberOfVirtualNetworkLinks", c.links);
    put_int(j, "numberOfVirtualNetworkLinksWithRegistration", 0);
}

const struct arm_type network_zone_type = {
    .name = NETWORK_NS "privateDnsZones",
    .place = ARM_IN_GROUP,
    .methods = ARM_ALL,
    .style = ARM_ASYNC,
    .operations = "privateDnsOperationStatuses",
    .located = true,
    .put = zone_put,
    .render = zone_render,
};

/* ---- links ---- */

static bool link_put(struct fabric *f, const struct request *rq, struct arm_put *p,
                     struct answer *a)
{
    char id[ARM_ID_MAX + 1] = "";
    uint32_t body = arm_properties(p->body);
    uint32_t network = body == JSON_NONE ? JSON_NONE : json_get_nn(p->body, body, "virtualNetwork");
    (void)rq;
    if (network != JSON_NONE)
        (void)arm_string(p->body, network, "id", id, sizeof id);
    if (!(p->patch && network == JSON_NONE) &&
        (!arm_find(f, bytes_str(id), p->spare) || p->spare->type != &network_vnet_type))
        return arm_error(a, 400, "BadRequest", "The virtual network '%s' was not found.", id);
    put_str(p->properties, "provisioningState", "Succeeded");
    put_str(p->properties, "virtualNetworkLinkState", "Completed");
    arm_keep(p, "virtualNetwork");
    if (!arm_keep(p, "registrationEnabled"))
        put_bool(p->properties, "registrationEnabled", false);
    return true;
}

const struct arm_type network_link_type = {
    .name = NETWORK_NS "privateDnsZones/virtualNetworkLinks",
    .place = ARM_IN_GROUP,
    .methods = ARM_ALL,
    .style = ARM_ASYNC,
    .operations = "privateDnsOperationStatuses",
    .located = true,
    .hidden = true,
    .put = link_put,
};

/* ---- records ---- */

static bool record_put(struct fabric *f, const struct request *rq, struct arm_put *p,
                       struct answer *a)
{
    struct dns_record r;
    uint32_t body = arm_properties(p->body);
    uint32_t list = body == JSON_NONE ? JSON_NONE : json_get_nn(p->body, body, "aRecords");
    struct bytes zone = arm_last_segment(bytes_str(p->parent));
    char address[NETWORK_CIDR_TEXT_MAX] = "", fqdn[2 * DNS_NAME_MAX + 4];
    size_t n = 0;
    (void)f, (void)rq;
    if (dns_record_set(&r, bytes_str(p->name), zone, bytes_str("127.0.0.1"), 0) != HSM_OK)
        return arm_error(a, 400, "BadRequest", "The record name '%s' is not valid.", p->name);
    for (uint32_t v = list == JSON_NONE ? JSON_NONE : json_first(p->body, list); v != JSON_NONE;
         v = json_next(p->body, list, v))
        if (++n > ADDRESSES_MAX ||
            !arm_string(p->body, v, "ipv4Address", address, sizeof address) ||
            strchr(address, ':') != NULL ||
            dns_record_set(&r, bytes_str(p->name), zone, bytes_str(address), 0) != HSM_OK)
            return arm_error(a, 400, "BadRequest", "The address '%s' is not valid.", address);
    if (!arm_keep(p, "ttl"))
        put_int(p->properties, "ttl", 3600);
    if (!arm_keep(p, "metadata")) {
        json_name(p->properties, "metadata");
        json_put_raw(p->properties, bytes_str("{}"));
    }
    if (!arm_keep(p, "aRecords")) {
        json_name(p->properties, "aRecords");
        json_put_raw(p->properties, bytes_str("[]"));
    }
    snprintf(fqdn, sizeof fqdn, "%s.%s.", r.name, r.zone);
    put_str(p->properties, "fqdn", fqdn);
    put_bool(p->properties, "isAutoRegistered", false);
    return true;
}

const struct arm_type network_record_type = {
    .name = NETWORK_NS "privateDnsZones/A",
    .place = ARM_IN_GROUP,
    .methods = ARM_ALL,
    .style = ARM_AT_ONCE,
    .hidden = true,
    .put = record_put,
};
