/* Managed HSMs from creation to purge, with a node that is played by the test. */
#include "fabric/arm_testing.h"

#define GROUP  "/resourceGroups/rg1"
#define TYPE   "/providers/Microsoft.KeyVault/managedHSMs"
#define HSM    GROUP TYPE "/Contoso-HSM"
#define GONE   "/providers/Microsoft.KeyVault/deletedManagedHSMs"
#define GONE_1 "/providers/Microsoft.KeyVault/locations/westus3/deletedManagedHSMs/contoso-hsm"
#define OID    "11111111-2222-3333-4444-555555555555"
#define CREATE                                                                                     \
    "{\"location\":\"westus3\",\"sku\":{\"family\":\"B\",\"name\":\"Standard_B1\"},"               \
    "\"tags\":{\"a\":\"b\"},\"properties\":{\"tenantId\":\"adfs\",\"initialAdminObjectIds\":"      \
    "[\"" OID "\"],\"enableSoftDelete\":true,\"softDeleteRetentionInDays\":%s,\"networkAcls\":"    \
    "{\"bypass\":\"AzureServices\",\"defaultAction\":\"Allow\"}%s}}"
#define RECOVER                                                                                    \
    "{\"location\":\"westus3\",\"sku\":{\"family\":\"B\",\"name\":\"Standard_B1\"},"               \
    "\"properties\":{\"tenantId\":\"adfs\",\"createMode\":\"Recover\"}}"

static void make_group(struct rig *r)
{
    rig_ask(r, "PUT", GROUP, "{\"location\":\"westus3\"}", 201);
}

static void put_hsm(struct rig *r, const char *days, const char *more, unsigned want)
{
    char body[2048];
    snprintf(body, sizeof body, CREATE, days, more);
    rig_ask(r, "PUT", HSM, body, want);
}

/* A group with an HSM that is ready. */
static void make_hsm(struct rig *r)
{
    make_group(r);
    put_hsm(r, "7", "", 202);
    rig_run(r, 1000);
    rig_result(r, 200);
}

static uint32_t properties(struct rig *r)
{
    return rig_at(r, 0, "properties");
}

static void creation_step_by_step(void **state)
{
    struct rig *r = *state;
    make_group(r);
    r->slow = 3;
    put_hsm(r, "7", "", 202);
    assert_int_equal(r->a.body.n, 0);
    assert_true(rig_has_header(r, "Retry-After: 1\r\n"));
    assert_non_null(strstr(r->location, "/providers/Microsoft.KeyVault/locations/westus3/"
                                        "managedHsmOperationResults/"));
    rig_ask(r, "GET", HSM, "", 200);
    rig_expect(r, properties(r), "provisioningState", "Provisioning");
    rig_expect(r, properties(r), "statusMessage",
               "Resource creation in progress. Allocating hardware...");
    rig_expect(r, properties(r), "hsmUri", "https://contoso-hsm.managedhsm.localhost:8443/");
    rig_result(r, 202);
    assert_int_equal(r->a.body.n, 0);
    put_hsm(r, "7", "", 409);
    rig_expect_error(r, "ConflictError");
    (void)operations_run(r->f->operations, r->now_ms);
    rig_ask(r, "GET", HSM, "", 200);
    rig_expect(r, properties(r), "statusMessage",
               "Resource creation in progress. Starting service...");
    rig_run(r, 1000);
    rig_result(r, 200);
    rig_expect(r, 0, "name", "Contoso-HSM");
    rig_expect(r, 0, "type", "Microsoft.KeyVault/managedHSMs");
    rig_expect(r, 0, "location", "westus3");
    rig_expect(r, rig_at(r, 0, "tags"), "a", "b");
    rig_expect(r, rig_at(r, 0, "systemData"), "createdByType", "Application");
    uint32_t p = properties(r);
    rig_expect(r, p, "provisioningState", "Succeeded");
    rig_expect(r, p, "statusMessage", "The Managed HSM is provisioned and ready to use.");
    rig_expect(r, p, "tenantId", r->f->provider.dir.tenant);
    rig_expect(r, p, "publicNetworkAccess", "Enabled");
    rig_expect(r, rig_at(r, p, "networkAcls"), "defaultAction", "Allow");
    assert_int_equal(json_get(&r->doc, p, "createMode"), JSON_NONE);
    assert_int_equal(json_get(&r->doc, p, "privateEndpointConnections"), JSON_NONE);
    assert_int_equal(json_count(&r->doc, rig_at(r, p, "regions")), 0);
    assert_true(rig_pool_of(r, "contoso-hsm")->running);
}

static void failed_creation_leaves_nothing(void **state)
{
    struct rig *r = *state;
    make_group(r);
    r->refuse = "start";
    put_hsm(r, "90", "", 202);
    rig_run(r, 5000);
    rig_result(r, 500);
    rig_expect(r, rig_at(r, 0, "error"), "message", "no room");
    rig_ask(r, "GET", HSM, "", 200);
    rig_expect(r, properties(r), "provisioningState", "Failed");
    rig_expect(r, properties(r), "statusMessage", "The operation has failed: no room");
    assert_null(rig_pool_of(r, "contoso-hsm"));
    rig_ask(r, "POST", "/providers/Microsoft.KeyVault/checkMhsmNameAvailability",
            "{\"name\":\"contoso-hsm\"}", 200);
    bool free = false;
    assert_int_equal(json_bool(&r->doc, rig_at(r, 0, "nameAvailable"), &free), HSM_OK);
    assert_true(free);
    r->refuse = NULL;
    put_hsm(r, "7", "", 202); /* the same again is a new attempt */
    rig_run(r, 1000);
    rig_result(r, 200);
    rig_expect(r, properties(r), "provisioningState", "Succeeded");
}

static void a_node_that_is_away(void **state)
{
    struct rig *r = *state;
    make_group(r);
    r->away = true;
    put_hsm(r, "7", "", 202);
    rig_run(r, 20000);
    rig_result(r, 202);
    r->away = false;
    rig_run(r, 1000);
    rig_result(r, 200);
    rig_ask(r, "DELETE", HSM, "", 202);
    r->away = true;
    rig_run(r, 200000);
    rig_result(r, 202);
    rig_ask(r, "GET", HSM, "", 200);
    rig_expect(r, properties(r), "provisioningState", "Deleting");
    r->away = false;
    rig_run(r, 1000);
    rig_result(r, 200);
    rig_ask(r, "PUT", HSM, RECOVER, 202);
    r->away = true;
    rig_run(r, 200000);
    rig_result(r, 503);
    rig_ask(r, "GET", HSM, "", 200); /* its data are there: what can be done is done */
    rig_expect(r, properties(r), "provisioningState", "Failed");
    assert_false(rig_pool_of(r, "contoso-hsm")->running);
    r->away = false;
    put_hsm(r, "7", "", 202);
    rig_run(r, 1000);
    rig_result(r, 200);
    rig_expect(r, properties(r), "provisioningState", "Succeeded");
    assert_true(rig_pool_of(r, "contoso-hsm")->running);
}

static void rules_of_properties(void **state)
{
    static const struct {
        const char *name, *body, *code;
        unsigned status;
    } row[] = {
        {"ab", "", "VaultNameNotValid", 400},
        {"1abc", "", "VaultNameNotValid", 400},
        {"a--bc", "", "VaultNameNotValid", 400},
        {"abc-", "", "VaultNameNotValid", 400},
        {"abcdefghijklmnopqrstuvwxy", "", "VaultNameNotValid", 400},
        {"dev", "", "VaultAlreadyExists", 409},
        {"x1234", "\"location\":\"nowhere\"", "RegionNotSupported", 400},
        {"x1234", "\"sku\":{\"family\":\"A\",\"name\":\"standard\"}", "SkuNotSupported", 400},
        {"x1234", "\"tags\":[]", "InvalidTagsFormat", 400},
        {"x1234", "\"identity\":{\"type\":\"Nobody\"}", "BadRequest", 400},
    };
    static const struct {
        const char *member, *code;
        unsigned status;
    } property[] = {
        {"\"softDeleteRetentionInDays\":6", "BadRequest", 400},
        {"\"softDeleteRetentionInDays\":91", "BadRequest", 400},
        {"\"softDeleteRetentionInDays\":\"x\"", "BadRequest", 400},
        {"\"enableSoftDelete\":false", "BadRequest", 400},
        {"\"enablePurgeProtection\":\"yes\"", "BadRequest", 400},
        {"\"createMode\":\"other\"", "BadRequest", 400},
        {"\"createMode\":\"RECOVER\"", "ResourceNotFound", 404},
        {"\"publicNetworkAccess\":\"Maybe\"", "BadRequest", 400},
        {"\"networkAcls\":{\"bypass\":\"x\"}", "BadRequest", 400},
        {"\"networkAcls\":{\"defaultAction\":\"x\"}", "BadRequest", 400},
        {"\"networkAcls\":{\"ipRules\":[{\"value\":\"1.2.3\"}]}", "BadRequest", 400},
        {"\"networkAcls\":{\"ipRules\":[{\"value\":\"1.2.3.4/33\"}]}", "BadRequest", 400},
        {"\"regions\":[{\"name\":\"atlantis\"}]", "400", 400},
        {"\"regions\":[{\"name\":\"UK South\"}]", "NotImplemented", 501},
        {"\"initialAdminObjectIds\":[\"bob\"]", "BadRequest", 400},
        {"\"initialAdminObjectIds\":[]", "BadRequest", 400},
    };
    struct rig *r = *state;
    char path[256], body[1024];
    make_group(r);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const char *part = row[i].body;
        bool place = strstr(part, "location") != NULL, sku = strstr(part, "sku") != NULL;
        snprintf(path, sizeof path, GROUP TYPE "/%s", row[i].name);
        snprintf(body, sizeof body, "{%s%s%s%s\"properties\":{\"initialAdminObjectIds\":[\"%s\"]}}",
                 part, part[0] != 0 ? "," : "", place ? "" : "\"location\":\"westus3\",",
                 sku ? "" : "\"sku\":{\"family\":\"B\",\"name\":\"Standard_B1\"},", OID);
        rig_ask(r, "PUT", path, body, row[i].status);
        rig_expect_error(r, row[i].code);
    }
    for (size_t i = 0; i < sizeof property / sizeof *property; i++) {
        bool admins = strstr(property[i].member, "initialAdmin") != NULL;
        snprintf(body, sizeof body,
                 "{\"location\":\"westus3\",\"sku\":{\"family\":\"B\",\"name\":\"Standard_B1\"},"
                 "\"properties\":{%s%s}}",
                 property[i].member, admins ? "" : ",\"initialAdminObjectIds\":[\"" OID "\"]");
        rig_ask(r, "PUT", HSM, body, property[i].status);
        rig_expect_error(r, property[i].code);
    }
    rig_ask(r, "PUT", HSM, "{\"properties\":{}}", 400);
    rig_expect_error(r, "LocationRequired");
    rig_ask(r, "PUT", HSM, "[]", 400);
    rig_expect_error(r, "InvalidRequestContent");
    rig_ask(r, "PUT", HSM, "{", 400);
    rig_ask(r, "GET", GROUP TYPE, "", 200);
    assert_int_equal(rig_count(r), 0);
}

static void updates(void **state)
{
    struct rig *r = *state;
    static char body[8192];
    make_hsm(r);
    /* What az does: the whole answer of GET comes back. */
    rig_ask(r, "GET", HSM, "", 200);
    snprintf(body, sizeof body, "%.*s", (int)r->a.body.n, (const char *)r->a.body.p);
    unsigned asked = r->asked;
    rig_ask(r, "PUT", HSM, body, 200);
    rig_run(r, 1000);
    assert_int_equal(r->asked, asked); /* nothing for the node to do */
    put_hsm(r, "7", ",\"enablePurgeProtection\":true", 202);
    rig_ask(r, "GET", HSM, "", 200);
    rig_expect(r, properties(r), "provisioningState", "Updating");
    rig_run(r, 1000);
    rig_result(r, 200);
    bool on = false;
    assert_int_equal(json_bool(&r->doc, rig_at(r, properties(r), "enablePurgeProtection"), &on),
                     HSM_OK);
    assert_true(on);
    rig_expect(r, properties(r), "provisioningState", "Succeeded");
    assert_int_equal(json_count(&r->doc, rig_at(r, properties(r), "initialAdminObjectIds")), 1);
    assert_non_null(strstr(r->last_configure, "\"purgeProtection\":true"));
    put_hsm(r, "7", ",\"enablePurgeProtection\":false", 400);
    put_hsm(r, "8", "", 400);
    put_hsm(r, "7", "", 200); /* the flag stays */
    assert_int_equal(json_bool(&r->doc, rig_at(r, properties(r), "enablePurgeProtection"), &on),
                     HSM_OK);
    assert_true(on);
    rig_ask(r, "PUT", HSM, "{\"location\":\"eastus\"}", 409);
    rig_expect_error(r, "InvalidResourceLocation");
    rig_ask(r, "PATCH", HSM, "{\"sku\":{\"family\":\"B\",\"name\":\"Custom_B6\"}}", 400);
    rig_ask(r, "PATCH", HSM, "{\"tags\":{\"c\":\"d\"}}", 200);
    rig_expect(r, rig_at(r, 0, "tags"), "c", "d");
    rig_ask(r, "PATCH", HSM,
            "{\"properties\":{\"publicNetworkAccess\":\"disabled\",\"networkAcls\":{\"bypass\":"
            "\"None\",\"defaultAction\":\"Deny\",\"ipRules\":[{\"value\":\"1.2.3.0/24\"}]}}}",
            202);
    rig_run(r, 1000);
    rig_result(r, 200);
    rig_expect(r, properties(r), "publicNetworkAccess", "Disabled");
    rig_expect(r, rig_at(r, 0, "tags"), "c", "d");
    assert_non_null(strstr(r->last_configure,
                           "\"network\":{\"publicNetworkAccess\":\"Disabled\",\"defaultAction\":"
                           "\"Deny\",\"bypassCallers\":[],\"ipRules\":[\"1.2.3.0/24\"]"));
    rig_ask(r, "PATCH", HSM, "{\"properties\":{\"regions\":[{\"name\":\"x\"}]}}", 400);
    rig_ask(r, "GET", HSM "/regions", "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "GET", HSM "/privateLinkResources", "", 200);
    rig_expect(r, json_first(&r->doc, rig_at(r, 0, "value")), "name", "managedhsm");
}

static void delete_recover_purge(void **state)
{
    struct rig *r = *state;
    make_hsm(r);
    rig_ask(r, "DELETE", HSM, "", 202);
    rig_ask(r, "GET", HSM, "", 200);
    rig_expect(r, properties(r), "provisioningState", "Deleting");
    rig_ask(r, "DELETE", HSM, "", 409);
    r->now_ms = RIG_NOW_MS + 5000;
    rig_run(r, 1000);
    rig_result(r, 200);
    assert_int_equal(r->a.body.n, 0);
    assert_false(rig_pool_of(r, "contoso-hsm")->running);
    rig_ask(r, "GET", HSM, "", 404);
    rig_expect_error(r, "ResourceNotFound");
    rig_ask(r, "DELETE", HSM, "", 204);
    rig_ask(r, "GET", GONE, "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "GET", GONE_1, "", 200);
    rig_expect(r, 0, "type", "Microsoft.Keyvault/deletedManagedHSMs");
    rig_expect(r, properties(r), "deletionDate", "2026-11-22T00:27:25Z");
    rig_expect(r, properties(r), "scheduledPurgeDate", "2026-11-29T00:27:25Z");
    rig_expect(r, rig_at(r, properties(r), "tags"), "a", "b");
    assert_int_equal(json_get(&r->doc, 0, "resource"), JSON_NONE);
    put_hsm(r, "7", "", 409);
    rig_expect_error(r, "ConflictError");
    rig_ask(r, "PUT", HSM, RECOVER, 202);
    rig_ask(r, "GET", GONE, "", 200);
    assert_int_equal(rig_count(r), 0);
    rig_run(r, 1000);
    rig_result(r, 200);
    rig_expect(r, properties(r), "provisioningState", "Succeeded");
    rig_expect(r, rig_at(r, 0, "tags"), "a", "b");
    assert_int_equal(json_get(&r->doc, properties(r), "createMode"), JSON_NONE);
    assert_true(rig_pool_of(r, "contoso-hsm")->running);
    rig_ask(r, "PUT", HSM, RECOVER, 409);
    rig_ask(r, "DELETE", HSM, "", 202);
    rig_run(r, 1000);
    rig_ask(r, "POST", GONE_1 "/purge", "", 202);
    rig_ask(r, "POST", GONE_1 "/purge", "", 409);
    rig_run(r, 1000);
    rig_result(r, 200);
    assert_int_equal(r->a.body.n, 0);
    assert_null(rig_pool_of(r, "contoso-hsm"));
    rig_ask(r, "POST", GONE_1 "/purge", "", 404);
    rig_ask(r, "GET", GONE_1, "", 404);
    put_hsm(r, "7", "", 202); /* the name is free */
}

static void purge_protection_and_the_date(void **state)
{
    struct rig *r = *state;
    make_group(r);
    put_hsm(r, "7", ",\"enablePurgeProtection\":true", 202);
    rig_run(r, 1000);
    rig_ask(r, "DELETE", HSM, "", 202);
    rig_run(r, 1000);
    rig_ask(r, "POST", GONE_1 "/purge", "", 409);
    rig_expect_error(r, "ConflictError");
    r->now_ms += 6 * 86400000ull;
    rig_run(r, 10000);
    assert_non_null(rig_pool_of(r, "contoso-hsm"));
    r->now_ms += 86400000ull;
    rig_run(r, 10000);
    assert_null(rig_pool_of(r, "contoso-hsm"));
    rig_ask(r, "GET", GONE, "", 200);
    assert_int_equal(rig_count(r), 0);
}

static void the_end_of_a_group(void **state)
{
    struct rig *r = *state;
    make_hsm(r);
    rig_ask(r, "DELETE", GROUP, "", 202);
    assert_non_null(strstr(r->location, "/operationresults/"));
    put_hsm(r, "7", "", 409);
    rig_expect_error(r, "ResourceGroupBeingDeleted");
    rig_result(r, 202);
    rig_run(r, 2000);
    rig_result(r, 200);
    assert_int_equal(r->a.body.n, 0);
    rig_ask(r, "GET", GROUP, "", 404);
    rig_ask(r, "GET", GONE, "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "PUT", HSM, RECOVER, 404);
    make_group(r);
    rig_ask(r, "PUT", HSM, RECOVER, 202);
    rig_run(r, 1000);
    rig_result(r, 200);
}

static void limits_and_pages(void **state)
{
    struct rig *r = *state;
    char path[1100], body[1024], next[1024];
    make_group(r);
    snprintf(body, sizeof body, CREATE, "7", "");
    for (unsigned i = 0; i < 5; i++) {
        snprintf(path, sizeof path, GROUP TYPE "/hsm-%u", i);
        rig_ask(r, "PUT", path, body, 202);
    }
    rig_run(r, 2000);
    rig_ask(r, "PUT", HSM, body, 409);
    rig_expect_error(r, "QuotaExceeded");
    rig_ask(r, "GET", TYPE, "", 200);
    assert_int_equal(rig_count(r), 6); /* with the first one, of another region */
    rig_ask(r, "GET", GROUP TYPE "?$top=2", "", 200);
    assert_int_equal(rig_count(r), 2);
    size_t seen = 2;
    while (arm_string(&r->doc, 0, "nextLink", next, sizeof next)) {
        static const char origin[] = "https://localhost:8443";
        snprintf(path, sizeof path, "GET %s", next + sizeof origin - 1);
        rig_raw(r, path, "", 200);
        seen += rig_count(r);
    }
    assert_int_equal(seen, 5);
    rig_ask(r, "GET", GROUP TYPE "?$top=0", "", 400);
}

static void names(void **state)
{
    struct rig *r = *state;
    static const char check[] = "/providers/Microsoft.KeyVault/checkMhsmNameAvailability";
    make_hsm(r);
    rig_ask(r, "POST", check, "{\"name\":\"CONTOSO-hsm\"}", 200);
    rig_expect(r, 0, "reason", "AlreadyExists");
    rig_ask(r, "POST", check, "{\"name\":\"no_way\"}", 200);
    rig_expect(r, 0, "reason", "AccountNameInvalid");
    rig_ask(r, "POST", check, "{}", 400);
    rig_ask(r, "DELETE", HSM, "", 202);
    rig_run(r, 1000);
    rig_ask(r, "POST", check, "{\"name\":\"contoso-hsm\"}", 200);
    rig_expect(r, 0, "reason", "AlreadyExists");
    rig_ask(r, "PUT", "/resourceGroups/keyhold" TYPE "/contoso-hsm", RECOVER, 409);
}

static void connections(void **state)
{
    static const char path[] = HSM "/privateEndpointConnections/pec1";
    struct rig *r = *state;
    make_hsm(r);
    rig_ask(r, "PUT", path, "{\"properties\":{}}", 404);
    /* As the endpoint's handler makes it. */
    struct request rq = {.now_ms = r->now_ms, .changes = changes_new(r->f->state)};
    char id[256];
    snprintf(id, sizeof id, "/subscriptions/%s" HSM, r->f->provider.dir.subscription);
    assert_true(hsm_connection_make(r->f, &rq, bytes_str(id), "pec1", "/s/pe1", "Approved", ""));
    hsm_err e = HSM_E_INTERNAL;
    state_commit(r->f->state, rq.changes, rig_note_error, &e);
    assert_int_equal(e, HSM_OK);
    changes_free(rq.changes);
    rig_run(r, 1000);
    rig_ask(r, "GET", HSM, "", 200);
    uint32_t one = json_first(&r->doc, rig_at(r, properties(r), "privateEndpointConnections"));
    rig_expect(r, rig_at(r, one, "properties"), "provisioningState", "Succeeded");
    assert_non_null(
        strstr(r->last_configure, "\"endpoints\":[{\"id\":\"/s/pe1\",\"state\":\"Approved\"}]"));
    rig_ask(r, "GET", path, "", 200);
    rig_expect(r, 0, "type", "Microsoft.KeyVault/vaults/privateEndpointConnections");
    rig_ask(r, "PUT", path,
            "{\"properties\":{\"privateEndpoint\":{},\"privateLinkServiceConnectionState\":"
            "{\"status\":\"Rejected\",\"description\":\"no\"}}}",
            200);
    assert_true(rig_has_header(r, "kv-operation="));
    rig_expect(r, properties(r), "provisioningState", "Updating");
    rig_run(r, 1000);
    rig_ask(r, "GET", path, "", 200);
    rig_expect(r, properties(r), "provisioningState", "Succeeded");
    rig_expect(r, rig_at(r, properties(r), "privateEndpoint"), "id", "/s/pe1");
    rig_expect(r, rig_at(r, properties(r), "privateLinkServiceConnectionState"), "description",
               "no");
    rig_ask(r, "PUT", path,
            "{\"properties\":{\"privateLinkServiceConnectionState\":{\"status\":\"Pending\"}}}",
            400);
    rig_ask(r, "GET", HSM "/privateEndpointConnections", "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "DELETE", path, "", 202);
    rig_result(r, 202);
    rig_run(r, 1000);
    rig_result(r, 204);
    rig_ask(r, "GET", path, "", 404);
    assert_non_null(strstr(r->last_configure, "\"endpoints\":[]"));
}

/* Made with the HSM, gone with its purge. */
static void an_identity_of_its_own(void **state)
{
    struct rig *r = *state;
    char principal[64];
    make_hsm(r);
    size_t before = state_count(r->f->state, STATE_PRINCIPAL, bytes_str(""));
    rig_ask(r, "PATCH", HSM, "{\"identity\":{\"type\":\"SystemAssigned\"}}", 200);
    assert_true(
        arm_string(&r->doc, rig_at(r, 0, "identity"), "principalId", principal, sizeof principal));
    assert_int_equal(state_count(r->f->state, STATE_PRINCIPAL, bytes_str("")), before + 1);
    rig_ask(r, "DELETE", HSM, "", 202);
    rig_run(r, 1000);
    rig_ask(r, "PUT", HSM, RECOVER, 202);
    rig_run(r, 1000);
    rig_result(r, 200);
    rig_expect(r, rig_at(r, 0, "identity"), "principalId", principal);
    rig_ask(r, "DELETE", HSM, "", 202);
    rig_run(r, 1000);
    rig_ask(r, "POST", GONE_1 "/purge", "", 202);
    rig_run(r, 1000);
    rig_result(r, 200);
    assert_int_equal(state_count(r->f->state, STATE_PRINCIPAL, bytes_str("")), before);
}

static void no_keys_through_resource_manager(void **state)
{
    struct rig *r = *state;
    make_hsm(r);
    rig_ask(r, "GET", HSM "/keys", "", 501);
    rig_expect_error(r, "NotImplemented");
    rig_ask(r, "PUT", HSM "/keys/k", "{\"properties\":{\"kty\":\"RSA-HSM\"}}", 501);
    rig_ask(r, "GET", HSM "/keys/k", "", 501);
    rig_ask(r, "GET", HSM "/keys/k/versions", "", 501);
    rig_ask(r, "GET", HSM "/keys/k/versions/v", "", 501);
    rig_ask(r, "GET", GROUP TYPE "/absent/keys", "", 404);
    r->who = &r->f->provider.dir.guest;
    rig_ask(r, "GET", HSM "/keys", "", 403);
    rig_expect_error(r, "AuthorizationFailed");
}

/* The fabric ends after that many steps, forgets what was under way, and comes back. */
static void restart_after(struct rig *r, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++)
        (void)operations_run(r->f->operations, ++r->now_ms);
    operations_pause(r->f->operations);
    (void)operations_run(r->f->operations, ++r->now_ms);
    operations_resume(r->f->operations);
    rig_run(r, 2000);
}

static void a_restart_after_every_step(void **state)
{
    struct rig *r = *state;
    make_group(r);
    for (unsigned steps = 0; steps < 10; steps++) {
        r->slow = 2;
        put_hsm(r, "7", "", 202);
        restart_after(r, steps);
        rig_result(r, 200);
        rig_expect(r, properties(r), "provisioningState", "Succeeded");
        rig_ask(r, "DELETE", HSM, "", 202);
        restart_after(r, steps);
        rig_result(r, 200);
        rig_ask(r, "PUT", HSM, RECOVER, 202);
        restart_after(r, steps);
        rig_result(r, 200);
        assert_true(rig_pool_of(r, "contoso-hsm")->running);
        rig_ask(r, "DELETE", HSM, "", 202);
        rig_run(r, 1000);
        rig_ask(r, "POST", GONE_1 "/purge", "", 202);
        restart_after(r, steps);
        rig_result(r, 200);
        assert_int_equal(r->pool_n, 1); /* the first one */
    }
    r->refuse = "start";
    for (unsigned steps = 0; steps < 10; steps++) {
        put_hsm(r, "7", "", 202);
        restart_after(r, steps);
        rig_result(r, 500);
        rig_ask(r, "GET", HSM, "", 200);
        rig_expect(r, properties(r), "provisioningState", "Failed");
        assert_int_equal(r->pool_n, 1);
    }
}

/* The pool of `keyhold up` is one as the others. */
static void the_first_pool(void **state)
{
    struct rig *r = *state;
    static const char dev[] = "/resourceGroups/keyhold" TYPE "/dev";
    rig_ask(r, "DELETE", dev, "", 202);
    rig_run(r, 1000);
    rig_result(r, 200);
    assert_false(rig_pool_of(r, "dev")->running);
    rig_ask(r, "PUT", dev, "{\"location\":\"local\",\"properties\":{\"createMode\":\"recover\"}}",
            202);
    rig_run(r, 1000);
    rig_result(r, 200);
    rig_expect(r, properties(r), "provisioningState", "Succeeded");
    rig_ask(r, "PUT", dev,
            "{\"location\":\"local\",\"properties\":{\"enablePurgeProtection\":true}}", 202);
    rig_run(r, 1000);
    rig_result(r, 200);
    rig_ask(r, "DELETE", dev, "", 202);
    rig_run(r, 1000);
    rig_ask(r, "POST", "/providers/Microsoft.KeyVault/locations/local/deletedManagedHSMs/dev/purge",
            "", 409);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(creation_step_by_step, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(failed_creation_leaves_nothing, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(a_node_that_is_away, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(rules_of_properties, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(updates, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(delete_recover_purge, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(purge_protection_and_the_date, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(the_end_of_a_group, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(limits_and_pages, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(names, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(connections, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(an_identity_of_its_own, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(no_keys_through_resource_manager, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(a_restart_after_every_step, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(the_first_pool, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
