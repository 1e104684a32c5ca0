/* What the control plane of an installation begins with. */
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "fabric/arm_group.h"
#include "fabric/arm_internal.h"
#include "fabric/arm_rights.h"
#include "fabric/arm_roles.h"
#include "fabric/hsm.h"
#include "fabric/usage.h"

#define STARTED bytes_str("arm-started")
#define ADOPTED bytes_str("arm-adopted")

/* The resource of the pool of `keyhold up`. Its settings stay in the pool's own file. */
static bool stage_first(const struct fabric *f, struct changes *c, const char *id, uint64_t now_ms)
{
    char key[STATE_KEY_MAX + 1];
    uint8_t text[4096];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    const struct request rq = {.now_ms = now_ms, .caller = &f->provider.dir.user};
    json_obj_open(&j);
    put_str(&j, "id", id);
    put_str(&j, "name", f->config.pool);
    put_str(&j, "type", HSM_TYPE);
    put_str(&j, "location", f->config.region);
    json_name(&j, "tags");
    json_put_raw(&j, bytes_str("{}"));
    json_name(&j, "sku");
    json_put_raw(&j, bytes_str("{\"family\":\"B\",\"name\":\"Standard_B1\"}"));
    arm_put_system_data(&j, &rq, NULL);
    json_name(&j, "properties");
    json_obj_open(&j);
    put_str(&j, "tenantId", f->provider.dir.tenant);
    put_bool(&j, "enableSoftDelete", true);
    put_str(&j, "provisioningState", "Succeeded");
    put_str(&j, "statusMessage", HSM_READY);
    json_name(&j, "networkAcls");
    json_put_raw(&j, bytes_str("{\"bypass\":\"AzureServices\",\"defaultAction\":\"Allow\","
                               "\"ipRules\":[],\"virtualNetworkRules\":[]}"));
    put_str(&j, "publicNetworkAccess", "Enabled");
    json_name(&j, "regions");
    json_put_raw(&j, bytes_str("[]"));
    json_obj_close(&j);
    json_obj_close(&j);
    if (wr_ok(&w) != HSM_OK || !arm_key(bytes_str(id), key))
        return false;
    changes_put(c, STATE_RESOURCE, bytes_str(key), wr_view(&w));
    return true;
}

static void adopt_pool(struct fabric *f, struct changes *c, uint64_t now_ms)
{
    struct hsm_pool p = {.first = true, .created_ms = now_ms};
    snprintf(p.name, sizeof p.name, "%s", f->config.pool);
    snprintf(p.location, sizeof p.location, "%s", f->config.region);
    snprintf(p.node, sizeof p.node, "%s", NODE_LOCAL);
    snprintf(p.id, sizeof p.id, "/subscriptions/%s/resourceGroups/%s/providers/" HSM_TYPE "/%s",
             f->provider.dir.subscription, FABRIC_GROUP, p.name);
    if (!stage_first(f, c, p.id, now_ms))
        return;
    hsm_pool_stage(c, &p);
    usage_begin(c, p.name, p.location, p.id, now_ms);
    changes_put(c, STATE_SETTING, ADOPTED, bytes_str("{}"));
}

static void stage_start(struct fabric *f, struct changes *c, uint64_t now_ms)
{
    const struct directory *d = &f->provider.dir;
    if (state_get(f->state, STATE_SETTING, STARTED) == NULL) {
        arm_role_give(f, c, ARM_ROLE_OWNER, d->user.oid, "User", now_ms);
        arm_role_give(f, c, ARM_ROLE_OWNER, d->admin.oid, "ServicePrincipal", now_ms);
        arm_group_make(f, c, FABRIC_GROUP, f->config.region);
        changes_put(c, STATE_SETTING, STARTED, bytes_str("{}"));
    }
    if (f->config.pool != NULL && state_get(f->state, STATE_SETTING, ADOPTED) == NULL)
        adopt_pool(f, c, now_ms);
}

struct start {
    struct fabric *fabric;
    struct changes *changes;
};

static void commit_start(struct start *s);

static void on_committed(void *ctx, hsm_err err)
{
    struct start *s = ctx;
    if (err == HSM_E_CONFLICT) {
        commit_start(s);
        return;
    }
    if (err != HSM_OK)
        log_warn("the control plane cannot begin yet: %s", hsm_err_text(err));
    changes_free(s->changes);
    free(s);
}

static void commit_start(struct start *s)
{
    changes_reset(s->changes, s->fabric->state);
    stage_start(s->fabric, s->changes, clock_now_ms());
    if (changes_empty(s->changes))
        on_committed(s, HSM_OK);
    else
        state_commit(s->fabric->state, s->changes, on_committed, s);
}

void hsm_adopt(struct fabric *f)
{
    struct start *s = calloc(1, sizeof *s);
    if (s != NULL) {
        *s = (struct start){.fabric = f, .changes = changes_new(f->state)};
        if (s->changes != NULL) {
            commit_start(s);
            return;
        }
    }
    free(s);
    log_error("the control plane cannot begin: no memory");
}

void hsm_adopt_look(struct fabric *f, struct changes *c, uint64_t now_ms)
{
    stage_start(f, c, now_ms);
}

bool hsm_is_adopted(const struct fabric *f)
{
    return state_get(f->state, STATE_SETTING, STARTED) != NULL;
}
