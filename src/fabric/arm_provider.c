/* Resource providers: what types there are, and the operations of the HSM's one. */
#include <stdio.h>
#include "fabric/arm_internal.h"

static const char *const versions[] = {
    "2026-04-01",         "2026-04-01-preview", "2026-03-01-preview", "2026-02-01",
    "2025-05-01",         "2024-12-01-preview", "2024-11-01",         "2024-04-01-preview",
    "2023-07-01",         "2023-02-01",         "2022-11-01",         "2022-07-01",
    "2022-02-01-preview", "2021-11-01-preview", "2021-10-01",         "2021-06-01-preview",
    "2021-04-01-preview", "2020-04-01-preview"};

static struct bytes space_of(const struct arm_type *t)
{
    return bytes_of(t->name, (size_t)(strchrnul(t->name, '/') - t->name));
}

static void put_type(struct json_wr *j, const struct fabric *f, const char *name, bool located)
{
    json_obj_open(j);
    put_str(j, "resourceType", name);
    json_name(j, "locations");
    json_arr_open(j);
    if (located)
        json_put_str(j, f->config.region);
    json_arr_close(j);
    json_name(j, "apiVersions");
    json_arr_open(j);
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        json_put_str(j, versions[i]);
    json_arr_close(j);
    put_str(j, "capabilities", located ? "SupportsTags, SupportsLocation" : "None");
    json_obj_close(j);
}

/* space: spelled as its types are */
static void put_provider(struct json_wr *j, const struct fabric *f, struct bytes space)
{
    char name[ARM_ACTION_MAX], id[ARM_ACTION_MAX + 128];
    snprintf(name, sizeof name, "%.*s", (int)space.n, (const char *)space.p);
    snprintf(id, sizeof id, "/subscriptions/%s/providers/%s", f->provider.dir.subscription, name);
    json_obj_open(j);
    put_str(j, "id", id);
    put_str(j, "namespace", name);
    put_str(j, "registrationState", "Registered");
    put_str(j, "registrationPolicy", "RegistrationRequired");
    json_name(j, "resourceTypes");
    json_arr_open(j);
    for (size_t i = 0; i < arm_types_n; i++) {
        const struct arm_type *t = arm_types[i];
        if (bytes_eq(space_of(t), space))
            put_type(j, f, t->name + space.n + 1, t->located);
    }
    if (bytes_eq_str(space, "Microsoft.KeyVault")) {
        put_type(j, f, "deletedManagedHSMs", false);
        put_type(j, f, "locations", false);
        put_type(j, f, "locations/deletedManagedHSMs", false);
        put_type(j, f, "locations/managedHsmOperationResults", false);
        put_type(j, f, "checkMhsmNameAvailability", false);
        put_type(j, f, "operations", false);
    }
    json_arr_close(j);
    json_obj_close(j);
}

static bool seen_before(size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (bytes_eq(space_of(arm_types[k]), space_of(arm_types[i])))
            return true;
    return false;
}

static bool may(struct fabric *f, const struct request *rq, const char *action, struct answer *a)
{
    char scope[128];
    snprintf(scope, sizeof scope, "/subscriptions/%s", f->provider.dir.subscription);
    return arm_may_below(f, rq, bytes_str(scope)) || arm_forbid(rq, action, bytes_str(scope), a);
}

void arm_providers(struct fabric *f, const struct request *rq, struct answer *a)
{
    if (!may(f, rq, "Microsoft.Resources/subscriptions/providers/read", a))
        return;
    struct json_wr j = json_wr_of(&a->body);
    arm_list_open(&j);
    for (size_t i = 0; i < arm_types_n; i++)
        if (!seen_before(i))
            put_provider(&j, f, space_of(arm_types[i]));
    arm_list_close(&j);
}

/* GET, and POST register: every provider is registered from the start. */
void arm_provider(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct bytes space = rq->url.seg[3];
    if (!may(f, rq, "Microsoft.Resources/subscriptions/providers/read", a))
        return;
    for (size_t i = 0; i < arm_types_n; i++) {
        if (bytes_ieq(space, space_of(arm_types[i]))) {
            struct json_wr j = json_wr_of(&a->body);
            put_provider(&j, f, space_of(arm_types[i]));
            return;
        }
    }
    arm_error(a, 404, "InvalidResourceNamespace", "The resource namespace '%.*s' is invalid.",
              (int)space.n, (const char *)space.p);
}

/* ---- GET /providers/Microsoft.KeyVault/operations ---- */

static const struct {
    const char *name, *resource, *operation, *description;
} operations[] = {
    {"managedHSMs/read", "Managed HSM", "View Managed HSM", "View the properties of a Managed HSM"},
    {"managedHSMs/write", "Managed HSM", "Update Managed HSM",
     "Create a new Managed HSM or update the properties of an existing one"},
    {"managedHSMs/delete", "Managed HSM", "Delete Managed HSM", "Delete a Managed HSM"},
    {"deletedManagedHsms/read", "Deleted Managed HSM", "View deleted Managed HSMs",
     "View the properties of deleted Managed HSMs"},
    {"locations/deletedManagedHsms/read", "Deleted Managed HSM", "View a deleted Managed HSM",
     "View the properties of a deleted Managed HSM"},
    {"locations/deletedManagedHsms/purge/action", "Deleted Managed HSM", "Purge a Managed HSM",
     "Purge a deleted Managed HSM"},
    {"locations/managedHsmOperationResults/read", "Operation result", "View an operation result",
     "Check the result of a long run operation"},
    {"managedHSMs/privateEndpointConnections/read", "Private endpoint connection",
     "View connections", "View the private endpoint connections of a Managed HSM"},
    {"managedHSMs/privateEndpointConnections/write", "Private endpoint connection",
     "Approve or reject connections", "Change the state of a private endpoint connection"},
    {"managedHSMs/privateEndpointConnections/delete", "Private endpoint connection",
     "Delete connections", "Delete a private endpoint connection"},
    {"managedHSMs/privateLinkResources/read", "Private link resource", "View link resources",
     "View the private link resources of a Managed HSM"},
    {"checkMhsmNameAvailability/action", "Name", "Check a name",
     "Check that a name of a Managed HSM is valid and not in use"},
    {"register/action", "Provider", "Register the provider", "Register a subscription"},
    {"operations/read", "Operations", "List operations", "List the operations of the provider"},
};

void arm_provider_operations(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)f, (void)rq;
    struct json_wr j = json_wr_of(&a->body);
    arm_list_open(&j);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        json_obj_open(&j);
        put_join(&j, "name", "Microsoft.KeyVault/", operations[i].name);
        put_bool(&j, "isDataAction", false);
        json_name(&j, "display");
        json_obj_open(&j);
        put_str(&j, "provider", "Microsoft Key Vault");
        put_str(&j, "resource", operations[i].resource);
        put_str(&j, "operation", operations[i].operation);
        put_str(&j, "description", operations[i].description);
        json_obj_close(&j);
        put_str(&j, "origin", "system");
        json_obj_close(&j);
    }
    arm_list_close(&j);
}
