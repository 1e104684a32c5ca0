/* Tenants, subscriptions, locations. */
#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/hsm.h"
#include "fabric/subscription.h"

void arm_list_open(struct json_wr *j)
{
    json_obj_open(j);
    json_name(j, "value");
    json_arr_open(j);
}

void arm_list_close(struct json_wr *j)
{
    json_arr_close(j);
    json_obj_close(j);
}

void arm_nothing(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)f, (void)rq;
    struct json_wr j = json_wr_of(&a->body);
    arm_list_open(&j);
    arm_list_close(&j);
}

void arm_tenants(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)rq;
    const struct directory *d = &f->provider.dir;
    struct json_wr j = json_wr_of(&a->body);
    arm_list_open(&j);
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
    arm_list_close(&j);
}

/* ---- the subscription ---- */

bool arm_subscription_ready(struct fabric *f, struct bytes subscription, bool write,
                            struct answer *a)
{
    if (subscription.p == NULL)
        return true;
    if (!bytes_ieq(subscription, bytes_str(f->provider.dir.subscription)))
        return arm_error(a, 404, "SubscriptionNotFound",
                         "The subscription '%.*s' could not be found.", (int)subscription.n,
                         (const char *)subscription.p);
    return !write || subscription_may_write(f, a);
}

static void put_subscription(struct json_wr *j, const struct fabric *f)
{
    const struct directory *d = &f->provider.dir;
    json_obj_open(j);
    put_join(j, "id", "/subscriptions/", d->subscription);
    put_str(j, "subscriptionId", d->subscription);
    put_str(j, "tenantId", d->tenant);
    put_str(j, "displayName", d->tenant_name);
    put_str(j, "state", subscription_state(f));
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

static bool may_see(struct fabric *f, const struct request *rq)
{
    char id[128];
    snprintf(id, sizeof id, "/subscriptions/%s", f->provider.dir.subscription);
    return arm_may_below(f, rq, bytes_str(id));
}

/* Only those in which the caller has any right. */
void arm_subscriptions(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct json_wr j = json_wr_of(&a->body);
    arm_list_open(&j);
    if (may_see(f, rq))
        put_subscription(&j, f);
    arm_list_close(&j);
}

void arm_subscription(struct fabric *f, const struct request *rq, struct answer *a)
{
    if (!may_see(f, rq)) {
        arm_forbid(rq, "Microsoft.Resources/subscriptions/read", rq->url.path, a);
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    put_subscription(&j, f);
}

/* ---- locations ---- */

static void put_location(struct json_wr *j, const struct fabric *f, const char *name)
{
    json_obj_open(j);
    json_name(j, "id");
    json_str_open(j);
    json_str_add_s(j, "/subscriptions/");
    json_str_add_s(j, f->provider.dir.subscription);
    json_str_add_s(j, "/locations/");
    json_str_add_s(j, name);
    json_str_close(j);
    put_str(j, "name", name);
    put_str(j, "type", "Region");
    put_str(j, "displayName", name);
    put_str(j, "regionalDisplayName", name);
    json_name(j, "metadata");
    json_obj_open(j);
    put_str(j, "regionType", "Physical");
    json_obj_close(j);
    json_obj_close(j);
}

/* The installation's own region first: az takes the first one when it needs any. */
void arm_locations(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)rq;
    struct json_wr j = json_wr_of(&a->body);
    arm_list_open(&j);
    put_location(&j, f, f->config.region);
    for (size_t i = 0; i < hsm_regions_n; i++)
        if (strcmp(hsm_regions[i], f->config.region) != 0)
            put_location(&j, f, hsm_regions[i]);
    arm_list_close(&j);
}
