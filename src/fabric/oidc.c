/* What clients read before they sign in: cloud metadata, OpenID metadata, key sets. */
#include <stdio.h>
#include "fabric/fabric.h"

#define LOCAL_CLOUD "KeyholdLocal"

static void put_authentication(struct json_wr *j, const struct face *f)
{
    json_name(j, "authentication");
    json_obj_open(j);
    /* az takes an authority that ends in /adfs as it is and asks nobody else about it. */
    put_join(j, "loginEndpoint", f->login, f->azure ? "/" : "/adfs");
    json_name(j, "audiences");
    json_arr_open(j);
    if (f->azure)
        json_put_str(j, "https://management.core.windows.net/");
    json_str_open(j);
    json_str_add_s(j, f->arm);
    json_str_add_s(j, "/");
    json_str_close(j);
    json_arr_close(j);
    put_str(j, "tenant", "common");
    put_str(j, "identityProvider", f->azure ? "AAD" : "ADFS");
    json_obj_close(j);
}

/* Suffixes beside the pool's: names under which nothing listens, for clients that insist on them.
 */
static void put_suffixes(struct json_wr *j, const struct face *f)
{
    json_name(j, "suffixes");
    json_obj_open(j);
    put_str(j, "mhsmDns", f->hsm_suffix);
    put_str(j, "keyVaultDns", f->azure ? "vault.azure.net" : "vault.localhost");
    put_str(j, "storage", f->azure ? "core.windows.net" : "storage.localhost");
    put_str(j, "sqlServerHostname", f->azure ? "database.windows.net" : "database.localhost");
    put_str(j, "acrLoginServer", f->azure ? "azurecr.io" : "acr.localhost");
    put_str(j, "attestationEndpoint", f->azure ? "attest.azure.net" : "attest.localhost");
    json_obj_close(j);
}

/* The union of what the versions of this document hold. */
static void put_cloud(struct json_wr *j, const struct face *f)
{
    json_obj_open(j);
    put_str(j, "name", f->azure ? "AzureCloud" : LOCAL_CLOUD);
    put_join(j, "portal", f->arm, "/");
    put_join(j, "resourceManager", f->arm, "/");
    put_authentication(j, f);
    static const char *const with_slash[] = {"graph",          "graphAudience",
                                             "graphEndpoint",  "galleryEndpoint",
                                             "portalEndpoint", "microsoftGraphResourceId",
                                             "batch",          "sqlManagement",
                                             "gallery",        "activeDirectoryDataLake"};
    for (size_t i = 0; i < sizeof with_slash / sizeof *with_slash; i++)
        put_join(j, with_slash[i], strstr(with_slash[i], "raph") != NULL ? f->graph : f->arm, "/");
    put_str(j, "media", f->arm);
    put_str(j, "attestationResourceId", f->arm);
    put_join(j, "vmImageAliasDoc", f->arm, "/aliases.json");
    put_suffixes(j, f);
    json_obj_close(j);
}

void cloud_metadata(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)f;
    struct bytes version = url_param_get(&rq->url, "api-version");
    /* az wants a list from the version it reads its list of clouds with, an object from others. */
    bool list = version.n == 0 || bytes_eq_str(version, "2019-05-01");
    struct json_wr j = json_wr_of(&a->body);
    if (list)
        json_arr_open(&j);
    put_cloud(&j, &rq->face);
    if (list)
        json_arr_close(&j);
}

static void put_list(struct json_wr *j, const char *name, const char *const *values, size_t n)
{
    json_name(j, name);
    json_arr_open(j);
    for (size_t i = 0; i < n; i++)
        json_put_str(j, values[i]);
    json_arr_close(j);
}

#define PUT_LIST(j, name, ...)                                                                     \
    put_list(j, name, (const char *const[]){__VA_ARGS__},                                          \
             sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void put_openid(struct json_wr *j, const struct face *f, const char *issuer,
                       const char *path, const char *oauth, const char *keys)
{
    char base[FACE_URL_MAX + 64];
    snprintf(base, sizeof base, "%s/%s", f->login, path);
    json_obj_open(j);
    put_str(j, "issuer", issuer);
    put_join(j, "jwks_uri", base, keys);
    char endpoint[FACE_URL_MAX + 96];
    snprintf(endpoint, sizeof endpoint, "%s%s", base, oauth);
    put_join(j, "token_endpoint", endpoint, "/token");
    put_join(j, "authorization_endpoint", endpoint, "/authorize");
    put_join(j, "device_authorization_endpoint", endpoint, "/devicecode");
    PUT_LIST(j, "token_endpoint_auth_methods_supported", "client_secret_post",
             "client_secret_basic", "private_key_jwt");
    PUT_LIST(j, "grant_types_supported", "client_credentials", "password", "refresh_token",
             "authorization_code", "urn:ietf:params:oauth:grant-type:device_code");
    PUT_LIST(j, "code_challenge_methods_supported", "S256");
    PUT_LIST(j, "response_types_supported", "code");
    PUT_LIST(j, "subject_types_supported", "public");
    PUT_LIST(j, "scopes_supported", "openid", "profile", "email", "offline_access");
    PUT_LIST(j, "id_token_signing_alg_values_supported", "RS256");
    json_obj_close(j);
}

void openid_adfs(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)f;
    char issuer[FACE_URL_MAX + 8];
    snprintf(issuer, sizeof issuer, "%s/adfs", rq->face.login);
    struct json_wr j = json_wr_of(&a->body);
    put_openid(&j, &rq->face, issuer, "adfs", "/oauth2", "/discovery/keys");
}

void openid_tenant(struct fabric *f, const struct request *rq, struct answer *a)
{
    const char *tenant = f->provider.dir.tenant;
    bool v2 = rq->url.seg_n > 1 && bytes_eq_str(rq->url.seg[1], "v2.0");
    char issuer[FACE_URL_MAX + 64];
    if (v2)
        snprintf(issuer, sizeof issuer, "%s/%s/v2.0", rq->face.login, tenant);
    else
        provider_issuer(&f->provider, issuer);
    struct json_wr j = json_wr_of(&a->body);
    put_openid(&j, &rq->face, issuer, tenant, v2 ? "/oauth2/v2.0" : "/oauth2",
               v2 ? "/discovery/v2.0/keys" : "/discovery/keys");
}

void instance_discovery(struct fabric *f, const struct request *rq, struct answer *a)
{
    char path[UUID_TEXT_LEN + 64];
    const char *host = rq->face.login + sizeof "https://" - 1;
    snprintf(path, sizeof path, "/%s/v2.0/.well-known/openid-configuration",
             f->provider.dir.tenant);
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    put_join(&j, "tenant_discovery_endpoint", rq->face.login, path);
    put_str(&j, "api-version", "1.1");
    json_name(&j, "metadata");
    json_arr_open(&j);
    json_obj_open(&j);
    put_str(&j, "preferred_network", host);
    put_str(&j, "preferred_cache", host);
    PUT_LIST(&j, "aliases", host);
    json_obj_close(&j);
    json_arr_close(&j);
    json_obj_close(&j);
}

void user_realm(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct bytes user = rq->url.seg[rq->url.seg_n - 1];
    const uint8_t *at = memrchr(user.p, '@', user.n);
    struct bytes domain =
        at == NULL ? (struct bytes){0} : bytes_of(at + 1, user.n - (size_t)(at + 1 - user.p));
    bool ours = bytes_ieq(domain, bytes_str(f->provider.dir.domain));
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    put_str(&j, "ver", "1.0");
    put_str(&j, "account_type", ours ? "Managed" : "Unknown");
    json_name(&j, "domain_name");
    json_put_bytes(&j, domain);
    json_obj_close(&j);
}

void key_set(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)rq;
    struct json_wr j = json_wr_of(&a->body);
    signing_put_jwks(&f->provider.key, &j);
}
