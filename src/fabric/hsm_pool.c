/* Names of pools, regions, and states of stored resources. */
#include "fabric/hsm.h"

#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/pool_info.h"

const char *const hsm_regions[] = {"usgovarizona",
                                   "usgovvirginia",
                                   "usgovtexas",
                                   "chinanorth",
                                   "chinanorth2",
                                   "chinanorth3",
                                   "chinaeast",
                                   "chinaeast2",
                                   "eastus",
                                   "eastus2",
                                   "centralus",
                                   "northcentralus",
                                   "southcentralus",
                                   "westcentralus",
                                   "westus",
                                   "westus2",
                                   "westus3",
                                   "canadacentral",
                                   "canadaeast",
                                   "mexicocentral",
                                   "brazilsouth",
                                   "brazilsoutheast",
                                   "northeurope",
                                   "westeurope",
                                   "uksouth",
                                   "ukwest",
                                   "francecentral",
                                   "francesouth",
                                   "germanywestcentral",
                                   "germanynorth",
                                   "switzerlandnorth",
                                   "switzerlandwest",
                                   "norwayeast",
                                   "norwaywest",
                                   "swedencentral",
                                   "swedensouth",
                                   "polandcentral",
                                   "italynorth",
                                   "spaincentral",
                                   "austriaeast",
                                   "israelcentral",
                                   "uaenorth",
                                   "uaecentral",
                                   "qatarcentral",
                                   "southafricanorth",
                                   "southafricawest",
                                   "eastasia",
                                   "southeastasia",
                                   "japaneast",
                                   "japanwest",
                                   "koreacentral",
                                   "koreasouth",
                                   "centralindia",
                                   "southindia",
                                   "westindia",
                                   "jioindiawest",
                                   "jioindiacentral",
                                   "australiaeast",
                                   "australiasoutheast",
                                   "australiacentral",
                                   "australiacentral2",
                                   "newzealandnorth",
                                   "indonesiacentral",
                                   "malaysiawest",
                                   "taiwannorth",
                                   "chilecentral"};
const size_t hsm_regions_n = sizeof hsm_regions / sizeof *hsm_regions;

bool hsm_region_is_known(const struct fabric *f, const char *name)
{
    if (strcmp(name, f->config.region) == 0)
        return true;
    for (size_t i = 0; i < hsm_regions_n; i++)
        if (strcmp(name, hsm_regions[i]) == 0)
            return true;
    return false;
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool hsm_name_is_valid(struct bytes name)
{
    if (name.n < 3 || name.n > HSM_NAME_MAX || !is_letter(name.p[0]))
        return false;
    for (size_t i = 1; i < name.n; i++) {
        uint8_t c = name.p[i];
        bool plain = is_letter(c) || (c >= '0' && c <= '9');
        if (!plain && (c != '-' || name.p[i - 1] == '-' || i + 1 == name.n))
            return false;
    }
    return true;
}

/* ---- the reservation ---- */

bool hsm_pool_find(const struct fabric *f, struct bytes name, struct hsm_pool *ret)
{
    char key[STATE_KEY_MAX + 1];
    struct json_tok tok[64];
    struct json_doc doc;
    int64_t created = 0;
    struct hsm_pool p = {0};
    const struct document *d =
        arm_key(name, key) ? state_get(f->state, STATE_POOL, bytes_str(key)) : NULL;
    if (d == NULL || json_parse(d->json, tok, 64, &doc) != HSM_OK ||
        !arm_string(&doc, 0, "name", p.name, sizeof p.name) ||
        !arm_string(&doc, 0, "id", p.id, sizeof p.id) ||
        !arm_string(&doc, 0, "location", p.location, sizeof p.location) ||
        !arm_string(&doc, 0, "node", p.node, sizeof p.node))
        return false;
    if (json_bool(&doc, json_get(&doc, 0, "first"), &p.first) != HSM_OK ||
        json_bool(&doc, json_get(&doc, 0, "deleted"), &p.deleted) != HSM_OK ||
        json_int(&doc, json_get(&doc, 0, "created"), &created) != HSM_OK)
        return false;
    p.created_ms = (uint64_t)created;
    *ret = p;
    return true;
}

void hsm_pool_stage(struct changes *c, const struct hsm_pool *p)
{
    char key[STATE_KEY_MAX + 1];
    uint8_t text[2048];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    put_str(&j, "name", p->name);
    put_str(&j, "id", p->id);
    put_str(&j, "location", p->location);
    put_str(&j, "node", p->node);
    put_bool(&j, "first", p->first);
    put_bool(&j, "deleted", p->deleted);
    put_int(&j, "created", (int64_t)p->created_ms);
    json_obj_close(&j);
    if (arm_key(bytes_str(p->name), key))
        changes_put(c, STATE_POOL, bytes_str(key), wr_view(&w));
}

void hsm_pool_stage_free(struct changes *c, const char *name)
{
    char key[STATE_KEY_MAX + 1];
    if (arm_key(bytes_str(name), key))
        changes_delete(c, STATE_POOL, bytes_str(key));
}

/* ---- the stored resource ---- */

void hsm_stage_state(struct fabric *f, struct changes *c, const char *key, const char *state,
                     const char *message)
{
    static const char *const properties[] = {"properties", NULL};
    static const char *const replaced[] = {"provisioningState", "statusMessage", NULL};
    struct arm_resource r;
    uint8_t text[ARM_DOCUMENT_MAX];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    if (!arm_find(f, bytes_str(key), &r))
        return;
    uint32_t p = arm_properties(&r.json);
    json_obj_open(&j);
    arm_copy_except(&j, &r.json, 0, properties);
    json_name(&j, "properties");
    json_obj_open(&j);
    arm_copy_except(&j, &r.json, p, replaced);
    put_str(&j, "provisioningState", state);
    if (message != NULL)
        put_str(&j, "statusMessage", message);
    else
        arm_copy(&j, &r.json, p, "statusMessage");
    json_obj_close(&j);
    json_obj_close(&j);
    changes_put(c, STATE_RESOURCE, bytes_str(key), wr_view(&w));
}

bool hsm_is_busy(const struct json_doc *resource)
{
    uint32_t p = arm_properties(resource);
    return !arm_string_is(resource, p, "provisioningState", "Succeeded") &&
           !arm_string_is(resource, p, "provisioningState", "Failed");
}

bool hsm_conflict(struct answer *a, const char *name)
{
    return arm_error(a, 409, "ConflictError",
                     "Another operation on the managed HSM '%s' is in progress. Please retry after "
                     "it has completed.",
                     name);
}

void hsm_protection(const struct fabric *f, const struct hsm_pool *p, const struct json_doc *r,
                    int64_t *ret_days, bool *ret_protected)
{
    uint32_t o = arm_properties(r);
    struct pool_info info = {0};
    *ret_days = POOL_RETENTION_MAX;
    *ret_protected = false;
    if (p->first) {
        pool_info_read(f->config.home, &info);
        if (info.has_settings) {
            *ret_days = info.settings.retention_days;
            *ret_protected = info.settings.purge_protection;
        }
    }
    bool on = false;
    int64_t days = 0;
    if (json_int(r, json_get(r, o, "softDeleteRetentionInDays"), &days) == HSM_OK)
        *ret_days = days;
    if (json_bool(r, json_get(r, o, "enablePurgeProtection"), &on) == HSM_OK && on)
        *ret_protected = true;
}

void hsm_keys_refused(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct arm_resource r;
    char id[ARM_ID_MAX + 1];
    const char *right =
        rq->http->head->method == HTTP1_GET ? HSM_TYPE "/keys/read" : HSM_TYPE "/keys/write";
    /* The HSM's id is the path's first eight segments. */
    const struct bytes last = rq->url.seg[7];
    struct bytes scope = bytes_of(rq->url.path.p, (size_t)(last.p + last.n - rq->url.path.p));
    if (!arm_may(f, rq, right, scope)) {
        arm_forbid(rq, right, scope, a);
        return;
    }
    snprintf(id, sizeof id, "%.*s", (int)scope.n, (const char *)scope.p);
    if (!arm_find(f, scope, &r))
        arm_not_found(a, id);
    else
        arm_error(a, 501, "NotImplemented",
                  "This server version does not manage keys through Resource Manager, whatever the "
                  "HSM's setting AllowKeyManagementOperationsThroughARM says. Use the HSM's own "
                  "endpoint.");
}
