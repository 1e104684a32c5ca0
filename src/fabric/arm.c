/* What exists of the control plane: one subscription, one resource group and the pool, read-only.
 * Every principal of the directory may read it; rights on keys are the pool's own business. */
#include <stdio.h>
#include "fabric/fabric.h"
#include "fabric/odata.h"
#include "fabric/pool_info.h"

#define POOL_TYPE "Microsoft.KeyVault/managedHSMs"

static void list_open(struct json_wr *j)
{
    json_obj_open(j);
    json_name(j, "value");
    json_arr_open(j);
}

static void list_close(struct json_wr *j)
{
    json_arr_close(j);
    json_obj_close(j);
}

void arm_nothing(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)f, (void)rq;
    struct json_wr j = json_wr_of(&a->body);
    list_open(&j);
    list_close(&j);
}

void arm_tenants(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)rq;
    const struct directory *d = &f->provider.dir;
    struct json_wr j = json_wr_of(&a->body);
    list_open(&j);
    json_obj_open(&j);
    put_join(&j, "id", "/tenants/", d->tenant);
    put_str(&j, "tenantId", d->tenant);
    put_str(&j, "displayName", d->tenant_name);
    put_str(&j, "defaultDomain", d->domain);
    put_str(&j, "tenantType", "AAD");
    put_str(&j, "tenantCategory", "Home");
    json_name(&j, "domains");
    json_arr_open(&j);
    json_put_str(&j, d->domain);
    json_arr_close(&j);
    json_obj_close(&j);
    list_close(&j);
}

static void put_subscription(struct json_wr *j, const struct directory *d)
{
    json_obj_open(j);
    put_join(j, "id", "/subscriptions/", d->subscription);
    put_str(j, "subscriptionId", d->subscription);
    put_str(j, "tenantId", d->tenant);
    put_str(j, "displayName", d->tenant_name);
    put_str(j, "state", "Enabled");
    put_str(j, "authorizationSource", "RoleBased");
    json_name(j, "managedByTenants");
    json_arr_open(j);
    json_arr_close(j);
    json_name(j, "subscriptionPolicies");
    json_obj_open(j);
    put_str(j, "locationPlacementId", "Public_2014-09-01");
    put_str(j, "quotaId", "PayAsYouGo_2014-09-01");
    put_str(j, "spendingLimit", "Off");
    json_obj_close(j);
    json_obj_close(j);
}

void arm_subscriptions(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)rq;
    struct json_wr j = json_wr_of(&a->body);
    list_open(&j);
    put_subscription(&j, &f->provider.dir);
    list_close(&j);
}

void arm_subscription(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)rq;
    struct json_wr j = json_wr_of(&a->body);
    put_subscription(&j, &f->provider.dir);
}

/* "/subscriptions/S" + tail */
static void put_id(struct json_wr *j, const struct fabric *f, const char *tail, const char *name)
{
    json_name(j, "id");
    json_str_open(j);
    json_str_add_s(j, "/subscriptions/");
    json_str_add_s(j, f->provider.dir.subscription);
    json_str_add_s(j, tail);
    json_str_add_s(j, name);
    json_str_close(j);
}

void arm_locations(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)rq;
    struct json_wr j = json_wr_of(&a->body);
    list_open(&j);
    json_obj_open(&j);
    put_id(&j, f, "/locations/", f->config.region);
    put_str(&j, "name", f->config.region);
    put_str(&j, "type", "Region");
    put_str(&j, "displayName", f->config.region);
    put_str(&j, "regionalDisplayName", f->config.region);
    json_obj_close(&j);
    list_close(&j);
}

static void put_group(struct json_wr *j, const struct fabric *f)
{
    json_obj_open(j);
    put_id(j, f, "/resourceGroups/", FABRIC_GROUP);
    put_str(j, "name", FABRIC_GROUP);
    put_str(j, "type", "Microsoft.Resources/resourceGroups");
    put_str(j, "location", f->config.region);
    json_name(j, "properties");
    json_obj_open(j);
    put_str(j, "provisioningState", "Succeeded");
    json_obj_close(j);
    json_obj_close(j);
}

void arm_groups(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)rq;
    struct json_wr j = json_wr_of(&a->body);
    list_open(&j);
    put_group(&j, f);
    list_close(&j);
}

/* The group named by the path; answers 404 itself when there is none. */
static bool group_exists(const struct request *rq, struct answer *a)
{
    if (rq->url.seg_n < 4 || !bytes_ieq(rq->url.seg[2], bytes_str("resourcegroups")) ||
        bytes_ieq(rq->url.seg[3], bytes_str(FABRIC_GROUP)))
        return true;
    answer_error(a, 404, "ResourceGroupNotFound",
                 "The resource group could not be found; the only one is '" FABRIC_GROUP "'.");
    return false;
}

void arm_group(struct fabric *f, const struct request *rq, struct answer *a)
{
    if (!group_exists(rq, a))
        return;
    struct json_wr j = json_wr_of(&a->body);
    put_group(&j, f);
}

/* The pool's entry in the list of all resources: what the filter may ask for. */
static bool resource_fits(const struct fabric *f, const struct odata_filter *filter)
{
    for (size_t i = 0; i < filter->n; i++) {
        const struct odata_clause *c = &filter->clause[i];
        const char *actual = bytes_ieq(c->field, bytes_str("resourceType"))    ? POOL_TYPE
                             : bytes_ieq(c->field, bytes_str("name"))          ? f->config.pool
                             : bytes_ieq(c->field, bytes_str("resourceGroup")) ? FABRIC_GROUP
                                                                               : "";
        if (!odata_value_fits(c, actual))
            return false;
    }
    return true;
}

void arm_resources(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct odata_filter filter = {0};
    struct bytes text = url_param_get(&rq->url, "$filter");
    if (!group_exists(rq, a))
        return;
    if (text.n > 0 && odata_parse(text, &filter) != HSM_OK) {
        answer_error(a, 400, "InvalidFilterInQueryString", "The $filter is not supported.");
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    list_open(&j);
    if (f->config.pool != NULL && resource_fits(f, &filter)) {
        json_obj_open(&j);
        put_id(&j, f, "/resourceGroups/" FABRIC_GROUP "/providers/" POOL_TYPE "/", f->config.pool);
        put_str(&j, "name", f->config.pool);
        put_str(&j, "type", POOL_TYPE);
        put_str(&j, "location", f->config.region);
        json_obj_close(&j);
    }
    list_close(&j);
}

static void put_pool(struct json_wr *j, const struct fabric *f, const struct request *rq)
{
    char uri[FACE_URL_MAX + 64];
    struct pool_info info;
    pool_info_read(f->config.home, &info);
    snprintf(uri, sizeof uri, "https://%s.%s/", f->config.pool, rq->face.hsm_suffix);
    json_obj_open(j);
    put_id(j, f, "/resourceGroups/" FABRIC_GROUP "/providers/" POOL_TYPE "/", f->config.pool);
    put_str(j, "name", f->config.pool);
    put_str(j, "type", POOL_TYPE);
    put_str(j, "location", f->config.region);
    json_name(j, "tags");
    json_obj_open(j);
    json_obj_close(j);
    json_name(j, "sku");
    json_obj_open(j);
    put_str(j, "family", "B");
    put_str(j, "name", "Standard_B1");
    json_obj_close(j);
    json_name(j, "properties");
    json_obj_open(j);
    put_str(j, "tenantId", f->provider.dir.tenant);
    put_str(j, "hsmUri", uri);
    put_str(j, "provisioningState", "Succeeded");
    put_str(j, "statusMessage", "The Managed HSM is provisioned and ready to use.");
    put_bool(j, "enableSoftDelete", true);
    pool_info_put(j, &info);
    put_str(j, "publicNetworkAccess", "Enabled");
    json_name(j, "regions");
    json_arr_open(j);
    json_arr_close(j);
    json_name(j, "privateEndpointConnections");
    json_arr_open(j);
    json_arr_close(j);
    json_obj_close(j);
    json_obj_close(j);
}

void arm_pools(struct fabric *f, const struct request *rq, struct answer *a)
{
    if (!group_exists(rq, a))
        return;
    struct json_wr j = json_wr_of(&a->body);
    list_open(&j);
    if (f->config.pool != NULL)
        put_pool(&j, f, rq);
    list_close(&j);
}

void arm_pool(struct fabric *f, const struct request *rq, struct answer *a)
{
    if (!group_exists(rq, a))
        return;
    struct bytes name = rq->url.seg[rq->url.seg_n - 1];
    if (f->config.pool == NULL || !bytes_ieq(name, bytes_str(f->config.pool))) {
        answer_error(a, 404, "ResourceNotFound", "The Managed HSM was not found.");
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    put_pool(&j, f, rq);
}
