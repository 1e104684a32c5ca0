#include "model/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include "model/key.h"

const char *const plan_relation_word[PLAN__RELATIONS] = {"single", "primary-dr", "active-active",
                                                         "independent"};
const char *const plan_ad_word[PLAN__ADS] = {"none", "self-hosted", "managed"};
const char *const plan_network_word[PLAN__NETWORKS] = {"undecided", "peered", "separate"};

#define SQL_DB 0 /* in the table below */
const struct plan_service plan_services[] = {
    {"sql-db", "Azure SQL Database", "TDE protector of the server"},
    {"storage", "Azure Storage (blob, file, queue, table)",
     "encryption settings of the account; queue and table only if chosen when it is created"},
    {"cosmos", "Azure Cosmos DB", "account-level key reference"},
    {"disks", "managed disks of virtual machines", "disk encryption set in each region"},
    {"data-lake", "Azure Data Lake Storage", "encryption settings of the account"},
    {"aks", "Azure Kubernetes Service", "disk encryption set, and KMS plug-in for etcd"},
    {"m365", "Microsoft 365 / Purview Customer Key", "key reference"},
    {"aip", "Azure Information Protection", "key reference"},
    {NULL, NULL, NULL},
};

__attribute__((format(printf, 3, 4))) static void note(struct plan *p, const char *topic,
                                                       const char *fmt, ...)
{
    va_list ap;
    HSM_ASSERT(p->note_n < PLAN_NOTES_MAX);
    struct plan_note *n = &p->note[p->note_n++];
    n->topic = topic;
    va_start(ap, fmt);
    (void)vsnprintf(n->text, sizeof n->text, fmt, ap);
    va_end(ap);
}

/* ---- what cannot be ---- */

static bool is_region(const char *r)
{
    size_t n = strlen(r);
    return n > 0 && n <= PLAN_REGION_MAX && strspn(r, "abcdefghijklmnopqrstuvwxyz0123456789") == n;
}

static bool regions_fit(const struct plan_wish *w)
{
    for (size_t i = 0; i < w->region_n; i++) {
        if (!is_region(w->region[i]) || w->sql[i] > PLAN_SQL_MAX)
            return false;
        for (size_t k = 0; k < i; k++)
            if (strcmp(w->region[i], w->region[k]) == 0)
                return false;
    }
    return w->region_n >= 1 && w->region_n <= PLAN_REGIONS_MAX;
}

static bool uses_sql(const struct plan_wish *w)
{
    unsigned n = w->service[SQL_DB];
    for (size_t i = 0; i < w->region_n; i++)
        n += w->sql[i];
    return n > 0;
}

static const char *objection(const struct plan_wish *w)
{
    static const char *const types[] = {"RSA-2048", "RSA-3072", "RSA-4096"};
    size_t t = 0;
    if (!regions_fit(w))
        return "regions: one to eight different names of lower-case letters and digits, with at "
               "most 1000 SQL instances each";
    while (t < 3 && strcmp(types[t], w->key_type) != 0)
        t++;
    if (t == 3)
        return "key type: RSA-2048, RSA-3072 or RSA-4096; the services wrap with RSA keys";
    if (t == 2 && uses_sql(w))
        return "key type: SQL takes RSA-2048 and RSA-3072 only";
    if (w->rotation_days > 0 && w->rotation_days < PLAN_ROTATION_DAYS)
        return "rotation: a policy rotates every 28 days at the most";
    if (w->relation == PLAN_SINGLE && w->region_n != 1)
        return "relation single is for one region; choose primary-dr, active-active or independent";
    if (w->relation != PLAN_SINGLE && w->region_n < 2)
        return "that relation needs at least two regions";
    if (w->relation == PLAN_ACTIVE_ACTIVE && w->region_n != 2)
        return "active-active: a pool has one primary and one extended region, so exactly two";
    if (w->redundancy_required && w->relation == PLAN_SINGLE)
        return "keys that must outlive a region need a second one: name it, and choose primary-dr "
               "or active-active";
    if (w->redundancy_required && w->relation == PLAN_INDEPENDENT)
        return "independent pools do not have each other's keys: choose primary-dr or "
               "active-active, or do without redundancy";
    return NULL;
}

/* ---- pools ---- */

static unsigned keys_in(const struct plan_wish *w, size_t region)
{
    unsigned n = w->sql[region] + (w->ad == PLAN_AD_SELF_HOSTED);
    for (size_t i = 0; plan_services[i].word != NULL; i++)
        n += w->service[i];
    return n;
}

/* Keys that a region holds. A copy of the primary has its keys as well as those of its own
 * services: one identity and one assignment for each service that runs there. */
static void fill_pool(const struct plan_wish *w, const struct price_book *b, size_t i,
                      struct plan_pool *ret)
{
    static const char *const first[] = {"only", "primary", "primary", "independent"};
    static const char *const other[] = {"", "standby", "extended region", "independent"};
    struct plan_pool p = {.region = w->region[i],
                          .role = i == 0 ? first[w->relation] : other[w->relation],
                          .is_extension = i > 0 && w->relation == PLAN_ACTIVE_ACTIVE,
                          .optional =
                              i > 0 && w->relation == PLAN_PRIMARY_DR && !w->redundancy_required,
                          .assignments = keys_in(w, i),
                          .month = money_times(b->hour, b->month_hours, 1)};
    p.keys = p.assignments;
    if (w->relation == PLAN_PRIMARY_DR && i > 0)
        p.keys += keys_in(w, 0);
    if (w->relation == PLAN_ACTIVE_ACTIVE)
        p.keys = keys_in(w, 0) + keys_in(w, 1);
    *ret = p;
}

static void summarise(const struct plan_wish *w, struct plan *p)
{
    char *to = p->summary;
    const size_t cap = sizeof p->summary;
    const char *a = w->region[0], *b = w->region_n > 1 ? w->region[1] : "";
    switch (w->relation) {
    case PLAN_SINGLE:
        (void)snprintf(to, cap, "1 Managed HSM pool in %s", a);
        return;
    case PLAN_PRIMARY_DR:
        if (w->region_n == 2)
            (void)snprintf(to, cap, "1 Managed HSM pool in %s (primary) and 1 in %s (standby)", a,
                           b);
        else
            (void)snprintf(to, cap,
                           "1 Managed HSM pool in %s (primary) and 1 in each of %zu others", a,
                           w->region_n - 1);
        return;
    case PLAN_ACTIVE_ACTIVE:
        (void)snprintf(to, cap,
                       "1 Managed HSM pool in %s, extended to %s (multi-region replication)", a, b);
        return;
    case PLAN_INDEPENDENT:
    case PLAN__RELATIONS:
        (void)snprintf(to, cap, "1 Managed HSM pool in each of %zu regions, no replication",
                       w->region_n);
        return;
    }
}

/* ---- what to know ---- */

static void note_relation(const struct plan_wish *w, struct plan *p)
{
    switch (w->relation) {
    case PLAN_SINGLE:
        note(p, "availability",
             "Three partitions in one region are part of the price. A second pool is only needed "
             "when keys must outlive the region.");
        return;
    case PLAN_PRIMARY_DR:
        note(p, "standby",
             "Separate pools have separate security domains and do not sync. The standby gets the "
             "primary's security domain by upload, and its keys by backup and restore.");
        if (!w->redundancy_required)
            note(p, "standby",
                 "The second pool is optional: nothing said that keys must be redundant across "
                 "regions.");
        return;
    case PLAN_ACTIVE_ACTIVE:
        note(p, "replication",
             "One resource with an extended region, not two pools: keys replicate only within one "
             "security domain. A change takes up to 6 minutes to the other region. The extension "
             "costs as much as a pool.");
        return;
    case PLAN_INDEPENDENT:
    case PLAN__RELATIONS:
        note(p, "independence",
             "Each pool has its own security domain, custodians, administrators and keys.");
        return;
    }
}

static void note_services(const struct plan_wish *w, struct plan *p)
{
    unsigned sql = 0;
    for (size_t i = 0; i < w->region_n; i++)
        sql += w->sql[i];
    if (sql > 0)
        note(p, "sql-mi",
             "%u instance%s: one key and one role assignment each (Managed HSM Crypto Service "
             "Encryption User at the key), in the pool of the same region. TDE protector; purge "
             "protection must be on.",
             sql, sql == 1 ? "" : "s");
    if (w->ad == PLAN_AD_SELF_HOSTED)
        note(p, "domain controllers",
             "Virtual machines: server-side encryption of their disks by a disk encryption set in "
             "each region, with a key of that region's pool.");
    if (w->ad == PLAN_AD_MANAGED)
        note(p, "domain controllers",
             "A managed domain service takes no customer-managed keys: out of scope.");
    for (size_t i = 0; plan_services[i].word != NULL; i++)
        if (w->service[i])
            note(p, plan_services[i].word, "%s: %s.", plan_services[i].name,
                 plan_services[i].method);
}

static void note_operation(const struct plan_wish *w, struct plan *p)
{
    if (w->rotation_days > 0)
        note(p, "rotation",
             "A rotation policy on each key, every %u days, costs nothing; old versions stay for "
             "what they have wrapped.",
             w->rotation_days);
    else
        note(p, "rotation", "No cadence given: decide one, at least every two years.");
    static const char *const network[PLAN__NETWORKS] = {
        "Not decided: a private endpoint and a private DNS zone "
        "(privatelink.managedhsm.azure.net) in each region's network are the default.",
        "One private endpoint per region, one private DNS zone linked to all peered networks; "
        "workloads reach either region's endpoint.",
        "One private endpoint and one private DNS zone of its own in each region's network; "
        "workloads use the endpoint of their region.",
    };
    note(p, "network", "%s", network[w->network]);
    if (w->pilot) {
        char month[MONEY_TEXT_MAX];
        money_format(p->pool[0].month, month);
        note(p, "pilot",
             "Try it out first: a pool with 7 days of retention, purged afterwards; for a month it "
             "would cost %s, which is not part of the sum.",
             month);
    } else {
        note(p, "pilot", "No non-production environment given: validate in one first.");
    }
    note(p, "billing",
         "Billed by the hour from provisioning until the purge, also while soft-deleted; it cannot "
         "be paused.");
}

hsm_err plan_make(const struct plan_wish *w, const struct price_book *b, struct plan *ret,
                  const char **ret_why)
{
    struct plan p = {.pool_n = w->region_n};
    money key = 0;
    *ret_why = objection(w);
    if (*ret_why != NULL)
        return HSM_E_BAD_PARAMETER;
    for (size_t i = 0; i < p.pool_n; i++) {
        struct plan_pool *at = &p.pool[i];
        fill_pool(w, b, i, at);
        if (at->keys > KEYS_MAX_DEFAULT) {
            *ret_why = "more keys than a pool takes (5000): divide the services among pools";
            return HSM_E_BAD_PARAMETER;
        }
        p.keys += at->keys;
        p.resources += !at->is_extension;
        p.fixed = money_sum(p.fixed, at->month);
        if (!at->optional)
            p.minimum = money_sum(p.minimum, at->month);
    }
    if (price_book_key(b, bytes_str(w->key_type), &key))
        p.key_fees = money_times(key, p.keys, 1);
    if (b->per > 0)
        p.operation_fees = money_times(b->operations, w->operations, b->per);
    p.total =
        b->fees_charged ? money_sum(p.fixed, money_sum(p.key_fees, p.operation_fees)) : p.fixed;
    summarise(w, &p);
    note_relation(w, &p);
    note_services(w, &p);
    note_operation(w, &p);
    *ret = p;
    return HSM_OK;
}

/* ---- JSON ---- */

static void put_text(struct json_wr *j, const char *name, const char *text)
{
    json_name(j, name);
    json_put_str(j, text);
}

static void put_money(struct json_wr *j, const char *name, money m)
{
    char text[MONEY_TEXT_MAX];
    money_format(m, text);
    put_text(j, name, text);
}

static void put_number(struct json_wr *j, const char *name, uint64_t n)
{
    json_name(j, name);
    json_put_int(j, (int64_t)n);
}

static void put_pool(struct json_wr *j, const struct plan_pool *p)
{
    json_obj_open(j);
    put_text(j, "region", p->region);
    put_text(j, "role", p->role);
    json_name(j, "extension");
    json_put_bool(j, p->is_extension);
    json_name(j, "optional");
    json_put_bool(j, p->optional);
    put_number(j, "keys", p->keys);
    put_number(j, "roleAssignments", p->assignments);
    put_money(j, "monthly", p->month);
    json_obj_close(j);
}

static void put_cost(struct json_wr *j, const struct plan *p, const struct price_book *b)
{
    json_name(j, "monthlyCost");
    json_obj_open(j);
    put_text(j, "currency", b->currency);
    put_number(j, "hours", b->month_hours);
    put_money(j, "fixed", p->fixed);
    put_money(j, "withoutOptional", p->minimum);
    put_money(j, "keys", p->key_fees);
    put_money(j, "operations", p->operation_fees);
    put_text(j, "fees", b->fees_charged ? "charged" : "beside");
    put_money(j, "total", p->total);
    put_money(j, "totalWithFees", money_sum(p->fixed, money_sum(p->key_fees, p->operation_fees)));
    json_obj_close(j);
}

void plan_write(struct json_wr *j, const struct plan *p, const struct plan_wish *w,
                const struct price_book *b)
{
    json_obj_open(j);
    put_text(j, "relation", plan_relation_word[w->relation]);
    put_text(j, "deployment", p->summary);
    put_number(j, "resources", p->resources);
    json_name(j, "pools");
    json_arr_open(j);
    for (size_t i = 0; i < p->pool_n; i++)
        put_pool(j, &p->pool[i]);
    json_arr_close(j);
    put_number(j, "keys", p->keys);
    put_text(j, "keyType", w->key_type);
    put_cost(j, p, b);
    json_name(j, "notes");
    json_arr_open(j);
    for (size_t i = 0; i < p->note_n; i++) {
        json_obj_open(j);
        put_text(j, "topic", p->note[i].topic);
        put_text(j, "text", p->note[i].text);
        json_obj_close(j);
    }
    json_arr_close(j);
    put_text(j, "priceBook", b->name);
    json_name(j, "priceNotes");
    json_arr_open(j);
    for (size_t i = 0; i < b->note_n; i++)
        json_put_str(j, b->note[i]);
    json_arr_close(j);
    json_obj_close(j);
}
