/* Keys and protectors of SQL managed instances, servers and databases. */
#include "fabric/arm_testing.h"

#define GROUP       "/resourceGroups/rg1"
#define SQL         GROUP "/providers/Microsoft.Sql"
#define MI          SQL "/managedInstances/mi1"
#define PROTECTOR   "/encryptionProtector/current"
#define V1          "0123456789abcdef0123456789abcdef"
#define V2          "fedcba9876543210fedcba9876543210"
#define URL         "https://contosohsm.managedhsm.azure.net/keys/Contoso-SQLMI-CMK/"
#define KEY         "contosohsm_Contoso-SQLMI-CMK_"
#define KEY_BODY(v) "{\"properties\":{\"serverKeyType\":\"AzureKeyVault\",\"uri\":\"" URL v "\"}}"
#define PROTECT(v, more)                                                                           \
    "{\"properties\":{\"serverKeyName\":\"" KEY v "\",\"serverKeyType\":\"AzureKeyVault\"" more "}}"
#define SERVICE                                                                                    \
    "{\"properties\":{\"serverKeyName\":\"ServiceManaged\",\"serverKeyType\":\"ServiceManaged\"}}"

static void make_instance(struct rig *r)
{
    rig_ask(r, "PUT", GROUP, "{\"location\":\"local\"}", 201);
    rig_ask(r, "PUT", MI,
            "{\"location\":\"local\",\"identity\":{\"type\":\"SystemAssigned\"},\"properties\":{"
            "\"administratorLogin\":\"sa\",\"administratorLoginPassword\":\"hunter2\"}}",
            202);
}

static uint32_t properties(struct rig *r)
{
    return rig_at(r, 0, "properties");
}

static void the_instance(void **state)
{
    struct rig *r = *state;
    make_instance(r);
    rig_expect(r, 0, "operation", "UpsertManagedServer");
    rig_ask(r, "GET", MI, "", 200);
    rig_expect(r, properties(r), "administratorLogin", "sa");
    rig_expect(r, rig_at(r, 0, "identity"), "type", "SystemAssigned");
    assert_null(memmem(r->a.body.p, r->a.body.n, "hunter2", 7));
    rig_ask(r, "GET", MI "/keys", "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_expect(r, json_first(&r->doc, rig_at(r, 0, "value")), "name", "ServiceManaged");
    rig_ask(r, "GET", MI PROTECTOR, "", 200);
    rig_expect(r, 0, "kind", "servicemanaged");
    rig_expect(r, 0, "type", "Microsoft.Sql/managedInstances/encryptionProtector");
    rig_expect(r, properties(r), "serverKeyName", "ServiceManaged");
    assert_int_equal(json_get(&r->doc, properties(r), "uri"), JSON_NONE);
    rig_ask(r, "DELETE", MI, "", 202);
    rig_ask(r, "GET", MI PROTECTOR, "", 404);
}

static void keys(void **state)
{
    struct rig *r = *state;
    char thumbprint[64];
    make_instance(r);
    rig_ask(r, "PUT", MI "/keys/" KEY V1, KEY_BODY(V1), 202);
    rig_expect(r, 0, "operation", "UpsertManagedServerKey");
    rig_at(r, 0, "startTime");
    assert_true(rig_has_header(r, "/managedInstanceKeyAzureAsyncOperation/"));
    assert_true(rig_has_header(r, "/managedInstanceKeyOperationResults/"));
    rig_run(r, 10);
    rig_result(r, 200);
    rig_expect(r, 0, "name", KEY V1);
    rig_ask(r, "GET", MI "/keys/" KEY V1, "", 200);
    rig_expect(r, 0, "kind", "azurekeyvault");
    rig_expect(r, 0, "type", "Microsoft.Sql/managedInstances/keys");
    rig_expect(r, properties(r), "uri", URL V1);
    assert_true(arm_string(&r->doc, properties(r), "thumbprint", thumbprint, sizeof thumbprint));
    assert_int_equal(strlen(thumbprint), 40);
    assert_int_equal(strspn(thumbprint, "0123456789abcdef"), 40);
    rig_at(r, properties(r), "creationDate");
    rig_ask(r, "GET", MI "/keys", "", 200);
    assert_int_equal(rig_count(r), 2);
    static const struct {
        const char *name, *body, *code;
    } wrong[] = {
        {KEY V2, KEY_BODY(V1), "InvalidKeyName"},
        {"x", KEY_BODY(V1), "InvalidKeyName"},
        {KEY V1, "{}", "InvalidKeyUpsertRequest"},
        {KEY V1, "{\"properties\":{\"serverKeyType\":\"Mine\",\"uri\":\"x\"}}", "InvalidKeyType"},
        {KEY V1, SERVICE, "InvalidUpsertKeyType"},
        {"ServiceManaged", KEY_BODY(V1), "InvalidUpsertKeyType"},
        {KEY V1, "{\"properties\":{\"serverKeyType\":\"AzureKeyVault\"}}", "InvalidKeyUri"},
        {KEY V1,
         "{\"properties\":{\"serverKeyType\":\"AzureKeyVault\",\"uri\":"
         "\"https://contosohsm.managedhsm.azure.net/keys/Contoso-SQLMI-CMK\"}}",
         "InvalidKeyUri"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char path[512];
        snprintf(path, sizeof path, MI "/keys/%s", wrong[i].name);
        rig_ask(r, "PUT", path, wrong[i].body, 400);
        rig_expect_error(r, wrong[i].code);
    }
    rig_ask(r, "DELETE", MI "/keys/ServiceManaged", "", 400);
    rig_ask(r, "DELETE", MI "/keys/" KEY V1, "", 202);
    rig_ask(r, "DELETE", MI "/keys/" KEY V1, "", 204);
    rig_ask(r, "PUT", SQL "/managedInstances/none/keys/" KEY V1, KEY_BODY(V1), 404);
    rig_expect_error(r, "ParentResourceNotFound");
}

static void protector(void **state)
{
    struct rig *r = *state;
    bool on = false;
    make_instance(r);
    rig_ask(r, "PUT", MI PROTECTOR, PROTECT(V1, ""), 400);
    rig_expect_error(r, "ServerKeyNotFound");
    rig_ask(r, "PUT", MI "/keys/" KEY V1, KEY_BODY(V1), 202);
    rig_ask(r, "PUT", MI PROTECTOR, PROTECT(V1, ",\"autoRotationEnabled\":true"), 202);
    rig_expect(r, 0, "operation", "UpsertManagedServerEncryptionProtector");
    assert_true(rig_has_header(r, "/managedInstanceEncryptionProtectorAzureAsyncOperation/"));
    assert_true(rig_has_header(r, "/managedInstanceEncryptionProtectorOperationResults/"));
    rig_ask(r, "GET", MI PROTECTOR, "", 200);
    rig_expect(r, 0, "kind", "azurekeyvault");
    rig_expect(r, properties(r), "uri", URL V1);
    rig_expect(r, properties(r), "serverKeyName", KEY V1);
    assert_int_equal(json_bool(&r->doc, rig_at(r, properties(r), "autoRotationEnabled"), &on),
                     HSM_OK);
    assert_true(on);
    rig_ask(r, "GET", MI "/encryptionProtector", "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "POST", MI PROTECTOR "/revalidate", "", 200);
    rig_ask(r, "DELETE", MI "/keys/" KEY V1, "", 409);
    rig_expect_error(r, "ServerKeyInUse");
    rig_ask(r, "PUT", MI "/encryptionProtector/other", PROTECT(V1, ""), 400);
    rig_ask(r, "PUT", MI PROTECTOR, "{\"properties\":{\"serverKeyType\":\"x\"}}", 400);
    rig_expect_error(r, "InvalidKeyType");
    rig_ask(r, "PUT", MI PROTECTOR, PROTECT(V1, ",\"autoRotationEnabled\":1"), 400);
    rig_ask(r, "PUT", MI PROTECTOR, SERVICE, 202);
    rig_ask(r, "GET", MI PROTECTOR, "", 200);
    rig_expect(r, 0, "kind", "servicemanaged");
    rig_ask(r, "DELETE", MI "/keys/" KEY V1, "", 202);
    rig_ask(r, "DELETE", MI PROTECTOR, "", 405);
}

/* keyId makes both the key and the protector. */
static void an_instance_with_a_key(void **state)
{
    struct rig *r = *state;
    rig_ask(r, "PUT", GROUP, "{\"location\":\"local\"}", 201);
    rig_ask(r, "PUT", MI, "{\"location\":\"local\",\"properties\":{\"keyId\":\"" URL V1 "\"}}",
            400);
    rig_ask(r, "PUT", MI,
            "{\"location\":\"local\",\"identity\":{\"type\":\"SystemAssigned\"},\"properties\":{"
            "\"keyId\":\"" URL "\"}}",
            400);
    rig_expect_error(r, "InvalidKeyName");
    rig_ask(r, "PUT", MI,
            "{\"location\":\"local\",\"identity\":{\"type\":\"SystemAssigned\"},\"properties\":{"
            "\"keyId\":\"" URL V1 "\"}}",
            202);
    rig_ask(r, "GET", MI PROTECTOR, "", 200);
    rig_expect(r, properties(r), "uri", URL V1);
    rig_ask(r, "GET", MI "/keys", "", 200);
    assert_int_equal(rig_count(r), 2);
}

#define SERVER SQL "/servers/s1"
#define DB     SERVER "/databases/db1"

static void put_database(struct rig *r, const char *version)
{
    char body[2048];
    snprintf(body, sizeof body,
             "{\"location\":\"local\",\"identity\":{\"type\":\"UserAssigned\","
             "\"userAssignedIdentities\":{\"/subscriptions/%s" GROUP
             "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1\":{}}},"
             "\"properties\":{\"encryptionProtector\":\"" URL "%s\"}}",
             r->f->provider.dir.subscription, version);
    rig_ask(r, "PUT", DB, body, 202);
}

static void a_server_and_its_database(void **state)
{
    struct rig *r = *state;
    rig_ask(r, "PUT", GROUP, "{\"location\":\"local\"}", 201);
    rig_ask(r, "PUT", SERVER, "{\"location\":\"local\",\"properties\":{}}", 202);
    rig_ask(r, "PUT", SERVER "/keys/" KEY V1, KEY_BODY(V1), 202);
    rig_ask(r, "PUT", SERVER PROTECTOR, PROTECT(V1, ""), 202);
    rig_ask(r, "POST", SERVER PROTECTOR "/revalidate", "", 200);
    rig_ask(r, "PUT", GROUP "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1",
            "{\"location\":\"local\"}", 201);
    put_database(r, V1);
    rig_ask(r, "POST", DB PROTECTOR "/revalidate", "", 200);
    rig_ask(r, "POST", DB PROTECTOR "/revert", "", 400);
    rig_expect_error(r, "InvalidRevertRequest");
    put_database(r, V2);
    rig_ask(r, "GET", DB, "", 200);
    rig_expect(r, properties(r), "encryptionProtector", URL V2);
    rig_ask(r, "POST", DB PROTECTOR "/revert", "", 200);
    rig_ask(r, "GET", DB, "", 200);
    rig_expect(r, properties(r), "encryptionProtector", URL V1);
    rig_expect(r, properties(r), "status", "Online");
    rig_expect(r, rig_at(r, 0, "identity"), "type", "UserAssigned");
}

int main(void)
{
#define EACH(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        EACH(the_instance),
        EACH(keys),
        EACH(protector),
        EACH(an_instance_with_a_key),
        EACH(a_server_and_its_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
