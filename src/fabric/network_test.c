/* Private endpoints, their zones, and what the node and the resolvers are told. */
#include <sys/stat.h>
#include "base/file.h"
#include "fabric/arm_testing.h"
#include "fabric/network.h"

#define GROUP "/resourceGroups/net"
#define NET   GROUP "/providers/Microsoft.Network"
#define HSM   GROUP "/providers/Microsoft.KeyVault/managedHSMs/Contoso-HSM"
#define ZONE  NET "/privateDnsZones/privatelink.managedhsm.azure.net"
#define PE    NET "/privateEndpoints/pe1"
#define OID   "11111111-1111-4111-8111-111111111111"

static const char *full(struct rig *r, const char *path)
{
    static char text[4][1024];
    static unsigned at;
    at = (at + 1) % 4;
    snprintf(text[at], sizeof text[at], "/subscriptions/%s%s", r->f->provider.dir.subscription,
             path);
    return text[at];
}

static void make_networks(struct rig *r)
{
    char body[1024];
    rig_ask(r, "PUT", GROUP, "{\"location\":\"westus3\"}", 201);
    snprintf(body, sizeof body,
             "{\"location\":\"westus3\",\"sku\":{\"family\":\"B\",\"name\":\"Standard_B1\"},"
             "\"properties\":{\"tenantId\":\"%s\",\"initialAdminObjectIds\":[\"" OID "\"],"
             "\"softDeleteRetentionInDays\":7,\"publicNetworkAccess\":\"Disabled\",\"networkAcls\":"
             "{\"bypass\":\"None\",\"defaultAction\":\"Deny\",\"ipRules\":[{\"value\":\"1.2.3.4\"}]"
             "}}}",
             r->f->provider.dir.tenant);
    rig_ask(r, "PUT", HSM, body, 202);
    rig_run(r, 1000);
    rig_ask(r, "PUT", NET "/virtualNetworks/v1",
            "{\"location\":\"westus3\",\"tags\":{\"keyhold-netns\":\"vnet-a\"},\"properties\":{"
            "\"addressSpace\":{\"addressPrefixes\":[\"10.0.0.0/16\"]},\"subnets\":[{\"name\":"
            "\"s1\",\"properties\":{\"addressPrefix\":\"10.0.0.0/24\"}}]}}",
            201);
    assert_true(rig_has_header(r, "Azure-AsyncOperation: "));
}

static void put_endpoint(struct rig *r, const char *path, const char *list, const char *more,
                         unsigned want)
{
    char body[2048];
    snprintf(body, sizeof body,
             "{\"location\":\"westus3\"%s,\"properties\":{\"subnet\":{\"id\":\"%s\"},\"%s\":[{"
             "\"name\":\"pec\",\"properties\":{\"privateLinkServiceId\":\"%s\",\"groupIds\":["
             "\"managedhsm\"],\"requestMessage\":\"please\"}}]}}",
             more, full(r, NET "/virtualNetworks/v1/subnets/s1"), list, full(r, HSM));
    rig_ask(r, "PUT", path, body, want);
}

static uint32_t properties(struct rig *r)
{
    return rig_at(r, 0, "properties");
}

static uint32_t connection(struct rig *r, const char *list)
{
    uint32_t v = json_first(&r->doc, rig_at(r, properties(r), list));
    assert_int_not_equal(v, JSON_NONE);
    return rig_at(r, rig_at(r, v, "properties"), "privateLinkServiceConnectionState");
}

static void networks(void **state)
{
    struct rig *r = *state;
    make_networks(r);
    rig_ask(r, "GET", NET "/virtualNetworks/V1", "", 200);
    uint32_t v = json_first(&r->doc, rig_at(r, properties(r), "subnets"));
    rig_expect(r, v, "name", "s1");
    rig_expect(r, rig_at(r, v, "properties"), "addressPrefix", "10.0.0.0/24");
    rig_ask(r, "PUT", NET "/virtualNetworks/v1/subnets/s2",
            "{\"properties\":{\"addressPrefix\":\"10.1.0.0/24\"}}", 400);
    rig_expect_error(r, "NetcfgInvalidSubnet");
    rig_ask(r, "PUT", NET "/virtualNetworks/v1/subnets/s2",
            "{\"properties\":{\"addressPrefix\":\"10.0.1.0/24\"}}", 201);
    rig_ask(r, "PUT", NET "/virtualNetworks/v2",
            "{\"location\":\"westus3\",\"properties\":{\"addressSpace\":{\"addressPrefixes\":[\"x"
            "\"]}}}",
            400);
    rig_expect_error(r, "InvalidAddressPrefixFormat");
    rig_ask(r, "DELETE", NET "/virtualNetworks/v1/subnets/s2", "", 202);
    rig_ask(r, "GET", NET "/virtualNetworks/v1/subnets/s2", "", 404);
}

static void approved(void **state)
{
    struct rig *r = *state;
    make_networks(r);
    put_endpoint(r, PE, "privateLinkServiceConnections", "", 201);
    rig_expect(r, properties(r), "provisioningState", "Updating");
    uint32_t c = connection(r, "privateLinkServiceConnections");
    rig_expect(r, c, "status", "Approved");
    rig_expect(r, c, "description", "Auto Approved");
    assert_int_equal(json_count(&r->doc, rig_at(r, properties(r), "customDnsConfigs")), 0);
    rig_run(r, 1000);
    rig_ask(r, "GET", PE, "", 200);
    rig_expect(r, properties(r), "provisioningState", "Succeeded");
    uint32_t dns = json_first(&r->doc, rig_at(r, properties(r), "customDnsConfigs"));
    rig_expect(r, dns, "fqdn", "Contoso-HSM.managedhsm.localhost");
    struct bytes ip;
    assert_int_equal(json_plain(&r->doc, json_first(&r->doc, rig_at(r, dns, "ipAddresses")), &ip),
                     HSM_OK);
    assert_true(bytes_eq_str(ip, "10.0.0.4"));
    /* at the HSM, its gateways and the door */
    rig_ask(r, "GET", HSM "/privateEndpointConnections/pec", "", 200);
    rig_expect(r, properties(r), "provisioningState", "Succeeded");
    assert_non_null(strstr(r->last_configure, "/privateendpoints/pe1\",\"state\":\"Approved\"}"));
    assert_non_null(strstr(r->last_configure, "\"publicNetworkAccess\":\"Disabled\""));
    assert_non_null(strstr(r->last_configure, "\"ipRules\":[\"1.2.3.4/32\"]"));
    assert_non_null(strstr(r->last_endpoints, "\"pool\":\"Contoso-HSM\",\"address\":\"10.0.0.4\","
                                              "\"port\":8443,\"netns\":\"vnet-a\"}]"));
    /* rejected there: no listener; removed there: disconnected */
    rig_ask(r, "PUT", HSM "/privateEndpointConnections/pec",
            "{\"properties\":{\"privateLinkServiceConnectionState\":{\"status\":\"Rejected\","
            "\"description\":\"no\"}}}",
            200);
    rig_run(r, 1000);
    assert_non_null(strstr(r->last_endpoints, "\"list\":[]"));
    assert_non_null(strstr(r->last_configure, "\"state\":\"Rejected\""));
    rig_ask(r, "DELETE", HSM "/privateEndpointConnections/pec", "", 202);
    rig_run(r, 1000);
    rig_ask(r, "GET", PE, "", 200);
    rig_expect(r, connection(r, "privateLinkServiceConnections"), "status", "Disconnected");
    assert_null(strstr(r->last_configure, "pe1"));
}

static void pending(void **state)
{
    struct rig *r = *state;
    make_networks(r);
    put_endpoint(r, PE, "manualPrivateLinkServiceConnections", "", 201);
    rig_run(r, 1000);
    rig_ask(r, "GET", PE, "", 200);
    uint32_t c = connection(r, "manualPrivateLinkServiceConnections");
    rig_expect(r, c, "status", "Pending");
    rig_expect(r, c, "description", "please");
    assert_non_null(strstr(r->last_endpoints, "\"list\":[]"));
    assert_non_null(strstr(r->last_configure, "\"state\":\"Pending\""));
    rig_ask(r, "PUT", HSM "/privateEndpointConnections/pec",
            "{\"properties\":{\"privateLinkServiceConnectionState\":{\"status\":\"Approved\"}}}",
            200);
    rig_run(r, 1000);
    assert_non_null(strstr(r->last_endpoints, "10.0.0.4"));
    /* the subnet is in use; the endpoint goes and takes all with it */
    rig_ask(r, "DELETE", NET "/virtualNetworks/v1", "", 400);
    rig_expect_error(r, "InUseSubnetCannotBeDeleted");
    rig_ask(r, "DELETE", PE, "", 202);
    rig_run(r, 1000);
    rig_ask(r, "GET", PE, "", 404);
    rig_ask(r, "GET", HSM "/privateEndpointConnections/pec", "", 404);
    assert_non_null(strstr(r->last_endpoints, "\"list\":[]"));
    rig_ask(r, "DELETE", NET "/virtualNetworks/v1", "", 202);
}

static void addresses(void **state)
{
    struct rig *r = *state;
    make_networks(r);
    put_endpoint(r, PE, "privateLinkServiceConnections", "", 201);
    put_endpoint(r, NET "/privateEndpoints/pe2", "privateLinkServiceConnections", "", 201);
    put_endpoint(r, NET "/privateEndpoints/pe3", "privateLinkServiceConnections",
                 ",\"tags\":{\"keyhold-address\":\"10.0.0.77\",\"keyhold-device\":\"kh0\","
                 "\"keyhold-port\":\"443\"}",
                 201);
    put_endpoint(r, NET "/privateEndpoints/pe4", "privateLinkServiceConnections",
                 ",\"tags\":{\"keyhold-address\":\"10.9.0.77\"}", 400);
    rig_expect_error(r, "PrivateIPAddressNotInSubnet");
    rig_run(r, 1000);
    assert_non_null(strstr(r->last_endpoints, "\"10.0.0.4\""));
    assert_non_null(strstr(r->last_endpoints, "\"10.0.0.5\""));
    assert_non_null(strstr(r->last_endpoints, "\"address\":\"10.0.0.77\",\"port\":443,"
                                              "\"device\":\"kh0\",\"netns\":\"vnet-a\""));
    /* connections of one name are told apart at the HSM; the same body again changes nothing */
    rig_ask(r, "GET", HSM "/privateEndpointConnections", "", 200);
    assert_int_equal(rig_count(r), 3);
    put_endpoint(r, PE, "privateLinkServiceConnections", "", 200);
    rig_run(r, 1000);
    rig_ask(r, "GET", HSM "/privateEndpointConnections", "", 200);
    assert_int_equal(rig_count(r), 3);
    assert_non_null(strstr(r->last_endpoints, "\"10.0.0.4\""));
}

static void refusals(void **state)
{
    struct rig *r = *state;
    char body[1024];
    make_networks(r);
    static const char *const connections[] = {
        "[]", "[{\"name\":\"a\"}]",
        "[{\"name\":\"a\",\"properties\":{\"privateLinkServiceId\":\"/x\",\"groupIds\":[\"vault\"]"
        "}}]",
        "[{\"name\":\"a\",\"properties\":{\"privateLinkServiceId\":\"/x\",\"groupIds\":["
        "\"managedhsm\"]}}]",
        "[{\"name\":\"a/b\",\"properties\":{\"privateLinkServiceId\":\"/x\",\"groupIds\":["
        "\"managedhsm\"]}}]"};
    for (size_t i = 0; i < sizeof connections / sizeof connections[0]; i++) {
        snprintf(body, sizeof body,
                 "{\"location\":\"westus3\",\"properties\":{\"subnet\":{\"id\":\"%s\"},"
                 "\"privateLinkServiceConnections\":%s}}",
                 full(r, NET "/virtualNetworks/v1/subnets/s1"), connections[i]);
        rig_ask(r, "PUT", PE, body, 400);
    }
    r->who = &r->f->provider.dir.guest; /* without any right here */
    put_endpoint(r, PE, "privateLinkServiceConnections", "", 403);
    rig_expect_error(r, "AuthorizationFailed");
}

static size_t read_dns(struct rig *r, const char *name, char *text, size_t cap)
{
    char path[512];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/../dns/%s", r->home, name);
    if (file_read(path, (uint8_t *)text, cap - 1, &n) != HSM_OK)
        return 0;
    text[n] = 0;
    return n;
}

static void zones(void **state)
{
    struct rig *r = *state;
    char body[2048], text[8192];
    make_networks(r);
    rig_ask(r, "PUT", ZONE, "{\"location\":\"global\"}", 201);
    rig_ask(r, "PUT", NET "/privateDnsZones/a;b", "{\"location\":\"global\"}", 400);
    snprintf(body, sizeof body,
             "{\"location\":\"global\",\"properties\":{\"virtualNetwork\":{\"id\":\"%s\"},"
             "\"registrationEnabled\":false}}",
             full(r, NET "/virtualNetworks/v1"));
    rig_ask(r, "PUT", ZONE "/virtualNetworkLinks/l1", body, 201);
    rig_expect(r, properties(r), "virtualNetworkLinkState", "Completed");
    rig_ask(r, "PUT", ZONE "/A/other",
            "{\"properties\":{\"ttl\":60,\"aRecords\":[{\"ipv4Address\":\"10.0.0.9\"}]}}", 201);
    rig_ask(r, "PUT", ZONE "/A/bad",
            "{\"properties\":{\"aRecords\":[{\"ipv4Address\":\"10.0.0.9\\nx\"}]}}", 400);
    put_endpoint(r, PE, "privateLinkServiceConnections", "", 201);
    rig_run(r, 1000);
    snprintf(body, sizeof body,
             "{\"properties\":{\"privateDnsZoneConfigs\":[{\"name\":\"z\",\"properties\":{"
             "\"privateDnsZoneId\":\"%s\"}}]}}",
             full(r, ZONE));
    rig_ask(r, "PUT", PE "/privateDnsZoneGroups/default", body, 201);
    uint32_t v = json_first(&r->doc, rig_at(r, properties(r), "privateDnsZoneConfigs"));
    v = json_first(&r->doc, rig_at(r, rig_at(r, v, "properties"), "recordSets"));
    rig_expect(r, v, "fqdn", "contoso-hsm.privatelink.managedhsm.azure.net");
    rig_run(r, 1000);
    rig_ask(r, "GET", ZONE "/A/contoso-hsm", "", 200);
    rig_ask(r, "GET", ZONE, "", 200);
    assert_true(read_dns(r, "dnsmasq.conf", text, sizeof text) > 0);
    assert_non_null(strstr(text, "host-record=contoso-hsm.managedhsm.azure.net,10.0.0.4,10\n"));
    assert_non_null(
        strstr(text, "host-record=other.privatelink.managedhsm.azure.net,10.0.0.9,60\n"));
    assert_true(read_dns(r, "privatelink.managedhsm.azure.net.zone", text, sizeof text) > 0);
    assert_non_null(strstr(text, "contoso-hsm 10 IN A 10.0.0.4\n"));
    /* with the endpoint its record goes, the other one stays */
    rig_ask(r, "DELETE", PE, "", 202);
    rig_run(r, 1000);
    rig_ask(r, "GET", ZONE "/A/contoso-hsm", "", 404);
    assert_true(read_dns(r, "unbound.conf", text, sizeof text) > 0);
    assert_null(strstr(text, "contoso-hsm"));
    assert_non_null(strstr(text, "other.privatelink.managedhsm.azure.net. 60 IN A 10.0.0.9"));
    rig_ask(r, "DELETE", ZONE, "", 202);
    rig_run(r, 1000);
    assert_int_equal(read_dns(r, "privatelink.managedhsm.azure.net.zone", text, sizeof text), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {T(networks),  T(approved), T(pending),
                                       T(addresses), T(refusals), T(zones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
