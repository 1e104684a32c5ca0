/* Microsoft.Insights: diagnostic settings of a managed HSM and their categories. Stored and shown;
 * the audit records go to the file of the pool, the sinks are not served yet. */
#include <strings.h>
#include "fabric/consumer.h"

#define SETTINGS_MAX 5 /* of a resource */

static const char *const sinks[] = {
    "storageAccountId", "workspaceId",          "eventHubAuthorizationRuleId", "eventHubName",
    "serviceBusRuleId", "marketplacePartnerId", "logAnalyticsDestinationType", NULL};

static bool is_sink(size_t i)
{
    return strcmp(sinks[i], "eventHubName") != 0 &&
           strcmp(sinks[i], "logAnalyticsDestinationType") != 0;
}

static bool put_sinks(const struct arm_put *p, struct answer *a)
{
    char id[ARM_ID_MAX + 1];
    size_t n = 0;
    for (size_t i = 0; sinks[i] != NULL; i++) {
        struct consumer_value v = consumer_get(p, sinks[i], false);
        json_name(p->properties, sinks[i]);
        if (v.d == NULL || !arm_string(v.d, arm_properties(v.d), sinks[i], id, sizeof id) ||
            id[0] == '\0') {
            if (v.d != NULL && json_type_of(v.d, v.v) != JSON_STRING)
                return arm_error(a, 400, "BadRequest", "%s must be a string.", sinks[i]);
            json_put_null(p->properties);
            continue;
        }
        if (is_sink(i) && id[0] != '/')
            return arm_error(a, 400, "BadRequest", "%s must be the id of a resource.", sinks[i]);
        n += is_sink(i);
        json_put_str(p->properties, id);
    }
    return n > 0 ||
           arm_error(a, 400, "BadRequest", "At least one data sink needs to be specified.");
}

/* {"category" or "categoryGroup", "enabled", "retentionPolicy":{"enabled","days"}} */
static bool entry_fits(const struct json_doc *d, uint32_t v, bool logs, struct answer *a)
{
    char name[128];
    bool on = false;
    int64_t days = 0;
    if (json_type_of(d, v) != JSON_OBJECT)
        return arm_error(a, 400, "BadRequest", "logs and metrics must be lists of objects.");
    if (arm_string(d, v, "categoryGroup", name, sizeof name)) {
        if (!logs || (strcasecmp(name, "audit") != 0 && strcasecmp(name, "allLogs") != 0))
            return arm_error(a, 400, "BadRequest", "Category group '%s' is not supported.", name);
    } else if (!arm_string(d, v, "category", name, sizeof name) ||
               strcasecmp(name, logs ? "AuditEvent" : "AllMetrics") != 0) {
        return arm_error(a, 400, "BadRequest", "Category '%s' is not supported.", name);
    }
    uint32_t e = json_get_nn(d, v, "enabled"), r = json_get_nn(d, v, "retentionPolicy");
    if (e == JSON_NONE || json_bool(d, e, &on) != HSM_OK)
        return arm_error(a, 400, "BadRequest", "enabled must be true or false.");
    if (r == JSON_NONE)
        return true;
    e = json_get_nn(d, r, "days");
    return (e != JSON_NONE && json_int(d, e, &days) == HSM_OK && days >= 0 && days <= 365) ||
           arm_error(a, 400, "BadRequest", "retentionPolicy.days must be from 0 to 365.");
}

static bool put_list(const struct arm_put *p, const char *name, bool logs, struct answer *a)
{
    struct consumer_value v = consumer_get(p, name, false);
    if (v.d == NULL) {
        json_name(p->properties, name);
        json_arr_open(p->properties);
        json_arr_close(p->properties);
        return true;
    }
    if (json_type_of(v.d, v.v) != JSON_ARRAY)
        return arm_error(a, 400, "BadRequest", "%s must be a list.", name);
    for (uint32_t e = json_first(v.d, v.v); e != JSON_NONE; e = json_next(v.d, v.v, e))
        if (!entry_fits(v.d, e, logs, a))
            return false;
    consumer_copy(p->properties, name, v);
    return true;
}

static bool count_one(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    (void)f, (void)r;
    ++*(size_t *)ctx;
    return true;
}

static bool put_setting(struct fabric *f, const struct request *rq, struct arm_put *p,
                        struct answer *a)
{
    char below[ARM_ID_MAX + 80];
    size_t n = 0;
    struct wr w = wr_of(below, sizeof below - 1);
    (void)rq;
    if (strcasestr(p->parent, "/providers/Microsoft.KeyVault/managedHSMs/") == NULL)
        return arm_error(a, 400, "ResourceTypeNotSupported",
                         "The resource type of '%s' does not support diagnostic settings.",
                         p->parent);
    wr_str(&w, p->parent);
    wr_str(&w, "/providers/Microsoft.Insights/diagnosticSettings/");
    arm_each(f, wr_view(&w), &diagnostic_setting_type, count_one, &n);
    if (p->old == NULL && n >= SETTINGS_MAX)
        return arm_error(a, 409, "Conflict", "A resource has at most %d diagnostic settings.",
                         SETTINGS_MAX);
    return put_sinks(p, a) && put_list(p, "logs", true, a) && put_list(p, "metrics", false, a);
}

const struct arm_type diagnostic_setting_type = {
    .name = "Microsoft.Insights/diagnosticSettings",
    .place = ARM_ON_SCOPE,
    .methods = ARM_GET | ARM_LIST | ARM_PUT | ARM_DELETE,
    .plain = true,
    .hidden = true,
    .put = put_setting,
};

/* ---- categories ---- */

static const struct {
    const char *name, *type;
    bool grouped;
} categories[] = {{"AuditEvent", "Logs", true}, {"AllMetrics", "Metrics", false}};
#define CATEGORIES (sizeof categories / sizeof *categories)

static void put_category(struct json_wr *j, const char *scope, size_t i)
{
    json_obj_open(j);
    json_name(j, "id");
    json_str_open(j);
    json_str_add_s(j, scope);
    json_str_add_s(j, "/providers/Microsoft.Insights/diagnosticSettingsCategories/");
    json_str_add_s(j, categories[i].name);
    json_str_close(j);
    put_str(j, "type", "Microsoft.Insights/diagnosticSettingsCategories");
    put_str(j, "name", categories[i].name);
    json_name(j, "properties");
    json_obj_open(j);
    put_str(j, "categoryType", categories[i].type);
    json_name(j, "categoryGroups");
    json_arr_open(j);
    if (categories[i].grouped) {
        json_put_str(j, "audit");
        json_put_str(j, "allLogs");
    }
    json_arr_close(j);
    json_obj_close(j);
    json_obj_close(j);
}

/* .../managedHSMs/NAME/providers/Microsoft.Insights/diagnosticSettingsCategories[/CATEGORY] */
void diagnostic_categories(struct fabric *f, const struct request *rq, struct answer *a)
{
    static const char right[] = "Microsoft.Insights/diagnosticSettingsCategories/read";
    char scope[ARM_ID_MAX + 1];
    struct arm_resource r;
    struct bytes path = rq->url.path, want = {NULL, 0};
    size_t n = 0, segments = 8; /* of the HSM's id */
    for (; n < path.n; n++)
        if (path.p[n] == '/' && segments-- == 0)
            break;
    if (rq->url.seg_n > 11)
        want = rq->url.seg[11];
    if (!arm_may(f, rq, right, bytes_of(path.p, n))) {
        arm_forbid(rq, right, bytes_of(path.p, n), a);
        return;
    }
    if (!arm_find(f, bytes_of(path.p, n), &r) ||
        !arm_string(&r.json, 0, "id", scope, sizeof scope)) {
        struct wr w = wr_of(scope, sizeof scope - 1);
        wr_bytes(&w, path.p, n);
        scope[w.n] = '\0';
        arm_not_found(a, scope);
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    if (want.n == 0) {
        json_obj_open(&j);
        json_name(&j, "value");
        json_arr_open(&j);
        for (size_t i = 0; i < CATEGORIES; i++)
            put_category(&j, scope, i);
        json_arr_close(&j);
        json_obj_close(&j);
        return;
    }
    for (size_t i = 0; i < CATEGORIES; i++) {
        if (bytes_ieq(want, bytes_str(categories[i].name))) {
            put_category(&j, scope, i);
            return;
        }
    }
    arm_error(a, 404, "NotFound", "The category '%.*s' was not found.", (int)want.n,
              (const char *)want.p);
}
