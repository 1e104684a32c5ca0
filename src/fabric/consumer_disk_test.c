/* Disk encryption sets, disks, identities of resources. */
#include "fabric/arm_testing.h"
#include "fabric/managed.h"

#define GROUP "/resourceGroups/rg1"
#define SET   GROUP "/providers/Microsoft.Compute/diskEncryptionSets/des1"
#define DISK  GROUP "/providers/Microsoft.Compute/disks/d1"
#define UAMI  GROUP "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-one"
#define V1    "0123456789abcdef0123456789abcdef"
#define V2    "fedcba9876543210fedcba9876543210"
#define URL   "https://contoso-hsm.managedhsm.azure.net/keys/disk-key/"
#define BODY(identity, key, more)                                                                  \
    "{\"location\":\"local\",\"identity\":{\"type\":\"" identity "\"},\"properties\":{"            \
    "\"activeKey\":{\"keyUrl\":\"" key "\"}" more "}}"

static void make_group(struct rig *r)
{
    rig_ask(r, "PUT", GROUP, "{\"location\":\"local\"}", 201);
}

static void make_set(struct rig *r)
{
    make_group(r);
    rig_ask(r, "PUT", SET, BODY("SystemAssigned", URL V1, ""), 202);
}

static uint32_t properties(struct rig *r)
{
    return rig_at(r, 0, "properties");
}

static void take(struct rig *r, uint32_t v, const char *name, char dst[64])
{
    assert_true(arm_string(&r->doc, v, name, dst, 64));
}

static void a_set_and_its_identity(void **state)
{
    struct rig *r = *state;
    char principal[64], again[64];
    struct managed_identity m;
    make_set(r);
    assert_true(rig_has_header(r, "Azure-AsyncOperation: https://localhost:8443/subscriptions/"));
    assert_true(rig_has_header(r, "/providers/Microsoft.Compute/locations/local/DiskOperations/"));
    assert_true(rig_has_header(r, "Location: https://"));
    assert_true(rig_has_header(r, "Retry-After: 1\r\n"));
    rig_ask(r, "GET", SET, "", 200);
    rig_expect(r, properties(r), "provisioningState", "Succeeded");
    rig_expect(r, properties(r), "encryptionType", "EncryptionAtRestWithCustomerKey");
    rig_expect(r, rig_at(r, properties(r), "activeKey"), "keyUrl", URL V1);
    assert_int_equal(json_count(&r->doc, rig_at(r, properties(r), "previousKeys")), 0);
    uint32_t identity = rig_at(r, 0, "identity");
    rig_expect(r, identity, "type", "SystemAssigned");
    rig_expect(r, identity, "tenantId", r->f->provider.dir.tenant);
    take(r, identity, "principalId", principal);
    assert_int_equal(identity_find_managed(r->f, bytes_str(principal), &m), HSM_OK);
    assert_false(m.user_assigned);
    /* The whole GET body comes back as an update: nothing changes. */
    rig_ask(r, "PUT", SET, BODY("SystemAssigned", URL V1, ""), 202);
    rig_ask(r, "GET", SET, "", 200);
    take(r, rig_at(r, 0, "identity"), "principalId", again);
    assert_string_equal(principal, again);
    rig_ask(r, "DELETE", SET, "", 202);
    rig_ask(r, "GET", SET, "", 404);
    assert_int_equal(identity_find_managed(r->f, bytes_str(principal), &m), HSM_E_NOT_FOUND);
}

static void another_key(void **state)
{
    struct rig *r = *state;
    char first[64], second[64];
    make_set(r);
    rig_ask(r, "GET", SET, "", 200);
    take(r, properties(r), "lastKeyRotationTimestamp", first);
    r->now_ms += 5000;
    rig_ask(r, "PATCH", SET, "{\"properties\":{\"activeKey\":{\"keyUrl\":\"" URL V2 "\"}}}", 202);
    rig_ask(r, "GET", SET, "", 200);
    uint32_t p = properties(r);
    rig_expect(r, rig_at(r, p, "activeKey"), "keyUrl", URL V2);
    take(r, p, "lastKeyRotationTimestamp", second);
    assert_string_not_equal(first, second);
    uint32_t list = rig_at(r, p, "previousKeys");
    assert_int_equal(json_count(&r->doc, list), 1);
    rig_expect(r, json_first(&r->doc, list), "keyUrl", URL V1);
    rig_ask(r, "PATCH", SET,
            "{\"tags\":{\"a\":\"b\"},\"properties\":{\"rotationToLatestKeyVersionEnabled\":true}}",
            202);
    rig_ask(r, "GET", SET, "", 200);
    rig_expect(r, rig_at(r, 0, "tags"), "a", "b");
    rig_expect(r, rig_at(r, properties(r), "activeKey"), "keyUrl", URL V2);
    rig_expect(r, properties(r), "lastKeyRotationTimestamp", second);
    rig_expect(r, rig_at(r, 0, "identity"), "type", "SystemAssigned");
}

static void sets_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *body, *code;
        unsigned status;
    } wrong[] = {
        {BODY("SystemAssigned", "https://x.managedhsm.azure.net/keys/k", ""), "InvalidParameter",
         400},
        {BODY("SystemAssigned", "http://x.managedhsm.azure.net/keys/k/" V1, ""), "InvalidParameter",
         400},
        {BODY("SystemAssigned", "", ""), "InvalidParameter", 400},
        {BODY("None", URL V1, ""), "InvalidParameter", 400},
        {BODY("Sometimes", URL V1, ""), "InvalidIdentity", 400},
        {BODY("UserAssigned", URL V1, ""), "InvalidIdentity", 400},
        {BODY("SystemAssigned", URL V1, ",\"encryptionType\":\"Rot13\""), "InvalidParameter", 400},
        {BODY("SystemAssigned", URL V1, ",\"rotationToLatestKeyVersionEnabled\":1"),
         "InvalidParameter", 400},
        {BODY("SystemAssigned", URL V1, ",\"federatedClientId\":\"me\""), "InvalidParameter", 400},
        {"{\"location\":\"local\",\"identity\":{\"type\":\"SystemAssigned\"},\"properties\":{}}",
         "InvalidParameter", 400},
        {"{\"location\":\"local\",\"identity\":{\"type\":\"SystemAssigned\"},\"properties\":{"
         "\"activeKey\":{\"keyUrl\":\"" URL V1 "\",\"sourceVault\":{\"id\":\"x\"}}}}",
         "InvalidParameter", 400},
        {"{\"location\":\"local\",\"identity\":{\"type\":\"SystemAssigned\"},\"properties\":{"
         "\"activeKey\":{\"keyUrl\":\"" URL V1 "\",\"sourceVault\":{\"id\":\"/subscriptions/"
         "11111111-1111-1111-1111-111111111111/resourceGroups/g/providers/Microsoft.KeyVault/"
         "managedHSMs/x\"}}}}",
         "InvalidParameter", 400},
        {"{\"identity\":{\"type\":\"SystemAssigned\"},\"properties\":{}}", "LocationRequired", 400},
    };
    make_group(r);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        rig_ask(r, "PUT", SET, wrong[i].body, wrong[i].status);
        rig_expect_error(r, wrong[i].code);
        rig_ask(r, "GET", SET, "", 404);
    }
    rig_ask(r, "PUT", SET, BODY("SystemAssigned", URL V1, ""), 202);
    rig_ask(r, "PATCH", SET,
            "{\"properties\":{\"encryptionType\":\"ConfidentialVmEncryptedWithCustomerKey\"}}",
            409);
    rig_expect_error(r, "PropertyChangeNotAllowed");
}

static void user_assigned(void **state)
{
    struct rig *r = *state;
    char body[2048], id[512], principal[64], client[64];
    struct managed_identity m;
    make_group(r);
    rig_ask(r, "PUT", UAMI, "{\"location\":\"local\"}", 201);
    rig_expect(r, properties(r), "tenantId", r->f->provider.dir.tenant);
    take(r, properties(r), "principalId", principal);
    take(r, properties(r), "clientId", client);
    assert_int_equal(identity_find_managed(r->f, bytes_str(principal), &m), HSM_OK);
    assert_true(m.user_assigned);
    rig_ask(r, "PUT", UAMI, "{\"location\":\"local\",\"tags\":{\"a\":\"b\"}}", 200);
    rig_expect(r, properties(r), "principalId", principal);
    snprintf(id, sizeof id, "/subscriptions/%s" UAMI, r->f->provider.dir.subscription);
    snprintf(
        body, sizeof body,
        "{\"location\":\"local\",\"identity\":{\"type\":\"SystemAssigned, UserAssigned\","
        "\"userAssignedIdentities\":{\"%s\":{}}},\"properties\":{\"activeKey\":{\"keyUrl\":\"" URL
            V1 "\"}}}",
        id);
    rig_ask(r, "PUT", SET, body, 202);
    rig_ask(r, "GET", SET, "", 200);
    uint32_t identity = rig_at(r, 0, "identity");
    rig_expect(r, identity, "type", "SystemAssigned, UserAssigned");
    uint32_t users = rig_at(r, identity, "userAssignedIdentities");
    rig_expect(r, rig_at(r, users, id), "principalId", principal);
    rig_expect(r, rig_at(r, users, id), "clientId", client);
    take(r, identity, "principalId", client);
    rig_ask(r, "PATCH", SET, "{\"identity\":{\"type\":\"UserAssigned\"}}", 202);
    assert_int_equal(identity_find_managed(r->f, bytes_str(client), &m), HSM_E_NOT_FOUND);
    rig_ask(r, "GET", SET, "", 200);
    assert_int_equal(json_get(&r->doc, rig_at(r, 0, "identity"), "principalId"), JSON_NONE);
    snprintf(
        body, sizeof body,
        "{\"identity\":{\"type\":\"UserAssigned\",\"userAssignedIdentities\":{\"%s-not\":{}}}}",
        id);
    rig_ask(r, "PATCH", SET, body, 400);
    rig_expect_error(r, "FailedIdentityOperation");
    rig_ask(r, "DELETE", UAMI, "", 200);
    assert_int_equal(identity_find_managed(r->f, bytes_str(principal), &m), HSM_E_NOT_FOUND);
    rig_ask(r, "DELETE", UAMI, "", 204);
    rig_ask(r, "PUT", GROUP "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/_x",
            "{\"location\":\"local\"}", 400);
    rig_expect_error(r, "InvalidIdentityName");
}

static void disk_of(struct rig *r, const char *location, const char *set, unsigned want)
{
    char body[2048];
    snprintf(body, sizeof body,
             "{\"location\":\"%s\",\"sku\":{\"name\":\"Premium_LRS\"},\"properties\":{"
             "\"creationData\":{\"createOption\":\"Empty\"},\"diskSizeGB\":4,\"encryption\":{"
             "\"type\":\"EncryptionAtRestWithCustomerKey\",\"diskEncryptionSetId\":"
             "\"/subscriptions/%s%s\"}}}",
             location, r->f->provider.dir.subscription, set);
    rig_ask(r, "PUT", DISK, body, want);
}

static void disks(void **state)
{
    struct rig *r = *state;
    char id[512];
    make_set(r);
    rig_ask(r, "GET", SET "/associatedResources", "", 200);
    assert_int_equal(rig_count(r), 0);
    disk_of(r, "local", SET "x", 404);
    disk_of(r, "westus", SET, 400);
    disk_of(r, "local", SET, 202);
    rig_ask(r, "GET", DISK, "", 200);
    rig_expect(r, properties(r), "diskState", "Unattached");
    rig_expect(r, rig_at(r, properties(r), "encryption"), "type",
               "EncryptionAtRestWithCustomerKey");
    rig_expect(r, rig_at(r, 0, "sku"), "name", "Premium_LRS");
    rig_ask(r, "GET", SET "/associatedResources", "", 200);
    assert_int_equal(rig_count(r), 1);
    snprintf(id, sizeof id, "/subscriptions/%s" DISK, r->f->provider.dir.subscription);
    struct bytes text;
    assert_int_equal(json_plain(&r->doc, json_first(&r->doc, rig_at(r, 0, "value")), &text),
                     HSM_OK);
    assert_true(bytes_eq_str(text, id));
    rig_ask(r, "DELETE", SET, "", 409);
    rig_expect_error(r, "OperationNotAllowed");
    rig_ask(r, "PATCH", DISK, "{\"properties\":{\"diskSizeGB\":2}}", 400);
    rig_ask(r, "PATCH", DISK, "{\"properties\":{\"diskSizeGB\":8}}", 202);
    rig_ask(r, "PATCH", DISK,
            "{\"properties\":{\"encryption\":{\"type\":\"EncryptionAtRestWithPlatformKey\"}}}",
            202);
    rig_ask(r, "DELETE", SET, "", 202);
    rig_ask(r, "GET", DISK, "", 200);
    rig_expect(r, rig_at(r, properties(r), "encryption"), "type",
               "EncryptionAtRestWithPlatformKey");
    rig_ask(r, "PUT", GROUP "/providers/Microsoft.Compute/disks/d2",
            "{\"location\":\"local\",\"properties\":{\"diskSizeGB\":4}}", 400);
}

/* The operation's URLs: a status with the resource in it, and the resource itself. */
static void the_operation(void **state)
{
    struct rig *r = *state;
    make_set(r);
    rig_result(r, 202); /* Location, under way */
    rig_run(r, 10);
    rig_result(r, 200);
    rig_expect(r, 0, "name", "des1");
    char *mark = strstr(r->location, "&monitor=true");
    assert_non_null(mark);
    *mark = 0;
    rig_result(r, 200);
    rig_expect(r, 0, "status", "Succeeded");
    rig_expect(r, rig_at(r, rig_at(r, 0, "properties"), "output"), "name", "des1");
}

int main(void)
{
#define EACH(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        EACH(a_set_and_its_identity), EACH(another_key), EACH(sets_refused),
        EACH(user_assigned),          EACH(disks),       EACH(the_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
