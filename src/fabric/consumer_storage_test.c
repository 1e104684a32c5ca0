/* Storage accounts, encryption scopes, diagnostic settings. */
#include "fabric/arm_testing.h"

#define GROUP   "/resourceGroups/rg1"
#define ACCOUNT GROUP "/providers/Microsoft.Storage/storageAccounts/contoso1"
#define UAMI    GROUP "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1"
#define CHECK   "/providers/Microsoft.Storage/checkNameAvailability"
#define V1      "0123456789abcdef0123456789abcdef"
#define PLAIN   "{\"location\":\"local\",\"sku\":{\"name\":\"Standard_LRS\"},\"kind\":\"StorageV2\"}"
#define CMK(host, more)                                                                            \
    "\"encryption\":{\"keySource\":\"Microsoft.Keyvault\",\"keyvaultproperties\":{"                \
    "\"keyname\":\"k1\",\"keyvaulturi\":\"https://" host ".managedhsm.azure.net\"" more "}}"

static void make_group(struct rig *r)
{
    rig_ask(r, "PUT", GROUP, "{\"location\":\"local\"}", 201);
}

static uint32_t encryption(struct rig *r)
{
    return rig_at(r, rig_at(r, 0, "properties"), "encryption");
}

static void a_plain_account(void **state)
{
    struct rig *r = *state;
    make_group(r);
    rig_ask(r, "POST", CHECK, "{\"name\":\"contoso1\",\"type\":\"x\"}", 200);
    rig_ask(r, "PUT", ACCOUNT, PLAIN, 200);
    rig_expect(r, rig_at(r, 0, "sku"), "tier", "Standard");
    rig_expect(r, 0, "kind", "StorageV2");
    rig_expect(r, encryption(r), "keySource", "Microsoft.Storage");
    rig_expect(r, rig_at(r, rig_at(r, encryption(r), "services"), "blob"), "keyType", "Account");
    assert_int_equal(json_get(&r->doc, rig_at(r, encryption(r), "services"), "queue"), JSON_NONE);
    rig_ask(r, "POST", CHECK, "{\"name\":\"contoso1\"}", 200);
    rig_expect(r, 0, "reason", "AlreadyExists");
    rig_ask(r, "POST", CHECK, "{\"name\":\"No\"}", 200);
    rig_expect(r, 0, "reason", "AccountNameInvalid");
    rig_ask(r, "PUT", ACCOUNT, PLAIN, 200);
    rig_ask(r, "PUT", "/resourceGroups/rg2", "{\"location\":\"local\"}", 201);
    rig_ask(r, "PUT", "/resourceGroups/rg2/providers/Microsoft.Storage/storageAccounts/contoso1",
            PLAIN, 409);
    rig_expect_error(r, "StorageAccountAlreadyTaken");
    rig_ask(r, "PUT", GROUP "/providers/Microsoft.Storage/storageAccounts/Contoso-1", PLAIN, 400);
    rig_expect_error(r, "AccountNameInvalid");
    rig_ask(r, "PATCH", ACCOUNT, "{\"properties\":{\"allowBlobPublicAccess\":false}}", 200);
    rig_ask(r, "PATCH", ACCOUNT, "{\"tags\":{\"a\":\"b\"}}", 200);
    rig_at(r, rig_at(r, 0, "properties"), "allowBlobPublicAccess");
    rig_ask(r, "DELETE", ACCOUNT, "", 200);
}

/* An account gets an identity first, and then the key: in two steps, or in one. */
static void a_key_for_an_account(void **state)
{
    struct rig *r = *state;
    make_group(r);
    rig_ask(r, "PUT", ACCOUNT, PLAIN, 200);
    rig_ask(r, "PATCH", ACCOUNT, "{\"properties\":{" CMK("other", "") "}}", 400);
    rig_expect_error(r, "InvalidRequestPropertyValue");
    rig_ask(r, "PATCH", ACCOUNT,
            "{\"sku\":{\"name\":\"Standard_LRS\"},\"identity\":{\"type\":\"SystemAssigned\"},"
            "\"properties\":{" CMK("other", "") "}}",
            200);
    uint32_t kv = rig_at(r, encryption(r), "keyvaultproperties");
    rig_expect(r, encryption(r), "keySource", "Microsoft.Keyvault");
    rig_expect(r, kv, "keyname", "k1");
    rig_expect(r, kv, "keyvaulturi", "https://other.managedhsm.azure.net");
    rig_at(r, kv, "lastKeyRotationTimestamp");
    assert_int_equal(json_get(&r->doc, kv, "currentVersionedKeyIdentifier"), JSON_NONE);
    rig_ask(r, "PATCH", ACCOUNT,
            "{\"properties\":{" CMK("other", ",\"keyversion\":\"" V1 "\"") "}}", 200);
    rig_expect(r, rig_at(r, encryption(r), "keyvaultproperties"), "currentVersionedKeyIdentifier",
               "https://other.managedhsm.azure.net/keys/k1/" V1);
    rig_ask(r, "PATCH", ACCOUNT, "{\"tags\":{}}", 200);
    rig_expect(r, rig_at(r, encryption(r), "keyvaultproperties"), "keyversion", V1);
    static const char *const wrong[] = {
        CMK("other", ",\"keyversion\":\"1\""),
        CMK("other/keys", ""),
        "\"encryption\":{\"keySource\":\"Mine\"}",
        "\"encryption\":{\"keySource\":\"Microsoft.Keyvault\",\"keyvaultproperties\":{\"keyname\":"
        "\"a_b\",\"keyvaulturi\":\"https://other.managedhsm.azure.net\"}}",
        "\"encryption\":{\"services\":{\"queue\":{\"keyType\":\"Account\"},\"blob\":{\"keyType\":"
        "\"Service\"}}}",
        "\"encryption\":{\"requireInfrastructureEncryption\":true}",
        "\"encryption\":{\"identity\":{\"userAssignedIdentity\":\"/x\"}}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char body[1024];
        snprintf(body, sizeof body, "{\"properties\":{%s}}", wrong[i]);
        rig_ask(r, "PATCH", ACCOUNT, body, 400);
        rig_expect_error(r, "InvalidRequestPropertyValue");
    }
    rig_ask(r, "PATCH", ACCOUNT,
            "{\"properties\":{\"encryption\":{\"keySource\":\"Microsoft.Storage\"}}}", 200);
    assert_int_equal(json_get(&r->doc, encryption(r), "keyvaultproperties"), JSON_NONE);
}

static void a_new_account_with_a_key(void **state)
{
    struct rig *r = *state;
    char body[2048], id[300];
    make_group(r);
    rig_ask(r, "PUT", UAMI, "{\"location\":\"local\"}", 201);
    snprintf(id, sizeof id, "/subscriptions/%s" UAMI, r->f->provider.dir.subscription);
    rig_ask(r, "PUT", ACCOUNT,
            "{\"location\":\"local\",\"sku\":{\"name\":\"Standard_LRS\"},\"kind\":\"StorageV2\","
            "\"identity\":{\"type\":\"SystemAssigned\"},\"properties\":{" CMK("other", "") "}}",
            400);
    rig_expect_error(r, "InvalidRequestPropertyValue");
    snprintf(body, sizeof body,
             "{\"location\":\"local\",\"sku\":{\"name\":\"Premium_LRS\"},\"kind\":\"StorageV2\","
             "\"identity\":{\"type\":\"UserAssigned\",\"userAssignedIdentities\":{\"%s\":{}}},"
             "\"properties\":{\"encryption\":{\"keySource\":\"microsoft.keyvault\",\"services\":{"
             "\"queue\":{\"keyType\":\"Account\"}},\"keyvaultproperties\":{\"keyname\":\"k\","
             "\"keyvaulturi\":\"https://other.managedhsm.azure.net/\"},\"identity\":{"
             "\"userAssignedIdentity\":\"%s\"}}}}",
             id, id);
    rig_ask(r, "PUT", ACCOUNT, body, 200);
    rig_expect(r, rig_at(r, encryption(r), "identity"), "userAssignedIdentity", id);
    rig_expect(r, rig_at(r, rig_at(r, encryption(r), "services"), "queue"), "keyType", "Account");
    rig_expect(r, rig_at(r, 0, "sku"), "tier", "Premium");
}

#define HSM GROUP "/providers/Microsoft.KeyVault/managedHSMs/Guarded"
#define HSM_BODY                                                                                   \
    "{\"location\":\"westus3\",\"sku\":{\"family\":\"B\",\"name\":\"Standard_B1\"},"               \
    "\"properties\":{\"tenantId\":\"adfs\",\"initialAdminObjectIds\":["                            \
    "\"11111111-2222-3333-4444-555555555555\"],\"softDeleteRetentionInDays\":7%s}}"

static void make_hsm(struct rig *r)
{
    char body[1024];
    snprintf(body, sizeof body, HSM_BODY, "");
    rig_ask(r, "PUT", HSM, body, 202);
    rig_run(r, 1000);
    rig_result(r, 200);
}

/* A pool of this control plane without purge protection cannot hold an account's key. */
static void purge_protection(void **state)
{
    struct rig *r = *state;
    make_group(r);
    make_hsm(r);
    rig_ask(r, "PUT", ACCOUNT, PLAIN, 200);
    rig_ask(r, "PATCH", ACCOUNT,
            "{\"identity\":{\"type\":\"SystemAssigned\"},\"properties\":{" CMK("guarded", "") "}}",
            400);
    rig_expect_error(r, "KeyVaultPolicyError");
    rig_expect(r, rig_at(r, 0, "error"), "message", "Keyvault policy recoverable is not set");
    rig_ask(r, "PUT", ACCOUNT "/encryptionScopes/s1",
            "{\"properties\":{\"source\":\"Microsoft.KeyVault\",\"keyVaultProperties\":{\"keyUri\":"
            "\"https://guarded.managedhsm.azure.net/keys/k\"}}}",
            400);
    rig_expect_error(r, "KeyVaultPolicyError");
    rig_ask(r, "PATCH", HSM, "{\"properties\":{\"enablePurgeProtection\":true}}", 202);
    rig_run(r, 1000);
    rig_ask(r, "PATCH", ACCOUNT,
            "{\"identity\":{\"type\":\"SystemAssigned\"},\"properties\":{" CMK("guarded", "") "}}",
            200);
}

static void encryption_scopes(void **state)
{
    struct rig *r = *state;
    make_group(r);
    rig_ask(r, "PUT", ACCOUNT "/encryptionScopes/s1", "{\"properties\":{}}", 404);
    rig_ask(r, "PUT", ACCOUNT, PLAIN, 200);
    rig_ask(r, "PUT", ACCOUNT "/encryptionScopes/s1", "{\"properties\":{}}", 201);
    rig_expect(r, rig_at(r, 0, "properties"), "source", "Microsoft.Storage");
    rig_expect(r, rig_at(r, 0, "properties"), "state", "Enabled");
    rig_ask(r, "PATCH", ACCOUNT "/encryptionScopes/s1",
            "{\"properties\":{\"source\":\"Microsoft.KeyVault\"}}", 400);
    rig_ask(r, "PATCH", ACCOUNT "/encryptionScopes/s1",
            "{\"properties\":{\"source\":\"Microsoft.KeyVault\",\"keyVaultProperties\":{\"keyUri\":"
            "\"https://other.managedhsm.azure.net/keys/k/" V1 "\"}}}",
            200);
    rig_expect(r, rig_at(r, rig_at(r, 0, "properties"), "keyVaultProperties"),
               "currentVersionedKeyIdentifier", "https://other.managedhsm.azure.net/keys/k/" V1);
    rig_ask(r, "PATCH", ACCOUNT "/encryptionScopes/s1", "{\"properties\":{\"state\":\"Disabled\"}}",
            200);
    rig_expect(r, rig_at(r, 0, "properties"), "source", "Microsoft.KeyVault");
    rig_ask(r, "GET", ACCOUNT "/encryptionScopes", "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "DELETE", ACCOUNT "/encryptionScopes/s1", "", 405);
}

#define SETTINGS   HSM "/providers/Microsoft.Insights/diagnosticSettings"
#define CATEGORIES HSM "/providers/Microsoft.Insights/diagnosticSettingsCategories"
#define SINK       "\"workspaceId\":\"/subscriptions/x/w\""
#define LOGS       "\"logs\":[{\"category\":\"AuditEvent\",\"enabled\":true}]"

static void diagnostic_settings(void **state)
{
    struct rig *r = *state;
    make_group(r);
    rig_ask(r, "PUT", SETTINGS "/audit", "{\"properties\":{" SINK "," LOGS "}}", 404);
    rig_ask(r, "GET", CATEGORIES, "", 404);
    make_hsm(r);
    rig_ask(r, "PUT", SETTINGS "/audit",
            "{\"properties\":{" SINK "," LOGS
            ",\"metrics\":[{\"category\":\"AllMetrics\",\"enabled\":true,\"retentionPolicy\":{"
            "\"enabled\":false,\"days\":0}}]}}",
            200);
    rig_expect(r, 0, "type", "Microsoft.Insights/diagnosticSettings");
    rig_ask(r, "GET", SETTINGS "/audit", "", 200);
    rig_expect(r, rig_at(r, 0, "properties"), "workspaceId", "/subscriptions/x/w");
    assert_int_equal(json_count(&r->doc, rig_at(r, rig_at(r, 0, "properties"), "logs")), 1);
    rig_ask(r, "GET", SETTINGS, "", 200);
    assert_int_equal(rig_count(r), 1);
    static const char *const wrong[] = {
        "{\"properties\":{" LOGS "}}",
        "{\"properties\":{\"workspaceId\":\"w\"," LOGS "}}",
        "{\"properties\":{" SINK ",\"logs\":[{\"category\":\"Gossip\",\"enabled\":true}]}}",
        "{\"properties\":{" SINK ",\"logs\":[{\"category\":\"AuditEvent\"}]}}",
        "{\"properties\":{" SINK ",\"logs\":{}}}",
        "{\"properties\":{" SINK ",\"logs\":[{\"categoryGroup\":\"some\",\"enabled\":true}]}}",
        "{\"properties\":{" SINK ",\"metrics\":[{\"category\":\"AuditEvent\",\"enabled\":true}]}}",
        "{\"properties\":{" SINK ",\"logs\":[{\"category\":\"AuditEvent\",\"enabled\":true,"
        "\"retentionPolicy\":{\"enabled\":true,\"days\":400}}]}}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        rig_ask(r, "PUT", SETTINGS "/x", wrong[i], 400);
        rig_expect_error(r, "BadRequest");
    }
    for (unsigned i = 2; i <= 6; i++) {
        char path[512];
        snprintf(path, sizeof path, SETTINGS "/s%u", i);
        rig_ask(r, "PUT", path,
                "{\"properties\":{" SINK
                ",\"logs\":[{\"categoryGroup\":\"allLogs\",\"enabled\":true}]"
                "}}",
                i < 6 ? 200 : 409);
    }
    rig_ask(r, "PUT", GROUP "/providers/Microsoft.Insights/diagnosticSettings/x",
            "{\"properties\":{" SINK "}}", 400);
    rig_expect_error(r, "ResourceTypeNotSupported");
    rig_ask(r, "DELETE", SETTINGS "/audit", "", 200);
    rig_ask(r, "GET", SETTINGS "/audit", "", 404);
    rig_ask(r, "GET", CATEGORIES, "", 200);
    assert_int_equal(rig_count(r), 2);
    rig_ask(r, "GET", CATEGORIES "/auditevent", "", 200);
    rig_expect(r, rig_at(r, 0, "properties"), "categoryType", "Logs");
    rig_ask(r, "GET", CATEGORIES "/Gossip", "", 404);
}

int main(void)
{
#define EACH(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        EACH(a_plain_account),  EACH(a_key_for_an_account), EACH(a_new_account_with_a_key),
        EACH(purge_protection), EACH(encryption_scopes),    EACH(diagnostic_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
