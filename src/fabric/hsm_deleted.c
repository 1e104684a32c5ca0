/* Soft-deleted managed HSMs, and which names are free. A document:
 *   {"id","name","type","properties":{what clients see},"resource":{what was deleted},
 *    "deleted":ms,"purge":ms,"purging":bool} */
#include <stdio.h>
#include "base/clock.h"
#include "base/log.h"
#include "fabric/arm_internal.h"
#include "fabric/hsm.h"
#include "fabric/managed.h"
#include "fabric/subscription.h"

#define DAY_MS 86400000ull
#define RIGHT  "Microsoft.KeyVault/"
#define SHOWN  "Microsoft.Keyvault/deletedManagedHSMs" /* spelled so by the service */

static bool key_of(struct bytes location, struct bytes name, char dst[STATE_KEY_MAX + 1])
{
    char text[STATE_KEY_MAX + 1];
    int n = snprintf(text, sizeof text, "%.*s/%.*s", (int)location.n, (const char *)location.p,
                     (int)name.n, (const char *)name.p);
    return n > 0 && (size_t)n < sizeof text && arm_key(bytes_str(text), dst);
}

static bool read_deleted(const struct fabric *f, const struct document *d, struct hsm_deleted *ret)
{
    int64_t deleted = 0, purge = 0;
    char name[HSM_NAME_MAX + 1];
    ret->purging = ret->protected = false;
    if (d == NULL || json_parse(d->json, ret->tok, ARM_TOKENS_MAX, &ret->json) != HSM_OK ||
        !arm_string(&ret->json, 0, "name", name, sizeof name) ||
        !hsm_pool_find(f, bytes_str(name), &ret->pool) ||
        json_int(&ret->json, json_get(&ret->json, 0, "deleted"), &deleted) != HSM_OK ||
        json_int(&ret->json, json_get(&ret->json, 0, "purge"), &purge) != HSM_OK ||
        json_bool(&ret->json, json_get(&ret->json, 0, "purging"), &ret->purging) != HSM_OK)
        return false;
    uint32_t p = arm_properties(&ret->json);
    ret->deleted_ms = (uint64_t)deleted;
    ret->purge_ms = (uint64_t)purge;
    return json_bool(&ret->json, json_get(&ret->json, p, "purgeProtectionEnabled"),
                     &ret->protected) == HSM_OK;
}

bool hsm_deleted_find(const struct fabric *f, struct bytes location, struct bytes name,
                      struct hsm_deleted *ret)
{
    char key[STATE_KEY_MAX + 1];
    return key_of(location, name, key) &&
           read_deleted(f, state_get(f->state, STATE_DELETED_HSM, bytes_str(key)), ret);
}

/* "2025-03-12T11:40:00Z" */
static void put_date(struct json_wr *j, const char *name, uint64_t ms)
{
    char text[CLOCK_TEXT_LEN + 1];
    clock_format_ms(ms, text, sizeof text);
    snprintf(text + 19, sizeof text - 19, "Z");
    put_str(j, name, text);
}

static void put_shown(struct json_wr *j, const struct fabric *f, const struct hsm_pool *p,
                      const struct arm_resource *r, uint64_t now_ms, uint64_t purge_ms,
                      bool protected)
{
    char id[ARM_ID_MAX + 1];
    snprintf(id, sizeof id,
             "/subscriptions/%s/providers/Microsoft.KeyVault/locations/%s/deletedManagedHSMs/%s",
             f->provider.dir.subscription, p->location, p->name);
    put_str(j, "id", id);
    put_str(j, "name", p->name);
    put_str(j, "type", SHOWN);
    json_name(j, "properties");
    json_obj_open(j);
    put_str(j, "mhsmId", p->id);
    put_str(j, "location", p->location);
    put_date(j, "deletionDate", now_ms);
    put_date(j, "scheduledPurgeDate", purge_ms);
    put_bool(j, "purgeProtectionEnabled", protected);
    if (!arm_copy(j, &r->json, 0, "tags")) {
        json_name(j, "tags");
        json_put_raw(j, bytes_str("{}"));
    }
    json_obj_close(j);
}

static bool delete_child(void *ctx, const struct document *d)
{
    changes_delete(ctx, d->kind, d->key);
    return true;
}

bool hsm_deleted_stage(struct fabric *f, struct changes *c, const struct hsm_pool *p,
                       const struct arm_resource *r, uint64_t now_ms)
{
    char key[STATE_KEY_MAX + 1], id[STATE_KEY_MAX + 2];
    uint8_t text[ARM_DOCUMENT_MAX + 4096];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    struct hsm_pool pool = *p;
    int64_t days = 0;
    bool protected = false;
    hsm_protection(f, p, &r->json, &days, &protected);
    uint64_t purge_ms = now_ms + (uint64_t)days * DAY_MS;
    json_obj_open(&j);
    put_shown(&j, f, p, r, now_ms, purge_ms, protected);
    json_name(&j, "resource");
    json_put_raw(&j, r->json.text);
    put_int(&j, "deleted", (int64_t)now_ms);
    put_int(&j, "purge", (int64_t)purge_ms);
    put_bool(&j, "purging", false);
    json_obj_close(&j);
    if (wr_ok(&w) != HSM_OK || !arm_key(bytes_str(p->id), id) ||
        !key_of(bytes_str(p->location), bytes_str(p->name), key))
        return false;
    changes_put(c, STATE_DELETED_HSM, bytes_str(key), wr_view(&w));
    changes_delete(c, STATE_RESOURCE, bytes_str(id));
    size_t n = strlen(id);
    id[n] = '/';
    state_each(f->state, STATE_RESOURCE, bytes_of(id, n + 1), delete_child, c);
    state_each(f->state, STATE_ARM_ROLE, bytes_of(id, n + 1), delete_child, c);
    pool.deleted = true;
    hsm_pool_stage(c, &pool);
    return true;
}

/* ---- requests ---- */

static void put_deleted(struct json_wr *j, const struct hsm_deleted *d)
{
    static const char *const own[] = {"resource", "deleted", "purge", "purging", NULL};
    json_obj_open(j);
    arm_copy_except(j, &d->json, 0, own);
    json_obj_close(j);
}

static bool list_one(void *ctx, const struct document *d)
{
    struct arm_lister *l = ctx;
    struct hsm_deleted x;
    if (read_deleted(l->fabric, d, &x) && arm_lister_takes(l, d->key))
        put_deleted(&l->j, &x);
    return !l->full;
}

static bool may(struct fabric *f, const struct request *rq, const char *action, struct answer *a)
{
    char scope[128];
    snprintf(scope, sizeof scope, "/subscriptions/%s", f->provider.dir.subscription);
    return arm_may(f, rq, action, bytes_str(scope)) || arm_forbid(rq, action, bytes_str(scope), a);
}

void hsm_deleted_list(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct arm_lister l;
    if (!may(f, rq, RIGHT "deletedManagedHsms/read", a) ||
        !subscription_may_list(f, "deletedManagedHSMs", a) || !arm_lister_open(&l, f, rq, a))
        return;
    state_each(f->state, STATE_DELETED_HSM, bytes_str(""), list_one, &l);
    arm_lister_close(&l);
}

/* Of .../locations/L/deletedManagedHSMs/N; answers 404 itself. */
static bool find(struct fabric *f, const struct request *rq, struct hsm_deleted *d,
                 struct answer *a)
{
    struct bytes location = rq->url.seg[5], name = rq->url.seg[7];
    if (hsm_deleted_find(f, location, name, d))
        return true;
    arm_error(a, 404, "ResourceNotFound",
              "The deleted managed HSM '%.*s' in location '%.*s' was not found.", (int)name.n,
              (const char *)name.p, (int)location.n, (const char *)location.p);
    return false;
}

void hsm_deleted_get(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct hsm_deleted d;
    struct json_wr j = json_wr_of(&a->body);
    if (may(f, rq, RIGHT "locations/deletedManagedHsms/read", a) && find(f, rq, &d, a))
        put_deleted(&j, &d);
}

static void stage_mark(struct changes *c, const struct hsm_deleted *d)
{
    static const char *const mark[] = {"purging", NULL};
    char key[STATE_KEY_MAX + 1];
    uint8_t text[ARM_DOCUMENT_MAX + 4096];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    arm_copy_except(&j, &d->json, 0, mark);
    put_bool(&j, "purging", true);
    json_obj_close(&j);
    if (key_of(bytes_str(d->pool.location), bytes_str(d->pool.name), key))
        changes_put(c, STATE_DELETED_HSM, bytes_str(key), wr_view(&w));
}

void hsm_deleted_stage_end(struct fabric *f, struct changes *c, const struct hsm_pool *p)
{
    struct hsm_deleted d;
    char key[STATE_KEY_MAX + 1], principal[UUID_TEXT_LEN + 1];
    if (!key_of(bytes_str(p->location), bytes_str(p->name), key) ||
        !hsm_deleted_find(f, bytes_str(p->location), bytes_str(p->name), &d))
        return;
    changes_delete(c, STATE_DELETED_HSM, bytes_str(key));
    uint32_t identity = json_get_nn(&d.json, json_get(&d.json, 0, "resource"), "identity");
    if (identity != JSON_NONE &&
        arm_string(&d.json, identity, "principalId", principal, sizeof principal) &&
        identity_delete(f, c, bytes_str(principal)) != HSM_OK)
        log_warn("the identity of a purged HSM stays");
}

/* Stage the mark and the operation. */
static void start_purge(struct changes *c, const struct hsm_deleted *d, uint64_t now_ms,
                        char operation[UUID_TEXT_LEN + 1])
{
    char id[ARM_ID_MAX + 1], target[STATE_KEY_MAX + 1];
    if (!arm_string(&d->json, 0, "id", id, sizeof id) || !arm_key(bytes_str(id), target))
        return;
    stage_mark(c, d);
    operation_start(c, HSM_OP_PURGE, bytes_str(target), bytes_str(OPERATION_DATA_EMPTY), now_ms,
                    operation);
}

void hsm_deleted_purge(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct hsm_deleted d;
    char operation[UUID_TEXT_LEN + 1], id[ARM_ID_MAX + 1];
    if (!may(f, rq, RIGHT "locations/deletedManagedHsms/purge/action", a) ||
        !subscription_may_write(f, a) || !find(f, rq, &d, a))
        return;
    if (d.purging) {
        hsm_conflict(a, d.pool.name);
        return;
    }
    if (d.protected && rq->now_ms < d.purge_ms) {
        arm_error(a, 409, "ConflictError",
                  "The managed HSM '%s' cannot be purged before its scheduled purge date, because "
                  "it has purge protection.",
                  d.pool.name);
        return;
    }
    start_purge(rq->changes, &d, rq->now_ms, operation);
    (void)arm_string(&d.json, 0, "id", id, sizeof id);
    arm_operation_headers(rq, &hsm_type, id, d.pool.location, operation, a);
    a->status = 202;
}

/* ---- purges that are due ---- */

struct due {
    const struct fabric *fabric;
    struct changes *changes;
    uint64_t now_ms;
};

static bool purge_if_due(void *ctx, const struct document *d)
{
    struct due *due = ctx;
    struct hsm_deleted x;
    char operation[UUID_TEXT_LEN + 1];
    if (read_deleted(due->fabric, d, &x) && !x.purging && x.purge_ms <= due->now_ms)
        start_purge(due->changes, &x, due->now_ms, operation);
    return true;
}

void hsm_deleted_look(struct fabric *f, struct changes *c, uint64_t now_ms)
{
    struct due due = {.fabric = f, .changes = c, .now_ms = now_ms};
    state_each(f->state, STATE_DELETED_HSM, bytes_str(""), purge_if_due, &due);
}

/* ---- names ---- */

void hsm_name_check(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct json_tok tok[ARM_TOKENS_MAX];
    struct json_doc body;
    struct hsm_pool p;
    char name[128];
    if (!may(f, rq, RIGHT "checkMhsmNameAvailability/action", a) || !arm_body(rq, tok, &body, a))
        return;
    if (!arm_string(&body, 0, "name", name, sizeof name)) {
        arm_error(a, 400, "BadRequest", "The property 'name' is required.");
        return;
    }
    bool valid = hsm_name_is_valid(bytes_str(name));
    bool taken = valid && hsm_pool_find(f, bytes_str(name), &p);
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    put_bool(&j, "nameAvailable", valid && !taken);
    if (!valid) {
        put_str(&j, "reason", "AccountNameInvalid");
        put_str(&j, "message",
                "A name must be between 3-24 alphanumeric characters and hyphens. It must begin "
                "with a letter, end with a letter or digit, and not contain consecutive hyphens.");
    } else if (taken) {
        put_str(&j, "reason", "AlreadyExists");
        put_str(&j, "message",
                p.deleted ? "The name is in use by a managed HSM in deleted state."
                          : "The name is already in use.");
    }
    json_obj_close(&j);
}
