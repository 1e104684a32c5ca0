/* Requests in, answers out, without sockets. */
#include "fabric/identity/test_dir.h"

#include <string.h>
#include <sys/stat.h>
#include "base/file.h"
#include "fabric/fabric.h"

#define NOW_S  1795307240u
#define NOW_MS (NOW_S * 1000ull)
#define LOCAL  "localhost:8443"
#define V      "?api-version=2022-12-01"

struct setup {
    struct test_dir *dir;
    char home[160];
    struct fabric *f;
    struct answer a;
    struct http1_head head;
    char text[16384];
};

static int setup(void **state)
{
    struct setup *s = calloc(1, sizeof *s);
    void *dir = NULL;
    if (s == NULL || test_dir_setup(&dir) != 0)
        return -1;
    s->dir = dir;
    snprintf(s->home, sizeof s->home, "%s/fabric", s->dir->path);
    const struct fabric_config c = {.home = s->home,
                                    .origin = "https://localhost:8443",
                                    .hsm_suffix = "managedhsm.localhost:8443",
                                    .pool = "dev",
                                    .region = "local"};
    *state = s;
    return fabric_open(&c, NOW_MS, &s->f, s->text, sizeof s->text) == HSM_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct setup *s = *state;
    void *dir = s->dir;
    fabric_close(s->f);
    free(s);
    return test_dir_teardown(&dir);
}

static struct json_tok tok[1024];
static struct json_doc doc;

/* headers: complete lines or "". */
static void ask(struct setup *s, const char *line, const char *host, const char *headers,
                const char *body, unsigned want)
{
    size_t used = 0;
    int n = snprintf(s->text, sizeof s->text,
                     "%s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %zu\r\n\r\n", line, host,
                     headers, strlen(body));
    assert_true(n > 0 && (size_t)n < sizeof s->text);
    assert_int_equal(http1_parse(bytes_of(s->text, (size_t)n), &s->head, &used), HSM_OK);
    const struct http_request rq = {
        .head = &s->head, .body = bytes_str(body), .client_ip = "127.0.0.1"};
    fabric_answer(s->f, &rq, NOW_MS, &s->a);
    assert_int_equal(s->a.status, want);
    assert_int_equal(wr_ok(&s->a.headers), HSM_OK);
    assert_int_equal(json_parse(wr_view(&s->a.body), tok, 1024, &doc), HSM_OK);
}

static uint32_t at(uint32_t v, const char *name)
{
    uint32_t r = json_get(&doc, v, name);
    assert_int_not_equal(r, JSON_NONE);
    return r;
}

static void expect(uint32_t v, const char *name, const char *want)
{
    char text[512];
    size_t n = 0;
    assert_int_equal(json_string(&doc, at(v, name), text, sizeof text - 1, &n), HSM_OK);
    text[n] = 0;
    assert_string_equal(text, want);
}

static void expect_join(uint32_t v, const char *name, const char *a, const char *b, const char *c)
{
    char want[512];
    snprintf(want, sizeof want, "%s%s%s", a, b, c);
    expect(v, name, want);
}

static bool has_header(const struct setup *s, const char *part)
{
    return memmem(s->a.headers.p, s->a.headers.n, part, strlen(part)) != NULL;
}

static void bearer(struct setup *s, const struct principal *who, const char *resource,
                   char dst[8192])
{
    char jwt[8000];
    struct wr w = wr_of(jwt, sizeof jwt);
    assert_int_equal(provider_access_token(&s->f->provider, who, bytes_str(resource),
                                           bytes_str(who->client_id), NOW_S, &w),
                     HSM_OK);
    snprintf(dst, 8192, "Authorization: Bearer %.*s\r\n", (int)w.n, jwt);
}

static void metadata_shapes(void **state)
{
    struct setup *s = *state;
    ask(s, "GET /metadata/endpoints?api-version=2022-09-01", LOCAL, "", "", 200);
    assert_int_equal(json_type_of(&doc, 0), JSON_OBJECT);
    expect(0, "resourceManager", "https://localhost:8443/");
    expect(at(0, "authentication"), "loginEndpoint", "https://localhost:8443/adfs");
    expect(at(0, "suffixes"), "mhsmDns", "managedhsm.localhost:8443");
    expect(0, "microsoftGraphResourceId", "https://localhost:8443/");
    ask(s, "GET /metadata/endpoints?api%2Dversion=2015-01-01", LOCAL, "", "", 200);
    assert_int_equal(json_type_of(&doc, 0), JSON_OBJECT);
    expect(0, "galleryEndpoint", "https://localhost:8443/");
    ask(s, "GET /metadata/endpoints?api-version=2019-05-01", LOCAL, "", "", 200);
    assert_int_equal(json_type_of(&doc, 0), JSON_ARRAY);
    ask(s, "GET //metadata//endpoints/", "localhost:9443", "", "", 200);
    assert_int_equal(json_type_of(&doc, 0), JSON_ARRAY);
    expect(json_first(&doc, 0), "resourceManager", "https://localhost:9443/");
    ask(s, "GET /metadata/endpoints?api-version=2022-09-01", "management.azure.com", "", "", 200);
    expect(0, "name", "AzureCloud");
    expect(at(0, "authentication"), "loginEndpoint", "https://login.microsoftonline.com/");
    expect(at(0, "suffixes"), "mhsmDns", "managedhsm.azure.net");
}

static void openid_metadata(void **state)
{
    struct setup *s = *state;
    const char *t = s->f->provider.dir.tenant;
    char line[256];
    ask(s, "GET /adfs/.well-known/openid-configuration", LOCAL, "", "", 200);
    expect(0, "token_endpoint", "https://localhost:8443/adfs/oauth2/token");
    expect(0, "jwks_uri", "https://localhost:8443/adfs/discovery/keys");
    at(0, "authorization_endpoint");
    at(0, "device_authorization_endpoint");
    const char *const tenants[] = {t, "common", "organizations", "keyhold.localhost"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(line, sizeof line, "GET /%s/v2.0/.well-known/openid-configuration", tenants[i]);
        ask(s, line, LOCAL, "", "", 200);
        expect_join(0, "token_endpoint", "https://localhost:8443/", t, "/oauth2/v2.0/token");
        expect_join(0, "issuer", "https://localhost:8443/", t, "/v2.0");
        ask(s, line, "login.microsoftonline.com", "", "", 200);
        expect_join(0, "token_endpoint", "https://login.microsoftonline.com/", t,
                    "/oauth2/v2.0/token");
    }
    snprintf(line, sizeof line, "GET /%s/.well-known/openid-configuration", t);
    ask(s, line, LOCAL, "", "", 200);
    expect_join(0, "issuer", "https://sts.windows.net/", t, "/");
    ask(s, "GET /11111111-1111-1111-1111-111111111111/v2.0/.well-known/openid-configuration", LOCAL,
        "", "", 404);
    ask(s, "GET /common/discovery/instance?api-version=1.1", "login.microsoftonline.com", "", "",
        200);
    expect_join(0, "tenant_discovery_endpoint", "https://login.microsoftonline.com/", t,
                "/v2.0/.well-known/openid-configuration");
    ask(s, "GET /common/userrealm/admin%40keyhold.localhost?api-version=1.0", LOCAL, "", "", 200);
    expect(0, "account_type", "Managed");
    ask(s, "GET /common/userrealm/a%40example.com?api-version=1.0", LOCAL, "", "", 200);
    expect(0, "account_type", "Unknown");
    ask(s, "GET /common/discovery/v2.0/keys", LOCAL, "", "", 200);
    expect(json_first(&doc, at(0, "keys")), "kid", s->f->provider.key.kid);
}

#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"

static void token_endpoint(void **state)
{
    struct setup *s = *state;
    const struct directory *d = &s->f->provider.dir;
    char body[512], line[128];
    snprintf(body, sizeof body,
             "grant_type=client_credentials&client_id=%s&client_secret=%s&"
             "scope=https%%3A%%2F%%2Flocalhost%%3A8443%%2F%%2F.default",
             d->admin.client_id, d->admin.secret);
    ask(s, "POST /adfs/oauth2/token", LOCAL, FORM, body, 200);
    assert_true(s->a.secret);
    assert_true(has_header(s, "Cache-Control: no-store\r\n"));
    snprintf(line, sizeof line, "POST /%s/oauth2/v2.0/token", d->tenant);
    ask(s, line, "login.microsoftonline.com", FORM, body, 200);
    ask(s, "POST /33333333-1111-1111-1111-111111111111/oauth2/v2.0/token", LOCAL, FORM, body, 400);
    expect(0, "error", "invalid_request");
    ask(s, "GET /adfs/oauth2/token", LOCAL, "", "", 405);
    ask(s, "POST /adfs/oauth2/token", LOCAL,
        FORM "client-request-id: C0FFEE00-0000-4000-8000-000000000000\r\n", "grant_type=x", 400);
    expect(0, "error", "unsupported_grant_type");
    expect(0, "correlation_id", "c0ffee00-0000-4000-8000-000000000000");
    body[strlen(body) / 2] ^= 1;
    snprintf(body, sizeof body,
             "grant_type=client_credentials&client_id=%s&client_secret=no&scope=https://h/.default",
             d->admin.client_id);
    ask(s, "POST /adfs/oauth2/token", LOCAL, FORM, body, 401);
    expect(0, "error", "invalid_client");
    ask(s, "POST /adfs/oauth2/devicecode", LOCAL, FORM, "client_id=x", 400);
}

static void managed_identity(void **state)
{
    struct setup *s = *state;
    char header[256];
    snprintf(header, sizeof header, "x-identity-header: %s\r\n",
             s->f->provider.dir.identity_header);
    ask(s, "GET /msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fh", LOCAL, header, "",
        200);
    expect(0, "resource", "https://h");
    ask(s, "GET /msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fh", LOCAL, "", "", 401);
    ask(s, "GET /msi/token?api-version=2019-08-01", LOCAL, header, "", 400);
}

static void control_plane_needs_a_token(void **state)
{
    struct setup *s = *state;
    const struct directory *d = &s->f->provider.dir;
    char auth[8192], line[256], want[256];
    ask(s, "GET /subscriptions" V, LOCAL, "", "", 401);
    expect(at(0, "error"), "code", "AuthenticationFailed");
    snprintf(want, sizeof want,
             "WWW-Authenticate: Bearer authorization_uri=\"https://localhost:8443/%s\", "
             "error=\"invalid_token\", error_description=\"",
             d->tenant);
    assert_true(has_header(s, want));
    ask(s, "PUT /subscriptions/x/whatever" V, LOCAL, "", "", 401);
    ask(s, "GET /subscriptions" V, LOCAL, "Authorization: Bearer a.b.c\r\n", "", 401);
    bearer(s, &d->admin, "https://managedhsm.localhost:8443", auth); /* a pool's token */
    ask(s, "GET /subscriptions" V, LOCAL, auth, "", 401);
    bearer(s, &d->admin, "https://graph.microsoft.com", auth);
    ask(s, "GET /subscriptions" V, LOCAL, auth, "", 401);
    ask(s, "GET /v1.0/me", LOCAL, auth, "", 200);
    bearer(s, &d->admin, "https://localhost:8443/", auth);
    ask(s, "GET /subscriptions" V, LOCAL, auth, "", 200);
    uint32_t one = json_first(&doc, at(0, "value"));
    expect(one, "subscriptionId", d->subscription);
    expect(one, "state", "Enabled");
    ask(s, "GET /tenants?api-version=2022-12-01", LOCAL, auth, "", 200);
    expect(json_first(&doc, at(0, "value")), "tenantId", d->tenant);
    snprintf(line, sizeof line, "GET /subscriptions/%s/resourceGroups/nope" V, d->subscription);
    ask(s, line, LOCAL, auth, "", 404);
    expect(at(0, "error"), "code", "ResourceGroupNotFound");
    snprintf(line, sizeof line, "PUT /subscriptions/%s/whatever" V, d->subscription);
    ask(s, line, LOCAL, auth, "", 501);
    expect(at(0, "error"), "code", "NotImplemented");
    ask(s, "GET /subscriptions", LOCAL, auth, "", 400);
    expect(at(0, "error"), "code", "MissingApiVersionParameter");
    ask(s, "GET /subscriptions?api-version=latest", LOCAL, auth, "", 400);
    expect(at(0, "error"), "code", "InvalidApiVersionParameter");
    ask(s, "GET /subscriptions?api-version=2031-01-01-preview", LOCAL, auth, "", 200);
    ask(s, "GET /subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups" V, LOCAL, auth,
        "", 404);
    expect(at(0, "error"), "code", "SubscriptionNotFound");
}

static void the_pool_as_a_resource(void **state)
{
    struct setup *s = *state;
    const struct directory *d = &s->f->provider.dir;
    char auth[8192], line[256], path[256];
    bearer(s, &d->user, "https://management.azure.com/", auth);
    snprintf(line, sizeof line, "GET /subscriptions/%s/providers/Microsoft.KeyVault/managedHSMs" V,
             d->subscription);
    ask(s, line, "management.azure.com", auth, "", 200);
    uint32_t pool = json_first(&doc, at(0, "value"));
    expect(pool, "name", "dev");
    uint32_t properties = at(pool, "properties");
    expect(properties, "hsmUri", "https://dev.managedhsm.azure.net/");
    expect(properties, "provisioningState", "Succeeded");
    assert_int_equal(json_get(&doc, properties, "securityDomainProperties"), JSON_NONE);
    assert_int_equal(json_get(&doc, properties, "initialAdminObjectIds"), JSON_NONE);

    char text[256];
    snprintf(path, sizeof path, "%s/run", s->dir->path);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/run/pool-state", s->dir->path);
    assert_int_equal(file_replace(path, bytes_str("NotActivated\n"), 0600), HSM_OK);
    snprintf(path, sizeof path, "%s/pool.json", s->dir->path);
    snprintf(text, sizeof text,
             "{\"name\":\"dev\",\"administrators\":[\"%s\"],\"retentionDays\":7}", d->admin.oid);
    assert_int_equal(file_replace(path, bytes_str(text), 0600), HSM_OK);
    snprintf(line, sizeof line,
             "GET /subscriptions/%s/resourcegroups/KEYHOLD/providers/microsoft.keyvault/"
             "managedhsms/DEV" V,
             d->subscription);
    ask(s, line, LOCAL, auth, "", 200);
    properties = at(0, "properties");
    expect(properties, "hsmUri", "https://dev.managedhsm.localhost:8443/");
    expect(at(properties, "securityDomainProperties"), "activationStatus", "NotActivated");
    int64_t days = 0;
    assert_int_equal(json_int(&doc, at(properties, "softDeleteRetentionInDays"), &days), HSM_OK);
    assert_int_equal(days, 7);
    assert_int_equal(json_count(&doc, at(properties, "initialAdminObjectIds")), 1);
    snprintf(line, sizeof line,
             "GET /subscriptions/%s/resourcegroups/keyhold/providers/microsoft.keyvault/"
             "managedhsms/other" V,
             d->subscription);
    ask(s, line, LOCAL, auth, "", 404);
    snprintf(line, sizeof line,
             "GET /subscriptions/%s/resources" V
             "&$filter=resourceType%%20eq%%20%%27Microsoft.KeyVault"
             "/vaults%%27",
             d->subscription);
    ask(s, line, LOCAL, auth, "", 200);
    assert_int_equal(json_count(&doc, at(0, "value")), 0);
}

static void directory_queries(void **state)
{
    struct setup *s = *state;
    const struct directory *d = &s->f->provider.dir;
    char auth[8192], line[256], body[512];
    ask(s, "GET /v1.0/me", LOCAL, "", "", 401);
    expect(at(0, "error"), "code", "InvalidAuthenticationToken");
    bearer(s, &d->admin, "https://localhost:8443/", auth);
    ask(s, "GET /v1.0/me", LOCAL, auth, "", 200);
    expect(0, "id", d->admin.oid);
    ask(s, "GET /v1.0/users?$filter=userPrincipalName%20eq%20'Admin@keyhold.localhost'", LOCAL,
        auth, "", 200);
    expect(json_first(&doc, at(0, "value")), "id", d->user.oid);
    ask(s, "GET /v1.0/users?%24filter=userPrincipalName+eq+%27x%27", LOCAL, auth, "", 200);
    assert_int_equal(json_count(&doc, at(0, "value")), 0);
    ask(s, "GET /v1.0/users?$filter=nonsense", LOCAL, auth, "", 400);
    ask(s, "GET /v1.0/users/nobody", LOCAL, auth, "", 404);
    snprintf(line, sizeof line,
             "GET /v1.0/servicePrincipals?$filter=servicePrincipalNames/any(c:c%%20eq%%20'%s')",
             d->guest.client_id);
    ask(s, line, LOCAL, auth, "", 200);
    expect(json_first(&doc, at(0, "value")), "id", d->guest.oid);
    ask(s, "GET /v1.0/groups", LOCAL, auth, "", 200);
    assert_int_equal(json_count(&doc, at(0, "value")), 1);
    snprintf(body, sizeof body,
             "{\"ids\":[\"%s\",\"11111111-1111-1111-1111-111111111111\",\"%s\"],"
             "\"types\":[\"user\"]}",
             d->user.oid, d->group.oid);
    ask(s, "POST /v1.0/directoryObjects/getByIds", LOCAL, auth, body, 200);
    assert_int_equal(json_count(&doc, at(0, "value")), 2);
    ask(s, "POST /v1.0/directoryObjects/getByIds", LOCAL, auth, "{}", 400);
    ask(s, "POST /v1.0/applications", LOCAL, auth, "{}", 400);
}

static void hosts_and_paths(void **state)
{
    struct setup *s = *state;
    ask(s, "GET /metadata/endpoints", "example.com", "", "", 421);
    ask(s, "GET /metadata/endpoints", "nope.managedhsm.localhost:8443", "", "", 421);
    ask(s, "GET /metadata/endpoints", "127.0.0.1:8443", "", "", 200);
    ask(s, "GET /metadata/endpoints", "[::1]:8443", "", "", 200);
    expect(json_first(&doc, 0), "resourceManager", "https://[::1]:8443/");
    ask(s, "GET /", LOCAL, "", "", 404);
    ask(s, "GET /a/../b", LOCAL, "", "", 400);
    ask(s, "GET /%zz", LOCAL, "", "", 400);
    ask(s, "DELETE /metadata/endpoints", LOCAL, "", "", 405);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(metadata_shapes),
        TEST(openid_metadata),
        TEST(token_endpoint),
        TEST(managed_identity),
        TEST(control_plane_needs_a_token),
        TEST(the_pool_as_a_resource),
        TEST(directory_queries),
        TEST(hosts_and_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
