/* From a request to its handler: host, path, method, bearer token; in this order. */
#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/bill.h"
#include "fabric/consumer.h"
#include "fabric/fabric.h"
#include "fabric/hsm.h"

enum access {
    ACCESS_OPEN,
    ACCESS_ARM,
    ACCESS_GRAPH,
};

/* Segments of a pattern: a word (any case), "{T}" a name of the tenant, "{S}" the subscription,
 * "*" anything. */
struct route {
    enum http1_method method;
    const char *pattern;
    enum access access;
    fabric_handler *fn;
};

#define KEYVAULT "/providers/microsoft.keyvault"
#define SUB      "/subscriptions/{S}"
#define GROUP    SUB "/resourcegroup"
#define CONTROL  SUB "/providers/keyhold.control"
#define HSM      SUB "/resourcegroups/*" KEYVAULT "/managedhsms/*"
#define INSIGHTS "/providers/microsoft.insights"

static const struct route routes[] = {
    {HTTP1_GET, "/metadata/endpoints", ACCESS_OPEN, cloud_metadata},
    {HTTP1_GET, "/adfs/.well-known/openid-configuration", ACCESS_OPEN, openid_adfs},
    {HTTP1_GET, "/{T}/v2.0/.well-known/openid-configuration", ACCESS_OPEN, openid_tenant},
    {HTTP1_GET, "/{T}/.well-known/openid-configuration", ACCESS_OPEN, openid_tenant},
    {HTTP1_GET, "/common/discovery/instance", ACCESS_OPEN, instance_discovery},
    {HTTP1_GET, "/{T}/userrealm/*", ACCESS_OPEN, user_realm},
    {HTTP1_GET, "/adfs/discovery/keys", ACCESS_OPEN, key_set},
    {HTTP1_GET, "/{T}/discovery/v2.0/keys", ACCESS_OPEN, key_set},
    {HTTP1_GET, "/{T}/discovery/keys", ACCESS_OPEN, key_set},
    {HTTP1_POST, "/adfs/oauth2/token", ACCESS_OPEN, token_adfs},
    {HTTP1_POST, "/{T}/oauth2/v2.0/token", ACCESS_OPEN, token_tenant},
    {HTTP1_POST, "/{T}/oauth2/token", ACCESS_OPEN, token_tenant},
    {HTTP1_POST, "/keyhold/nodes/join", ACCESS_OPEN, node_join},
    {HTTP1_POST, "/adfs/oauth2/devicecode", ACCESS_OPEN, device_start},
    {HTTP1_GET, "/adfs/oauth2/authorize", ACCESS_OPEN, authorize_page},
    {HTTP1_POST, "/adfs/oauth2/authorize", ACCESS_OPEN, authorize_post},
    {HTTP1_POST, "/{T}/oauth2/v2.0/devicecode", ACCESS_OPEN, device_start},
    {HTTP1_GET, "/{T}/oauth2/v2.0/authorize", ACCESS_OPEN, authorize_page},
    {HTTP1_POST, "/{T}/oauth2/v2.0/authorize", ACCESS_OPEN, authorize_post},
    {HTTP1_POST, "/{T}/oauth2/devicecode", ACCESS_OPEN, device_start},
    {HTTP1_GET, "/{T}/oauth2/authorize", ACCESS_OPEN, authorize_page},
    {HTTP1_POST, "/{T}/oauth2/authorize", ACCESS_OPEN, authorize_post},
    {HTTP1_GET, "/devicelogin", ACCESS_OPEN, device_page},
    {HTTP1_POST, "/devicelogin", ACCESS_OPEN, device_post},
    {HTTP1_POST, "/keyhold/login/approve", ACCESS_GRAPH, device_approve},
    {HTTP1_GET, "/msi/token", ACCESS_OPEN, token_managed},
    {HTTP1_GET, "/v1.0/me", ACCESS_GRAPH, graph_me},
    {HTTP1_POST, "/v1.0/directoryobjects/getbyids", ACCESS_GRAPH, graph_by_ids},
    {HTTP1_GET, "/v1.0/users", ACCESS_GRAPH, graph_list},
    {HTTP1_POST, "/v1.0/users", ACCESS_GRAPH, graph_user_create},
    {HTTP1_GET, "/v1.0/users/*", ACCESS_GRAPH, graph_one},
    {HTTP1_PATCH, "/v1.0/users/*", ACCESS_GRAPH, graph_update},
    {HTTP1_DELETE, "/v1.0/users/*", ACCESS_GRAPH, graph_delete},
    {HTTP1_GET, "/v1.0/groups", ACCESS_GRAPH, graph_list},
    {HTTP1_POST, "/v1.0/groups", ACCESS_GRAPH, graph_group_create},
    {HTTP1_GET, "/v1.0/groups/*", ACCESS_GRAPH, graph_one},
    {HTTP1_PATCH, "/v1.0/groups/*", ACCESS_GRAPH, graph_update},
    {HTTP1_DELETE, "/v1.0/groups/*", ACCESS_GRAPH, graph_delete},
    {HTTP1_GET, "/v1.0/applications", ACCESS_GRAPH, graph_list},
    {HTTP1_POST, "/v1.0/applications", ACCESS_GRAPH, graph_app_create},
    {HTTP1_GET, "/v1.0/applications/*", ACCESS_GRAPH, graph_one},
    {HTTP1_PATCH, "/v1.0/applications/*", ACCESS_GRAPH, graph_update},
    {HTTP1_DELETE, "/v1.0/applications/*", ACCESS_GRAPH, graph_delete},
    {HTTP1_GET, "/v1.0/serviceprincipals", ACCESS_GRAPH, graph_list},
    {HTTP1_POST, "/v1.0/serviceprincipals", ACCESS_GRAPH, graph_sp_create},
    {HTTP1_GET, "/v1.0/serviceprincipals/*", ACCESS_GRAPH, graph_one},
    {HTTP1_PATCH, "/v1.0/serviceprincipals/*", ACCESS_GRAPH, graph_update},
    {HTTP1_DELETE, "/v1.0/serviceprincipals/*", ACCESS_GRAPH, graph_delete},
    {HTTP1_POST, "/v1.0/applications/*/addpassword", ACCESS_GRAPH, graph_password_add},
    {HTTP1_POST, "/v1.0/applications/*/removepassword", ACCESS_GRAPH, graph_password_remove},
    {HTTP1_POST, "/v1.0/serviceprincipals/*/addpassword", ACCESS_GRAPH, graph_password_add},
    {HTTP1_POST, "/v1.0/serviceprincipals/*/removepassword", ACCESS_GRAPH, graph_password_remove},
    {HTTP1_GET, "/v1.0/directoryobjects/*", ACCESS_GRAPH, graph_one},
    {HTTP1_GET, "/v1.0/groups/*/members", ACCESS_GRAPH, graph_members},
    {HTTP1_POST, "/v1.0/groups/*/members/$ref", ACCESS_GRAPH, graph_member_add},
    {HTTP1_DELETE, "/v1.0/groups/*/members/*/$ref", ACCESS_GRAPH, graph_member_remove},
    {HTTP1_GET, "/v1.0/*/*/memberof", ACCESS_GRAPH, graph_member_of},
    {HTTP1_POST, "/v1.0/*/*/getmembergroups", ACCESS_GRAPH, graph_all_groups},
    {HTTP1_POST, "/v1.0/*/*/getmemberobjects", ACCESS_GRAPH, graph_all_groups},
    {HTTP1_POST, "/v1.0/*/*/checkmembergroups", ACCESS_GRAPH, graph_check_groups},
    {HTTP1_GET, "/tenants", ACCESS_ARM, arm_tenants},
    {HTTP1_GET, "/subscriptions", ACCESS_ARM, arm_subscriptions},
    {HTTP1_GET, SUB, ACCESS_ARM, arm_subscription},
    {HTTP1_GET, SUB "/locations", ACCESS_ARM, arm_locations},
    {HTTP1_GET, SUB "/providers", ACCESS_ARM, arm_providers},
    {HTTP1_GET, SUB "/providers/*", ACCESS_ARM, arm_provider},
    {HTTP1_POST, SUB "/providers/*/register", ACCESS_ARM, arm_provider},
    {HTTP1_GET, "/providers/microsoft.keyvault/operations", ACCESS_ARM, arm_provider_operations},
    {HTTP1_GET, GROUP "s", ACCESS_ARM, arm_groups},
    {HTTP1_GET, GROUP "s/*", ACCESS_ARM, arm_group},
    {HTTP1_HEAD, GROUP "s/*", ACCESS_ARM, arm_group_head},
    {HTTP1_PUT, GROUP "s/*", ACCESS_ARM, arm_group_put},
    {HTTP1_PATCH, GROUP "s/*", ACCESS_ARM, arm_group_patch},
    {HTTP1_DELETE, GROUP "s/*", ACCESS_ARM, arm_group_delete},
    {HTTP1_GET, SUB "/resources", ACCESS_ARM, arm_resources},
    {HTTP1_GET, GROUP "s/*/resources", ACCESS_ARM, arm_resources},
    {HTTP1_GET, SUB "/operationresults/*", ACCESS_ARM, arm_operation_result},
    {HTTP1_GET, SUB KEYVAULT "/deletedmanagedhsms", ACCESS_ARM, hsm_deleted_list},
    {HTTP1_GET, SUB KEYVAULT "/locations/*/deletedmanagedhsms/*", ACCESS_ARM, hsm_deleted_get},
    {HTTP1_POST, SUB KEYVAULT "/locations/*/deletedmanagedhsms/*/purge", ACCESS_ARM,
     hsm_deleted_purge},
    {HTTP1_POST, SUB KEYVAULT "/checkmhsmnameavailability", ACCESS_ARM, hsm_name_check},
    {HTTP1_GET, CONTROL "/bill", ACCESS_ARM, bill_report},
    {HTTP1_POST, CONTROL "/bill", ACCESS_ARM, bill_report},
    {HTTP1_GET, CONTROL "/subscription", ACCESS_ARM, subscription_show},
    {HTTP1_PUT, CONTROL "/subscription", ACCESS_ARM, subscription_change},
    {HTTP1_POST, SUB "/providers/microsoft.storage/checknameavailability", ACCESS_ARM,
     storage_check_name},
    {HTTP1_GET, HSM INSIGHTS "/diagnosticsettingscategories", ACCESS_ARM, diagnostic_categories},
    {HTTP1_GET, HSM INSIGHTS "/diagnosticsettingscategories/*", ACCESS_ARM, diagnostic_categories},
    {HTTP1_GET, HSM "/keys", ACCESS_ARM, hsm_keys_refused},
    {HTTP1_GET, HSM "/keys/*", ACCESS_ARM, hsm_keys_refused},
    {HTTP1_PUT, HSM "/keys/*", ACCESS_ARM, hsm_keys_refused},
    {HTTP1_GET, HSM "/keys/*/versions", ACCESS_ARM, hsm_keys_refused},
    {HTTP1_GET, HSM "/keys/*/versions/*", ACCESS_ARM, hsm_keys_refused},
    {HTTP1_GET, SUB KEYVAULT "/deletedvaults", ACCESS_ARM, arm_nothing},
    {HTTP1_GET, SUB KEYVAULT "/vaults", ACCESS_ARM, arm_nothing},
    {HTTP1_GET, SUB "/providers/*/locations/*/*/*", ACCESS_ARM, arm_operation_result},
};

static bool segment_matches(const struct fabric *f, struct bytes word, struct bytes segment)
{
    if (bytes_eq_str(word, "*"))
        return true;
    if (bytes_eq_str(word, "{T}"))
        return fabric_is_tenant(f, segment);
    if (bytes_eq_str(word, "{S}"))
        return bytes_ieq(segment, bytes_str(f->provider.dir.subscription));
    return bytes_ieq(word, segment);
}

static bool route_matches(const struct fabric *f, const char *pattern, const struct url_target *url)
{
    size_t i = 0;
    while (*pattern == '/') {
        const char *end = strchrnul(pattern + 1, '/');
        struct bytes word = bytes_of(pattern + 1, (size_t)(end - pattern - 1));
        if (i == url->seg_n || !segment_matches(f, word, url->seg[i]))
            return false;
        i++;
        pattern = end;
    }
    return i == url->seg_n;
}

/* NULL: no such path; *ret_other_method when it exists with another method. */
static const struct route *find_route(const struct fabric *f, enum http1_method method,
                                      const struct url_target *url, bool *ret_other_method)
{
    bool other = false;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!route_matches(f, routes[i].pattern, url))
            continue;
        if (routes[i].method == method)
            return &routes[i];
        other = true;
    }
    *ret_other_method = other;
    return NULL;
}

static bool first_is(const struct url_target *url, const char *word)
{
    return url->seg_n > 0 && bytes_ieq(url->seg[0], bytes_str(word));
}

/* Which API a path belongs to, also when there is no such route. */
static enum access access_of(const struct url_target *url)
{
    if (first_is(url, "subscriptions") || first_is(url, "tenants") || first_is(url, "providers"))
        return ACCESS_ARM;
    if (first_is(url, "v1.0") || first_is(url, "beta"))
        return ACCESS_GRAPH;
    return ACCESS_OPEN;
}

static bool is_without_slash(const char *audience, const char *url)
{
    size_t n = strlen(url);
    return strncmp(audience, url, n) == 0 &&
           (audience[n] == 0 || (audience[n] == '/' && audience[n + 1] == 0));
}

static bool audience_fits(const struct fabric *f, const struct request *rq, enum access access,
                          const char *audience)
{
    if (is_without_slash(audience, f->config.origin))
        return true;
    if (access == ACCESS_GRAPH)
        return is_without_slash(audience, rq->face.graph) ||
               is_without_slash(audience, "https://graph.microsoft.com") ||
               strcmp(audience, "00000003-0000-0000-c000-000000000000") == 0;
    return is_without_slash(audience, rq->face.arm) ||
           is_without_slash(audience, "https://management.azure.com") ||
           is_without_slash(audience, "https://management.core.windows.net");
}

static hsm_err authenticate(const struct fabric *f, struct request *rq, enum access access)
{
    static const char scheme[] = "Bearer ";
    const size_t k = sizeof scheme - 1;
    char audience[TOKEN_RESOURCE_MAX + 1];
    struct bytes h = rq->http->head->authorization;
    if (h.n <= k || !bytes_ieq(bytes_of(h.p, k), bytes_str(scheme)))
        return HSM_E_TOKEN_MISSING;
    TRY(provider_verify(&f->provider, bytes_of(h.p + k, h.n - k), rq->now_ms / 1000, &rq->caller_is,
                        audience));
    if (!audience_fits(f, rq, access, audience))
        return HSM_E_TOKEN_AUDIENCE;
    rq->caller = &rq->caller_is;
    return HSM_OK;
}

static void challenge(const struct fabric *f, const struct request *rq, enum access access,
                      hsm_err why, struct answer *a)
{
    char text[FACE_URL_MAX + 400];
    snprintf(text, sizeof text,
             "Bearer authorization_uri=\"%s/%s\", error=\"invalid_token\", "
             "error_description=\"%s\"",
             rq->face.login, f->provider.dir.tenant, hsm_err_text(why));
    answer_header(a, "WWW-Authenticate", text);
    if (access == ACCESS_GRAPH)
        answer_error(a, 401, "InvalidAuthenticationToken", hsm_err_text(why));
    else if (why == HSM_E_TOKEN_MISSING)
        answer_error(a, 401, "AuthenticationFailed",
                     "Authentication failed. The 'Authorization' header is missing.");
    else
        answer_error(a, 401,
                     why == HSM_E_TOKEN_EXPIRED ? "ExpiredAuthenticationToken"
                                                : "AuthenticationFailed",
                     hsm_err_text(why));
}

static void no_route(struct fabric *f, const struct request *rq, enum access access,
                     bool other_method, struct answer *a)
{
    if (access == ACCESS_ARM) {
        arm_dispatch(f, rq, a);
        return;
    }
    if (access == ACCESS_GRAPH) {
        answer_error(a, 501, "NotImplemented",
                     "This server version does not implement that directory operation.");
        return;
    }
    bool sign_in = rq->url.seg_n > 1 && bytes_ieq(rq->url.seg[1], bytes_str("oauth2"));
    if (sign_in && !other_method) {
        answer_fault(a, rq, TOKEN_TENANT);
        return;
    }
    hsm_err e = other_method ? HSM_E_METHOD : HSM_E_NOT_FOUND;
    answer_error(a, hsm_err_http(e), hsm_err_code(e), hsm_err_text(e));
}

/* The client's own id when it is one, so that both sides' logs agree. */
static void take_id(struct request *rq)
{
    struct uuid u;
    struct bytes id = rq->http->head->client_request_id;
    if (id.n == 0)
        id = http1_header_get(rq->http->head, "client-request-id");
    if (id.n == 0 || uuid_parse(id, &u) != HSM_OK)
        uuid_new_v4(&u);
    uuid_format(&u, rq->id);
}

static bool arm_ready(const struct fabric *f, const struct request *rq, struct answer *a)
{
    if (hsm_is_adopted(f))
        return arm_version(rq, a);
    answer_header(a, "Retry-After", "1");
    answer_error(a, 503, "ServiceUnavailable", "The control plane is starting.");
    return false;
}

static void dispatch(struct fabric *f, struct request *rq, struct answer *a)
{
    bool other_method = false;
    const struct route *r = find_route(f, rq->http->head->method, &rq->url, &other_method);
    enum access access = r != NULL ? r->access : access_of(&rq->url);
    hsm_err e = access == ACCESS_OPEN ? HSM_OK : authenticate(f, rq, access);
    if (e != HSM_OK)
        challenge(f, rq, access, e, a);
    else if (access == ACCESS_ARM && !arm_ready(f, rq, a))
        return;
    else if (r == NULL)
        no_route(f, rq, access, other_method, a);
    else
        r->fn(f, rq, a);
}

void fabric_route(struct fabric *f, const struct http_request *http, uint64_t now_ms,
                  struct changes *c, struct answer *ret)
{
    struct request rq = {.http = http, .now_ms = now_ms, .changes = c};
    struct answer a = {.status = 200,
                       .headers = wr_of(f->header_buf, sizeof f->header_buf),
                       .body = wr_of(f->body_buf, sizeof f->body_buf)};
    take_id(&rq);
    answer_header(&a, "Content-Type", "application/json; charset=utf-8");
    answer_header(&a, "Cache-Control", "no-store");
    answer_header(&a, "X-Content-Type-Options", "nosniff");
    answer_header(&a, "x-ms-request-id", rq.id);
    hsm_err e = face_of(f->config.origin, f->config.hsm_suffix, http->head->host, &rq.face);
    if (e == HSM_OK)
        e = url_parse(http->head->target, f->url_buf, sizeof f->url_buf, &rq.url);
    if (e == HSM_OK)
        dispatch(f, &rq, &a);
    else
        answer_error(&a, hsm_err_http(e), hsm_err_code(e), hsm_err_text(e));
    if (wr_ok(&a.body) != HSM_OK)
        answer_error(&a, 500, hsm_err_code(HSM_E_INTERNAL), hsm_err_text(HSM_E_INTERNAL));
    *ret = a;
}
