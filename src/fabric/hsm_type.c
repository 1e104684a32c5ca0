/* Microsoft.KeyVault/managedHSMs: creation, recovery, update, deletion and what clients see. */
#include "fabric/hsm.h"

#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/consumer.h"
#include "fabric/hsm_body.h"
#include "fabric/pool_info.h"
#include "fabric/usage.h"

#define NETWORK_OPEN                                                                               \
    "{\"bypass\":\"AzureServices\",\"defaultAction\":\"Allow\",\"ipRules\":[],"                    \
    "\"virtualNetworkRules\":[]}"

/* ---- what every way in writes ---- */

struct settings {
    const char *state, *message;
    int64_t retention; /* -1: not to be written */
    bool has_protect, protect;
    const char *access, *network; /* network: JSON */
};

static void put_properties(struct json_wr *j, const struct fabric *f, const struct settings *s)
{
    put_str(j, "tenantId", f->provider.dir.tenant);
    put_bool(j, "enableSoftDelete", true);
    if (s->retention >= 0)
        put_int(j, "softDeleteRetentionInDays", s->retention);
    if (s->has_protect)
        put_bool(j, "enablePurgeProtection", s->protect);
    put_str(j, "provisioningState", s->state);
    put_str(j, "statusMessage", s->message);
    json_name(j, "networkAcls");
    json_put_raw(j, bytes_str(s->network));
    put_str(j, "publicNetworkAccess", s->access);
    json_name(j, "regions");
    json_arr_open(j);
    json_arr_close(j);
}

static void put_sku(struct json_wr *j, const char *family, const char *name)
{
    json_name(j, "sku");
    json_obj_open(j);
    put_str(j, "family", family);
    put_str(j, "name", name);
    json_obj_close(j);
}

static bool regions_ready(const struct fabric *f, const struct hsm_body *b, struct answer *a)
{
    if (b->region[0] == 0)
        return true;
    if (!hsm_region_is_known(f, b->region))
        return hsm_bad_region(a, b->region);
    return arm_error(a, 501, "NotImplemented",
                     "Extension of a managed HSM to another region ('%s') is not available in this "
                     "server version.",
                     b->region);
}

/* ---- creation ---- */

struct quota {
    const char *location;
    unsigned n;
};

static bool count_one(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    struct quota *q = ctx;
    (void)f;
    q->n += arm_string_is(&r->json, 0, "location", q->location);
    return true;
}

static bool quota_ready(struct fabric *f, const char *location, struct answer *a)
{
    struct quota q = {.location = location};
    arm_each(f, bytes_str("/subscriptions/"), &hsm_type, count_one, &q);
    return q.n < HSM_PER_REGION ||
           arm_error(a, 409, "QuotaExceeded",
                     "The subscription has %u managed HSMs in region '%s' already, the limit is "
                     "%d.",
                     q.n, location, HSM_PER_REGION);
}

static bool name_ready(const struct arm_put *p, struct answer *a)
{
    return hsm_name_is_valid(bytes_str(p->name)) ||
           arm_error(a, 400, "VaultNameNotValid",
                     "The managed HSM name '%s' is invalid. A name must be between 3-%d "
                     "alphanumeric characters and hyphens. The name must begin with a letter, end "
                     "with a letter or digit, and not contain consecutive hyphens.",
                     p->name, HSM_NAME_MAX);
}

/* Somebody has the name; where and in what state decides what is told. */
static bool name_taken(const struct hsm_pool *taken, const struct arm_put *p, struct answer *a)
{
    if (taken->deleted)
        return arm_error(a, 409, "ConflictError",
                         "A managed HSM with the same name '%s' already exists in deleted state. "
                         "You need to either recover or purge the existing one.",
                         p->name);
    return arm_error(
        a, 409, "VaultAlreadyExists",
        "The name '%s' is already in use. Managed HSM names are globally unique, so it "
        "is possible that the name is taken by another resource group.",
        p->name);
}

static bool create(struct fabric *f, const struct request *rq, struct arm_put *p,
                   const struct hsm_body *b, struct answer *a)
{
    struct hsm_pool pool = {.created_ms = rq->now_ms};
    unsigned identity = 0;
    if (!name_ready(p, a) || !hsm_place(f, p->location, pool.node, a) || !regions_ready(f, b, a))
        return false;
    if (b->sku[0] == 0)
        return arm_error(a, 400, "SkuNotSupported", "The property 'sku' is required.");
    if (b->admin_n == 0)
        return arm_error(a, 400, "BadRequest",
                         "The property 'initialAdminObjectIds' needs at least one object id.");
    if (p->old == NULL && !quota_ready(f, p->location, a))
        return false;
    put_sku(p->top, b->family, b->sku);
    if (!consumer_identity(f, rq, p, &identity, a))
        return false;
    const struct settings s = {.state = "Provisioning",
                               .message = HSM_ALLOCATING,
                               .retention = b->retention < 0 ? 90 : b->retention,
                               .has_protect = true,
                               .protect = b->protect == 1,
                               .access = b->access[0] != 0 ? b->access : "Enabled",
                               .network = b->network[0] != 0 ? b->network : NETWORK_OPEN};
    put_properties(p->properties, f, &s);
    json_name(p->properties, "initialAdminObjectIds");
    json_arr_open(p->properties);
    for (size_t i = 0; i < b->admin_n; i++)
        json_put_str(p->properties, b->admin[i]);
    json_arr_close(p->properties);
    snprintf(pool.name, sizeof pool.name, "%s", p->name);
    snprintf(pool.id, sizeof pool.id, "%s", p->id);
    snprintf(pool.location, sizeof pool.location, "%s", p->location);
    hsm_pool_stage(rq->changes, &pool);
    usage_begin(rq->changes, pool.name, pool.location, pool.id, rq->now_ms);
    p->operation = HSM_OP_CREATE;
    return true;
}

/* ---- recovery ---- */

/* The resource as it was, with everything but its state. */
static void put_recovered(struct arm_put *p, const struct json_doc *d, uint32_t resource)
{
    static const char *const top[] = {"id",   "name",       "type",       "location",
                                      "tags", "systemData", "properties", NULL};
    static const char *const state[] = {"provisioningState", "statusMessage", NULL};
    arm_copy_except(p->top, d, resource, top);
    arm_copy_except(p->properties, d, json_get(d, resource, "properties"), state);
    put_str(p->properties, "provisioningState", "Provisioning");
    put_str(p->properties, "statusMessage", HSM_STARTING);
}

static bool recover(struct fabric *f, const struct request *rq, struct arm_put *p, struct answer *a)
{
    struct hsm_deleted d;
    char key[STATE_KEY_MAX + 1], text[HSM_PLACE_MAX + HSM_NAME_MAX + 2];
    if (!hsm_deleted_find(f, bytes_str(p->location), bytes_str(p->name), &d))
        return arm_error(a, 404, "ResourceNotFound",
                         "The deleted managed HSM '%s' in location '%s' was not found.", p->name,
                         p->location);
    if (!bytes_ieq(bytes_str(d.pool.id), bytes_str(p->id)))
        return arm_error(a, 409, "ConflictError",
                         "The managed HSM '%s' was deleted from another resource group; recover it "
                         "as '%s'.",
                         p->name, d.pool.id);
    if (d.purging)
        return hsm_conflict(a, p->name);
    uint32_t resource = json_get(&d.json, 0, "resource");
    put_recovered(p, &d.json, resource);
    /* createdAt and tags go on from there. */
    if (arm_read_json(bytes_str(p->id), json_raw(&d.json, resource), p->spare)) {
        p->old = &p->spare->json;
        p->patch = true;
    }
    snprintf(text, sizeof text, "%s/%s", d.pool.location, d.pool.name);
    if (arm_key(bytes_str(text), key))
        changes_delete(rq->changes, STATE_DELETED_HSM, bytes_str(key));
    d.pool.deleted = false;
    hsm_pool_stage(rq->changes, &d.pool);
    usage_recovered(rq->changes, d.pool.name, d.pool.location);
    p->operation = HSM_OP_RECOVER;
    return true;
}

/* ---- update ---- */

static bool update_ready(const struct fabric *f, const struct hsm_pool *pool,
                         const struct arm_put *p, const struct hsm_body *b, struct settings *s,
                         struct answer *a)
{
    char family[8], sku[32];
    uint32_t old = json_get_nn(p->old, 0, "sku");
    (void)arm_string(p->old, old, "family", family, sizeof family);
    (void)arm_string(p->old, old, "name", sku, sizeof sku);
    if (b->sku[0] != 0 && (strcmp(family, b->family) != 0 || strcmp(sku, b->sku) != 0))
        return arm_error(a, 400, "BadRequest", "The property 'sku' cannot be changed.");
    if (b->recover)
        return arm_error(a, 409, "ConflictError",
                         "The managed HSM '%s' is not in deleted state: there is nothing to "
                         "recover.",
                         p->name);
    bool protected = false;
    hsm_protection(f, pool, p->old, &s->retention, &protected);
    if (b->retention >= 0 && b->retention != s->retention)
        return arm_error(a, 400, "BadRequest",
                         "The property 'softDeleteRetentionInDays' cannot be changed after the "
                         "managed HSM was created.");
    if (protected && b->protect == 0)
        return arm_error(a, 400, "BadRequest",
                         "The property 'enablePurgeProtection' cannot be set to false. Enabling "
                         "the purge protection for a managed HSM is an irreversible action.");
    s->has_protect = true;
    s->protect = protected || b->protect == 1;
    return regions_ready(f, b, a);
}

static bool same_text(const struct json_doc *d, const char *name, const char *want)
{
    uint32_t v = json_get(d, arm_properties(d), name);
    return v != JSON_NONE && bytes_eq_str(json_raw(d, v), want);
}

static bool update(struct fabric *f, const struct request *rq, struct arm_put *p,
                   const struct hsm_body *b, const struct hsm_pool *pool, struct answer *a)
{
    unsigned identity = 0;
    struct settings s = {.state = "Updating", .message = HSM_READY};
    char access[32], network[16384];
    int64_t days = 0;
    bool was_protected = false;
    uint32_t old = arm_properties(p->old);
    if (!update_ready(f, pool, p, b, &s, a))
        return false;
    hsm_protection(f, pool, p->old, &days, &was_protected);
    if (!arm_string(p->old, old, "publicNetworkAccess", access, sizeof access))
        snprintf(access, sizeof access, "Enabled");
    struct bytes acls = json_raw(p->old, json_get(p->old, old, "networkAcls"));
    snprintf(network, sizeof network, "%.*s", (int)acls.n, (const char *)acls.p);
    s.access = b->access[0] != 0 ? b->access : access;
    s.network = b->network[0] != 0 ? b->network : network[0] != 0 ? network : NETWORK_OPEN;
    bool works = s.protect != was_protected || !same_text(p->old, "networkAcls", s.network) ||
                 !same_text(p->old, "publicNetworkAccess", s.access);
    /* It may not run: another attempt to start it comes with any update. */
    bool failed = arm_string_is(p->old, old, "provisioningState", "Failed");
    if (!works && !failed)
        s.state = "Succeeded";
    arm_copy(p->top, p->old, 0, "sku");
    if (!consumer_identity(f, rq, p, &identity, a))
        return false;
    put_properties(p->properties, f, &s);
    arm_copy(p->properties, p->old, old, "initialAdminObjectIds");
    if (failed)
        p->operation = HSM_OP_RECOVER;
    else if (works)
        p->operation = HSM_OP_UPDATE;
    return true;
}

static bool put(struct fabric *f, const struct request *rq, struct arm_put *p, struct answer *a)
{
    struct hsm_body b;
    struct hsm_pool pool;
    if (!hsm_body_read(p->body, p->location, &b, a))
        return false;
    bool taken = hsm_pool_find(f, bytes_str(p->name), &pool);
    bool own = taken && bytes_ieq(bytes_str(pool.id), bytes_str(p->id));
    if (p->old != NULL && hsm_is_busy(p->old))
        return hsm_conflict(a, p->name);
    if (p->old != NULL && own)
        return update(f, rq, p, &b, &pool, a);
    if (b.recover)
        return recover(f, rq, p, a);
    if (taken)
        return name_taken(&pool, p, a);
    return create(f, rq, p, &b, a);
}

/* ---- deletion ---- */

static bool del(struct fabric *f, const struct request *rq, struct arm_delete *d, struct answer *a)
{
    char key[STATE_KEY_MAX + 1], name[HSM_NAME_MAX + 1];
    struct hsm_pool pool;
    (void)arm_string(&d->resource->json, 0, "name", name, sizeof name);
    if (hsm_is_busy(&d->resource->json))
        return hsm_conflict(a, name);
    if (!hsm_pool_find(f, bytes_str(name), &pool))
        return consumer_delete(f, rq, d, a); /* its creation has failed: nothing else is left */
    if (!arm_key(bytes_str(d->id), key))
        return false;
    hsm_stage_state(f, rq->changes, key, "Deleting", NULL);
    d->operation = HSM_OP_DELETE;
    return true;
}

/* ---- what clients see ---- */

static bool list_connection(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    static const char *const left_out[] = {"name", "type", "location", "systemData", NULL};
    struct json_wr *j = ctx;
    (void)f;
    json_obj_open(j);
    arm_copy_except(j, &r->json, 0, left_out);
    json_obj_close(j);
    return true;
}

static bool any_connection(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    (void)f, (void)r;
    *(bool *)ctx = true;
    return false;
}

static void put_connections(struct fabric *f, struct json_wr *j, const struct json_doc *d)
{
    char id[ARM_ID_MAX + 2];
    bool any = false;
    if (!arm_string(d, 0, "id", id, ARM_ID_MAX))
        return;
    size_t n = strlen(id);
    id[n] = '/';
    id[n + 1] = 0;
    arm_each(f, bytes_str(id), &hsm_connection_type, any_connection, &any);
    if (!any)
        return;
    json_name(j, "privateEndpointConnections");
    json_arr_open(j);
    arm_each(f, bytes_str(id), &hsm_connection_type, list_connection, j);
    json_arr_close(j);
}

static void put_activation(struct json_wr *j, bool active)
{
    json_name(j, "securityDomainProperties");
    json_obj_open(j);
    put_str(j, "activationStatus", active ? "Active" : "NotActivated");
    put_str(j, "activationStatusMessage",
            active ? "Your HSM has been activated and can be used for cryptographic operations."
                   : "Your HSM has been provisioned, but cannot be used for cryptographic "
                     "operations until it is activated. To activate the HSM, download the security "
                     "domain.");
    json_obj_close(j);
}

/* The first pool's settings are those of its file until an update has written them down. */
static void put_from_file(struct json_wr *j, const struct pool_info *i, const struct json_doc *d,
                          uint32_t p)
{
    if (!i->has_settings)
        return;
    if (json_get(d, p, "softDeleteRetentionInDays") == JSON_NONE)
        put_int(j, "softDeleteRetentionInDays", i->settings.retention_days);
    if (json_get(d, p, "enablePurgeProtection") == JSON_NONE)
        put_bool(j, "enablePurgeProtection", i->settings.purge_protection);
    if (json_get(d, p, "initialAdminObjectIds") != JSON_NONE)
        return;
    json_name(j, "initialAdminObjectIds");
    json_arr_open(j);
    for (size_t k = 0; k < i->settings.administrator_n; k++)
        json_put_str(j, i->settings.administrator[k]);
    json_arr_close(j);
}

static void render(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                   struct json_wr *j)
{
    static const char *const none[] = {NULL};
    char uri[FACE_URL_MAX + 64], shown[HSM_NAME_MAX + 1], name[STATE_KEY_MAX + 1];
    uint32_t p = arm_properties(&r->json);
    struct hsm_pool pool;
    struct pool_info info = {0};
    (void)arm_string(&r->json, 0, "name", shown, sizeof shown);
    (void)arm_key(bytes_str(shown), name);
    snprintf(uri, sizeof uri, "https://%.24s.%s/", name, rq->face.hsm_suffix);
    put_str(j, "hsmUri", uri);
    if (p != JSON_NONE)
        arm_copy_except(j, &r->json, p, none);
    put_connections(f, j, &r->json);
    if (!hsm_pool_find(f, bytes_str(name), &pool))
        return;
    pool_info_read_pool(f->config.home, pool.first ? NULL : name, &info);
    if (pool.first)
        put_from_file(j, &info, &r->json, p);
    if (info.has_state)
        put_activation(j, info.active);
}

/* ---- parts of it ---- */

static bool regions(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                    const struct json_doc *body, struct answer *a)
{
    char location[HSM_PLACE_MAX + 1];
    struct json_wr j = json_wr_of(&a->body);
    (void)f, (void)rq, (void)body;
    (void)arm_string(&r->json, 0, "location", location, sizeof location);
    arm_list_open(&j);
    json_obj_open(&j);
    put_str(&j, "name", location);
    put_str(&j, "provisioningState", "Succeeded");
    put_bool(&j, "isPrimary", true);
    json_obj_close(&j);
    arm_list_close(&j);
    return true;
}

static bool link_resources(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                           const struct json_doc *body, struct answer *a)
{
    char id[ARM_ID_MAX + 1];
    struct json_wr j = json_wr_of(&a->body);
    (void)f, (void)rq, (void)body;
    (void)arm_string(&r->json, 0, "id", id, sizeof id);
    arm_list_open(&j);
    json_obj_open(&j);
    put_join(&j, "id", id, "/privateLinkResources/managedhsm");
    put_str(&j, "name", "managedhsm");
    put_str(&j, "type", HSM_TYPE "/privateLinkResources");
    json_name(&j, "properties");
    json_put_raw(&j, bytes_str("{\"groupId\":\"managedhsm\",\"requiredMembers\":[\"default\"],"
                               "\"requiredZoneNames\":[\"privatelink.managedhsm.azure.net\"]}"));
    json_obj_close(&j);
    arm_list_close(&j);
    return true;
}

static const struct arm_action actions[] = {
    {HTTP1_GET, "regions", "read", regions},
    {HTTP1_GET, "privateLinkResources", "privateLinkResources/read", link_resources},
    {0},
};

const struct arm_type hsm_type = {
    .name = HSM_TYPE,
    .place = ARM_IN_GROUP,
    .methods = ARM_ALL,
    .style = ARM_LOCATION,
    .operations = "managedHsmOperationResults",
    .located = true,
    .put = put,
    .del = del,
    .render = render,
    .actions = actions,
};
