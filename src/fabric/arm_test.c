/* Resource groups, subscriptions, providers, rights, and the framework's own errors. */
#include "fabric/arm_testing.h"

#include "fabric/arm_rights.h"
#include "fabric/subscription.h"

#define GROUP           "/resourceGroups/Rg-One"
#define TYPE            "/providers/Microsoft.KeyVault/managedHSMs"
#define ROLES           "/providers/Microsoft.Authorization/roleAssignments"
#define GUID_1          "aaaaaaaa-0000-4000-8000-000000000001"
#define GUID_2          "aaaaaaaa-0000-4000-8000-000000000002"
#define READER          "acdd72a7-3385-48ef-bd42-f606fba81ae7"
#define MAKER           "b24988ac-6180-42a0-ab88-20f7382dd24c"
#define HSM_CONTRIBUTOR "18500a29-7fe2-46b2-a342-b16a415e101d"

static void groups(void **state)
{
    struct rig *r = *state;
    rig_ask(r, "GET", GROUP, "", 404);
    rig_expect_error(r, "ResourceGroupNotFound");
    rig_expect(r, rig_at(r, 0, "error"), "message", "Resource group 'Rg-One' could not be found.");
    rig_ask(r, "HEAD", GROUP, "", 404);
    rig_ask(r, "PUT", GROUP, "{\"tags\":{}}", 400);
    rig_expect_error(r, "LocationRequired");
    rig_ask(r, "PUT", GROUP, "{\"location\":\"West US 3\",\"tags\":{\"k\":\"v\"}}", 201);
    rig_expect(r, 0, "location", "westus3");
    rig_expect(r, 0, "type", "Microsoft.Resources/resourceGroups");
    rig_expect(r, rig_at(r, 0, "properties"), "provisioningState", "Succeeded");
    rig_ask(r, "HEAD", "/resourcegroups/rg-one", "", 204);
    assert_int_equal(r->a.body.n, 0);
    rig_ask(r, "GET", "/resourcegroups/RG-ONE", "", 200);
    rig_expect(r, 0, "name", "Rg-One"); /* the creator's spelling */
    rig_expect(r, rig_at(r, 0, "tags"), "k", "v");
    rig_ask(r, "PATCH", GROUP, "{\"tags\":{\"x\":\"y\"}}", 200);
    rig_expect(r, rig_at(r, 0, "tags"), "x", "y");
    rig_ask(r, "PATCH", GROUP, "{}", 200);
    rig_expect(r, rig_at(r, 0, "tags"), "x", "y");
    rig_ask(r, "PUT", "/resourcegroups/rg-one", "{\"location\":\"westus3\"}", 200);
    rig_expect(r, 0, "name", "Rg-One");
    assert_int_equal(json_count(&r->doc, rig_at(r, 0, "tags")), 0);
    rig_ask(r, "PUT", GROUP, "{\"location\":\"eastus\"}", 409);
    rig_expect_error(r, "InvalidResourceGroupLocation");
    rig_ask(r, "PUT", "/resourceGroups/bad%20name", "{\"location\":\"eastus\"}", 400);
    rig_ask(r, "PUT", "/resourceGroups/ends.", "{\"location\":\"eastus\"}", 400);
    rig_ask(r, "GET", "/resourcegroups", "", 200);
    assert_int_equal(rig_count(r), 2);
    rig_ask(r, "GET", "/resourcegroups?$top=1", "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_at(r, 0, "nextLink");
    rig_ask(r, "DELETE", GROUP, "", 202);
    assert_true(rig_has_header(r, "Retry-After: 1\r\n"));
    rig_run(r, 1000);
    rig_result(r, 200);
    rig_ask(r, "HEAD", GROUP, "", 404);
    rig_ask(r, "DELETE", GROUP, "", 404);
}

static void lists_of_resources(void **state)
{
    struct rig *r = *state;
    rig_ask(r, "GET", "/resources", "", 200);
    assert_int_equal(rig_count(r), 1);
    uint32_t one = json_first(&r->doc, rig_at(r, 0, "value"));
    rig_expect(r, one, "name", "dev");
    assert_int_equal(json_get(&r->doc, one, "properties"), JSON_NONE);
    rig_ask(r, "GET", "/resources?$filter=resourceType%20eq%20'microsoft.keyvault/MANAGEDHSMS'", "",
            200);
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "GET", "/resources?$filter=resourceType%20eq%20'Microsoft.KeyVault/vaults'", "",
            200);
    assert_int_equal(rig_count(r), 0);
    rig_ask(r, "GET", "/resources?$filter=name%20eq%20'dev'%20and%20resourceGroup%20eq%20'keyhold'",
            "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "GET", "/resources?$filter=nonsense", "", 400);
    rig_expect_error(r, "InvalidFilterInQueryString");
    rig_ask(r, "GET", "/resourceGroups/keyhold/resources", "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "GET", "/resourceGroups/none/resources", "", 404);
}

static void errors_of_paths(void **state)
{
    static const struct {
        const char *method, *path, *body, *code;
        unsigned status;
    } row[] = {
        {"GET", TYPE "/dev", "", "InvalidResourceType", 404}, /* no group in it */
        {"GET", "/resourceGroups/keyhold/providers/Microsoft.Nothing/things/a", "",
         "InvalidResourceNamespace", 404},
        {"GET", "/resourceGroups/keyhold/providers/Microsoft.KeyVault/things/a", "",
         "InvalidResourceType", 404},
        {"GET", "/resourceGroups/none" TYPE "/a", "", "ResourceGroupNotFound", 404},
        {"GET", "/resourceGroups/keyhold" TYPE "/absent", "", "ResourceNotFound", 404},
        {"PUT", "/resourceGroups/none" TYPE "/abc", "{}", "ResourceGroupNotFound", 404},
        {"PUT", "/resourceGroups/keyhold" TYPE "/absent/privateEndpointConnections/x", "{}",
         "ParentResourceNotFound", 404},
        {"GET", "/resourceGroups/keyhold" TYPE "/absent/privateEndpointConnections", "",
         "ResourceNotFound", 404},
        {"POST", "/resourceGroups/keyhold" TYPE "/dev", "", "MethodNotAllowed", 405},
        {"PUT", "/resourceGroups/keyhold" TYPE, "{}", "MethodNotAllowed", 405},
        {"POST", "/resourceGroups/keyhold" TYPE "/dev/regions", "", "MethodNotAllowed", 405},
        {"POST", "/resourceGroups/keyhold" TYPE "/dev/nothing", "", "InvalidResourceType", 404},
        {"PATCH", "/resourceGroups/keyhold" TYPE "/absent", "{}", "ResourceNotFound", 404},
        {"PUT", "/resourceGroups/keyhold" TYPE "/a%25b", "{\"location\":\"local\"}",
         "InvalidResourceName", 400},
        {"GET", "/providers/Microsoft.Nothing", "", "InvalidResourceNamespace", 404},
        {"GET", "/operationresults/11111111-1111-1111-1111-111111111111", "", "OperationNotFound",
         404},
        {"GET", "//subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups", "",
         "SubscriptionNotFound", 404},
        {"GET", "//subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/g" TYPE "/a",
         "", "SubscriptionNotFound", 404},
    };
    struct rig *r = *state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        rig_ask(r, row[i].method, row[i].path, row[i].body, row[i].status);
        rig_expect_error(r, row[i].code);
    }
    rig_ask(r, "GET", "/resourceGroups/keyhold" TYPE "/absent", "", 404);
    rig_expect(
        r, rig_at(r, 0, "error"), "message",
        "The Resource 'Microsoft.KeyVault/managedHSMs/absent' under resource group 'keyhold' "
        "was not found. For more details please go to "
        "https://aka.ms/ARMResourceNotFoundFix");
}

static void providers(void **state)
{
    struct rig *r = *state;
    rig_ask(r, "GET", "/providers", "", 200);
    assert_true(rig_count(r) > 0);
    rig_ask(r, "GET", "/providers/microsoft.keyvault", "", 200);
    rig_expect(r, 0, "namespace", "Microsoft.KeyVault");
    rig_expect(r, 0, "registrationState", "Registered");
    uint32_t type = json_first(&r->doc, rig_at(r, 0, "resourceTypes"));
    rig_expect(r, type, "resourceType", "managedHSMs");
    rig_ask(r, "POST", "/providers/Microsoft.KeyVault/register", "", 200);
    rig_expect(r, 0, "registrationState", "Registered");
    rig_ask(r, "GET", "//providers/Microsoft.KeyVault/operations", "", 200);
    assert_true(rig_count(r) > 5);
    rig_ask(r, "GET", "/locations", "", 200);
    rig_expect(r, json_first(&r->doc, rig_at(r, 0, "value")), "name", "local");
    rig_ask(r, "GET", "/providers/Microsoft.KeyVault/vaults", "", 200);
    assert_int_equal(rig_count(r), 0);
}

/* ---- rights ---- */

static void give(struct rig *r, const char *scope, const char *guid, const char *role,
                 const char *who, unsigned want)
{
    char path[512], body[512];
    snprintf(path, sizeof path, "%s" ROLES "/%s", scope, guid);
    snprintf(body, sizeof body,
             "{\"properties\":{\"roleDefinitionId\":\"/subscriptions/x/providers/"
             "Microsoft.Authorization/roleDefinitions/%s\",\"principalId\":\"%s\"}}",
             role, who);
    rig_ask(r, "PUT", path, body, want);
}

static void nobody_has_rights_but_owners(void **state)
{
    struct rig *r = *state;
    r->who = &r->f->provider.dir.guest;
    rig_ask(r, "GET", "//subscriptions", "", 200);
    assert_int_equal(rig_count(r), 0);
    static const char *const gets[] = {"",
                                       "/resourcegroups",
                                       "/resourceGroups/keyhold",
                                       "/resourceGroups/keyhold/resources",
                                       "/resources",
                                       TYPE,
                                       "/resourceGroups/keyhold" TYPE,
                                       "/resourceGroups/keyhold" TYPE "/dev",
                                       "/resourceGroups/keyhold" TYPE "/dev/regions",
                                       "/resourceGroups/none" TYPE "/dev",
                                       "/providers",
                                       "/providers/Microsoft.KeyVault/deletedManagedHSMs",
                                       ROLES,
                                       "/providers/Microsoft.Authorization/roleDefinitions"};
    for (size_t i = 0; i < sizeof gets / sizeof *gets; i++) {
        rig_ask(r, "GET", gets[i], "", 403);
        rig_expect_error(r, "AuthorizationFailed");
    }
    rig_ask(r, "DELETE", "/resourceGroups/keyhold" TYPE "/dev", "", 403);
    char want[1024];
    snprintf(want, sizeof want,
             "The client '%s' with object id '%s' does not have authorization to perform action "
             "'Microsoft.KeyVault/managedHSMs/delete' over scope '/subscriptions/%s/resourceGroups/"
             "keyhold/providers/Microsoft.KeyVault/managedHSMs/dev' or the scope is invalid. If "
             "access was recently granted, please refresh your credentials.",
             r->who->client_id, r->who->oid, r->f->provider.dir.subscription);
    rig_expect(r, rig_at(r, 0, "error"), "message", want);
    rig_ask(r, "PUT", "/resourceGroups/keyhold", "{\"location\":\"local\"}", 403);
    rig_ask(r, "POST", "/providers/Microsoft.KeyVault/locations/local/deletedManagedHSMs/dev/purge",
            "", 403);
    give(r, "", GUID_1, ARM_ROLE_OWNER, r->who->oid, 403);
    r->who = &r->f->provider.dir.user; /* the other owner */
    rig_ask(r, "GET", "//subscriptions", "", 200);
    assert_int_equal(rig_count(r), 1);
}

static void roles_at_their_scope(void **state)
{
    struct rig *r = *state;
    const struct directory *d = &r->f->provider.dir;
    rig_ask(r, "PUT", GROUP, "{\"location\":\"local\"}", 201);
    give(r, GROUP, GUID_1, READER, d->guest.oid, 201);
    rig_expect(r, rig_at(r, 0, "properties"), "principalType", "ServicePrincipal");
    r->who = &d->guest;
    rig_ask(r, "GET", GROUP, "", 200);
    rig_ask(r, "GET", "/resourcegroups", "", 200); /* only what it may see */
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "GET", TYPE, "", 200);
    assert_int_equal(rig_count(r), 0);
    rig_ask(r, "GET", "//subscriptions", "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "GET", "/resourceGroups/keyhold", "", 403);
    rig_ask(r, "PATCH", GROUP, "{}", 403);
    rig_ask(r, "GET", GROUP TYPE "/absent", "", 404);
    r->who = &d->admin;
    rig_ask(r, "DELETE", GROUP ROLES "/" GUID_1, "", 200);
    rig_ask(r, "DELETE", GROUP ROLES "/" GUID_1, "", 204);
    give(r, "", GUID_2, HSM_CONTRIBUTOR, d->guest.oid, 201);
    r->who = &d->guest;
    rig_ask(r, "GET", TYPE, "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "GET", "/providers/Microsoft.KeyVault/deletedManagedHSMs", "", 200);
    rig_ask(r, "PATCH", "/resourceGroups/keyhold" TYPE "/dev", "{\"tags\":{\"a\":\"b\"}}", 200);
    rig_ask(r, "DELETE", GROUP, "", 403);
    give(r, "", GUID_1, READER, d->guest.oid, 403);
    r->who = &d->admin;
    rig_ask(r, "DELETE", ROLES "/" GUID_2, "", 200);
    give(r, "/resourceGroups/keyhold" TYPE "/dev", GUID_2, MAKER, d->guest.oid, 201);
    r->who = &d->guest;
    rig_ask(r, "GET", "/resourceGroups/keyhold" TYPE "/dev", "", 200);
    give(r, "/resourceGroups/keyhold" TYPE "/dev", GUID_1, READER, d->user.oid, 403);
    rig_ask(r, "DELETE", "/resourceGroups/keyhold" TYPE "/dev", "", 202);
}

/* The user is a member of the group. */
static void rights_of_a_group(void **state)
{
    struct rig *r = *state;
    const struct directory *d = &r->f->provider.dir;
    char path[512];
    rig_ask(r, "GET", ROLES "?$filter=principalId%20eq%20'", "", 400);
    snprintf(path, sizeof path, ROLES "?$filter=principalId%%20eq%%20'%s'", d->user.oid);
    rig_ask(r, "GET", path, "", 200);
    assert_int_equal(rig_count(r), 1);
    char name[64];
    uint32_t own = json_first(&r->doc, rig_at(r, 0, "value"));
    assert_true(arm_string(&r->doc, own, "name", name, sizeof name));
    snprintf(path, sizeof path, ROLES "/%s", name);
    rig_ask(r, "DELETE", path, "", 200);
    r->who = &d->user;
    rig_ask(r, "GET", "", "", 403);
    r->who = &d->admin;
    give(r, "", GUID_1, READER, d->group.oid, 201);
    rig_expect(r, rig_at(r, 0, "properties"), "principalType", "Group");
    r->who = &d->user;
    rig_ask(r, "GET", "", "", 200);
}

static void assignments_as_resources(void **state)
{
    struct rig *r = *state;
    const struct directory *d = &r->f->provider.dir;
    give(r, "", GUID_1, READER, d->guest.oid, 201);
    give(r, "", GUID_1, READER, d->guest.oid, 200);
    give(r, "", GUID_1, READER, d->user.oid, 409);
    rig_expect_error(r, "RoleAssignmentUpdateNotPermitted");
    give(r, "", GUID_2, READER, d->guest.oid, 409);
    rig_expect_error(r, "RoleAssignmentExists");
    give(r, "", GUID_2, GUID_2, d->guest.oid, 400);
    rig_expect_error(r, "RoleDefinitionDoesNotExist");
    give(r, "", GUID_2, READER, GUID_2, 400);
    rig_expect_error(r, "PrincipalNotFound");
    give(r, "", "not-a-guid", READER, d->guest.oid, 400);
    rig_expect_error(r, "InvalidRoleAssignmentId");
    give(r, "/resourceGroups/none", GUID_2, READER, d->guest.oid, 404);
    give(r, "/resourceGroups/keyhold" TYPE "/none", GUID_2, READER, d->guest.oid, 404);
    give(r, "/resourceGroups/keyhold", GUID_2, READER, d->guest.oid, 201);
    rig_ask(r, "GET", ROLES, "", 200);
    assert_int_equal(rig_count(r), 4);
    rig_ask(r, "GET", ROLES "?$filter=atScope()", "", 200);
    assert_int_equal(rig_count(r), 3);
    rig_ask(r, "GET", "/resourceGroups/keyhold" ROLES "?$filter=atScope()", "", 200);
    assert_int_equal(rig_count(r), 4);
    rig_ask(r, "GET", ROLES "/" GUID_1, "", 200);
    rig_expect(r, 0, "name", GUID_1);
    rig_ask(r, "GET", ROLES "/" GUID_2, "", 404);
    rig_ask(r, "GET", "/providers/Microsoft.Authorization/roleDefinitions", "", 200);
    assert_int_equal(rig_count(r), 4);
    rig_ask(r, "GET",
            "/providers/Microsoft.Authorization/roleDefinitions?$filter=roleName%20eq%20'Owner'",
            "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "GET", "/providers/Microsoft.Authorization/roleDefinitions/" READER, "", 200);
    rig_expect(r, rig_at(r, 0, "properties"), "roleName", "Reader");
    rig_ask(r, "PUT", "/providers/Microsoft.Authorization/roleDefinitions/" READER, "{}", 405);
}

static void the_last_owner_stays(void **state)
{
    struct rig *r = *state;
    char path[512], name[64];
    for (unsigned left = 2; left > 0; left--) {
        rig_ask(r, "GET", ROLES "?$filter=atScope()", "", 200);
        assert_int_equal(rig_count(r), left);
        uint32_t one = JSON_NONE;
        for (uint32_t v = json_first(&r->doc, rig_at(r, 0, "value")); v != JSON_NONE;
             v = json_next(&r->doc, rig_at(r, 0, "value"), v))
            if (left == 1 || arm_string_is(&r->doc, rig_at(r, v, "properties"), "principalId",
                                           r->f->provider.dir.user.oid))
                one = v;
        assert_true(arm_string(&r->doc, one, "name", name, sizeof name));
        snprintf(path, sizeof path, ROLES "/%s", name);
        rig_ask(r, "DELETE", path, "", left == 1 ? 409 : 200);
    }
}

static void patterns_of_actions(void **state)
{
    static const struct {
        const char *role, *action;
        bool want;
    } row[] = {
        {ARM_ROLE_OWNER, "Microsoft.Anything/x/y/delete", true},
        {MAKER, "Microsoft.KeyVault/managedHSMs/write", true},
        {MAKER, "Microsoft.Authorization/roleAssignments/write", false},
        {MAKER, "Microsoft.Authorization/roleAssignments/read", true},
        {READER, "microsoft.keyvault/managedhsms/READ", true},
        {READER, "Microsoft.KeyVault/managedHSMs/write", false},
        {READER, "Microsoft.KeyVault/managedHSMs/readx", false},
        {HSM_CONTRIBUTOR, "Microsoft.KeyVault/managedHSMs/privateEndpointConnections/write", true},
        {HSM_CONTRIBUTOR, "Microsoft.KeyVault/vaults/read", false},
        {HSM_CONTRIBUTOR, "Microsoft.KeyVault/locations/deletedManagedHsms/purge/action", true},
        {HSM_CONTRIBUTOR, "Microsoft.Resources/subscriptions/resourceGroups/read", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        assert_int_equal(
            arm_role_allows(arm_role_find(bytes_str(row[i].role)), bytes_str(row[i].action)),
            row[i].want);
    assert_null(arm_role_find(bytes_str("x/" GUID_1)));
    assert_non_null(arm_role_find(bytes_str("/a/b/" READER)));
}

static void a_disabled_subscription(void **state)
{
    struct rig *r = *state;
    struct changes *c = changes_new(r->f->state);
    hsm_err e = subscription_set(r->f, c, bytes_str("Disabled"));
    assert_int_equal(e, HSM_OK);
    state_commit(r->f->state, c, rig_note_error, &e);
    changes_free(c);
    assert_int_equal(e, HSM_OK);
    rig_ask(r, "GET", "", "", 200);
    rig_expect(r, 0, "state", "Disabled");
    rig_ask(r, "PUT", GROUP, "{\"location\":\"local\"}", 409);
    rig_expect_error(r, "ReadOnlyDisabledSubscription");
    rig_ask(r, "DELETE", "/resourceGroups/keyhold" TYPE "/dev", "", 409);
    rig_ask(r, "PATCH", "/resourceGroups/keyhold" TYPE "/dev", "{}", 409);
    rig_ask(r, "POST", "/providers/Microsoft.KeyVault/locations/local/deletedManagedHSMs/dev/purge",
            "", 409);
    rig_expect_error(r, "ReadOnlyDisabledSubscription");
    rig_ask(r, "GET", "/providers/Microsoft.KeyVault/deletedManagedHSMs", "", 409);
    rig_expect_error(r, "ProviderError");
    rig_expect(r, rig_at(r, 0, "error"), "message",
               "Resource provider 'Microsoft.KeyVault' failed to return collection response for "
               "type 'deletedManagedHSMs'.");
    rig_ask(r, "GET", "/resourceGroups/keyhold" TYPE "/dev", "", 200);
}

/* What a path names. */
static void paths(void **state)
{
    static const struct {
        const char *path;
        enum arm_what what;
        const char *id, *parent;
    } row[] = {
        {"/subscriptions/s/resourceGroups/g" TYPE "/n", ARM_RESOURCE,
         "/subscriptions/s/resourceGroups/g" TYPE "/n", "/subscriptions/s/resourceGroups/g"},
        {"/subscriptions/s/resourceGroups/g" TYPE, ARM_COLLECTION,
         "/subscriptions/s/resourceGroups/g", ""},
        {"/subscriptions/s" TYPE, ARM_COLLECTION, "/subscriptions/s", ""},
        {"/subscriptions/s" TYPE "/n", ARM_NOTHING, "/subscriptions/s" TYPE "/n",
         "/subscriptions/s"},
        {"/subscriptions/s/resourceGroups/g" TYPE "/n/privateEndpointConnections/c", ARM_RESOURCE,
         "/subscriptions/s/resourceGroups/g" TYPE "/n/privateEndpointConnections/c",
         "/subscriptions/s/resourceGroups/g" TYPE "/n"},
        {"/subscriptions/s/resourceGroups/g" TYPE "/n/privateEndpointConnections", ARM_COLLECTION,
         "/subscriptions/s/resourceGroups/g" TYPE "/n", "/subscriptions/s/resourceGroups/g"},
        {"/subscriptions/s/resourceGroups/g" TYPE "/n/regions", ARM_ACTION,
         "/subscriptions/s/resourceGroups/g" TYPE "/n", "/subscriptions/s/resourceGroups/g"},
        {"/subscriptions/s/resourceGroups/g" TYPE "/n/other", ARM_NOTHING, NULL, NULL},
        {"/providers/Microsoft.KeyVault/managedHSMs/n", ARM_NOTHING, NULL, NULL},
        {"/subscriptions/s/resourceGroups/g/providers/providers/providers", ARM_NOTHING, NULL,
         NULL},
        {"/", ARM_NOTHING, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct url_target url;
        struct arm_path p;
        uint8_t buf[1024];
        assert_int_equal(url_parse(bytes_str(row[i].path), buf, sizeof buf, &url), HSM_OK);
        assert_int_equal(arm_path_of(&url, &p), HSM_OK);
        assert_int_equal(p.what, row[i].what);
        if (row[i].id != NULL)
            assert_string_equal(p.id, row[i].id);
        if (row[i].parent != NULL && p.what != ARM_COLLECTION)
            assert_string_equal(p.parent, row[i].parent);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(groups, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(lists_of_resources, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(errors_of_paths, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(providers, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(nobody_has_rights_but_owners, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(roles_at_their_scope, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(rights_of_a_group, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(assignments_as_resources, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(the_last_owner_stays, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(a_disabled_subscription, rig_setup, rig_teardown),
        cmocka_unit_test(patterns_of_actions),
        cmocka_unit_test(paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
