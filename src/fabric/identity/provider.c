#include "fabric/identity/provider.h"

#include <stdio.h>
#include <openssl/rand.h>
#include "base/secret.h"
#include "codec/base64url.h"
#include "codec/json.h"

#define CLAIMS_MAX 4096
#define JWT_MAX    8192
/* What a user gets who asked for no resource: Microsoft Graph. */
#define GRAPH_RESOURCE "00000003-0000-0000-c000-000000000000"

hsm_err provider_load(const char *dir, uint64_t now_ms, struct provider *ret)
{
    TRY(directory_load_or_create(dir, now_ms, &ret->dir));
    hsm_err e = signing_load_or_create(dir, &ret->key);
    if (e != HSM_OK)
        directory_done(&ret->dir);
    return e;
}

void provider_done(struct provider *p)
{
    directory_done(&p->dir);
    signing_done(&p->key);
}

void provider_issuer(const struct provider *p, char dst[TOKEN_ISSUER_MAX])
{
    snprintf(dst, TOKEN_ISSUER_MAX, "https://sts.windows.net/%s/", p->dir.tenant);
}

static void put(struct json_wr *j, const char *name, const char *value)
{
    json_name(j, name);
    json_put_str(j, value);
}

static void put_view(struct json_wr *j, const char *name, struct bytes value)
{
    json_name(j, name);
    json_put_bytes(j, value);
}

static void put_int(struct json_wr *j, const char *name, uint64_t value)
{
    json_name(j, name);
    json_put_int(j, (int64_t)value);
}

static void put_times(struct json_wr *j, uint64_t now_s)
{
    put_int(j, "iat", now_s);
    put_int(j, "nbf", now_s);
    put_int(j, "exp", now_s + TOKEN_LIFETIME_S);
}

/* A fresh identifier of the token. */
static hsm_err put_uti(struct json_wr *j)
{
    uint8_t id[16];
    if (RAND_bytes(id, sizeof id) != 1)
        return HSM_E_INTERNAL;
    json_name(j, "uti");
    json_put_b64u(j, bytes_of(id, sizeof id));
    return HSM_OK;
}

static void put_groups(struct json_wr *j, const struct directory *d, const struct principal *who)
{
    if (!directory_is_member(&d->group, who))
        return;
    json_name(j, "groups");
    json_arr_open(j);
    json_put_str(j, d->group.oid);
    json_arr_close(j);
}

static void put_user_claims(struct json_wr *j, const struct principal *who)
{
    put(j, "idtyp", "user");
    put(j, "name", who->name);
    put(j, "scp", "user_impersonation");
    put(j, "unique_name", who->upn);
    put(j, "upn", who->upn);
}

static void put_app_claims(struct json_wr *j, const struct directory *d,
                           const struct principal *who)
{
    put(j, "idtyp", "app");
    if (who->kind != PRINCIPAL_MANAGED_IDENTITY)
        return;
    json_name(j, "xms_mirid");
    json_str_open(j);
    json_str_add_s(j, "/subscriptions/");
    json_str_add_s(j, d->subscription);
    json_str_add_s(j, "/resourcegroups/keyhold/providers/Microsoft.ManagedIdentity"
                      "/userAssignedIdentities/");
    json_str_add_s(j, who->name);
    json_str_close(j);
}

hsm_err provider_access_token(const struct provider *p, const struct principal *who,
                              struct bytes resource, struct bytes client_id, uint64_t now_s,
                              struct wr *out)
{
    char claims[CLAIMS_MAX], issuer[TOKEN_ISSUER_MAX];
    struct wr w = wr_of(claims, sizeof claims);
    struct json_wr j = json_wr_of(&w);
    provider_issuer(p, issuer);
    json_obj_open(&j);
    put_view(&j, "aud", resource);
    put(&j, "iss", issuer);
    put_times(&j, now_s);
    put_view(&j, "appid", client_id);
    put(&j, "appidacr", who->kind == PRINCIPAL_USER ? "0" : "1");
    put_groups(&j, &p->dir, who);
    put(&j, "oid", who->oid);
    put(&j, "sub", who->oid);
    put(&j, "tid", p->dir.tenant);
    if (who->kind == PRINCIPAL_USER)
        put_user_claims(&j, who);
    else
        put_app_claims(&j, &p->dir, who);
    TRY(put_uti(&j));
    put(&j, "ver", "1.0");
    json_obj_close(&j);
    TRY(wr_ok(&w));
    return signing_jwt(&p->key, wr_view(&w), out);
}

static hsm_err id_token(const struct provider *p, const struct principal *who,
                        struct bytes client_id, const char *issuer, uint64_t now_s, struct wr *out)
{
    char claims[CLAIMS_MAX];
    struct wr w = wr_of(claims, sizeof claims);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    put_view(&j, "aud", client_id);
    put(&j, "iss", issuer);
    put_times(&j, now_s);
    put(&j, "name", who->name);
    put(&j, "oid", who->oid);
    put(&j, "preferred_username", who->upn);
    put(&j, "sub", who->oid);
    put(&j, "tid", p->dir.tenant);
    put(&j, "upn", who->upn);
    TRY(put_uti(&j));
    put(&j, "ver", "2.0");
    json_obj_close(&j);
    TRY(wr_ok(&w));
    return signing_jwt(&p->key, wr_view(&w), out);
}

/* base64url of {"uid":oid,"utid":tenant}: how clients name the account. */
static void put_client_info(struct json_wr *j, const struct provider *p,
                            const struct principal *who)
{
    char text[160];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr info = json_wr_of(&w);
    json_obj_open(&info);
    put(&info, "uid", who->oid);
    put(&info, "utid", p->dir.tenant);
    json_obj_close(&info);
    json_name(j, "client_info");
    json_put_b64u(j, wr_view(&w));
}

/* Public clients of the service that people sign in with: the az command line, Azure PowerShell,
 * Visual Studio Code. */
static bool is_public_client(struct bytes client_id)
{
    static const char *const known[] = {
        "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
        "1950a258-227b-4e31-a9cf-717495945fc2",
        "aebc6443-996d-45c2-90f0-388ff96faa56",
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (bytes_ieq(client_id, bytes_str(known[i])))
            return true;
    }
    return false;
}

static const struct principal *find_app(const struct directory *d, struct bytes client_id)
{
    for (size_t i = 0; i < DIRECTORY_PRINCIPALS; i++) {
        const struct principal *p = directory_at(d, i);
        if (p->kind == PRINCIPAL_APP && bytes_ieq(client_id, bytes_str(p->client_id)))
            return p;
    }
    return NULL;
}

/* *ret_app stays NULL for a public client. */
static enum token_fault check_client(const struct directory *d, const struct token_request *q,
                                     const struct principal **ret_app)
{
    const struct principal *app = find_app(d, q->client_id);
    if (app == NULL) {
        bool person = q->grant != GRANT_CLIENT_CREDENTIALS;
        return person && is_public_client(q->client_id) ? TOKEN_OK : TOKEN_APP;
    }
    if (q->client_secret.p == NULL)
        return TOKEN_SECRET_MISSING;
    if (!directory_secret_matches(app->secret, q->client_secret))
        return TOKEN_SECRET;
    *ret_app = app;
    return TOKEN_OK;
}

static enum token_fault check_person(const struct provider *p, const struct token_request *q,
                                     uint64_t now_s, const struct principal **ret_who)
{
    if (q->grant == GRANT_REFRESH_TOKEN)
        return refresh_token_open(p, q->refresh_token, q->client_id, now_s, ret_who);
    const struct principal *user = &p->dir.user;
    /* Both are always computed: a wrong name answers no faster than a wrong password. */
    bool secret_ok = directory_secret_matches(user->secret, q->password);
    bool name_ok = bytes_ieq(q->username, bytes_str(user->upn));
    if (!secret_ok || !name_ok)
        return TOKEN_PASSWORD;
    *ret_who = user;
    return TOKEN_OK;
}

static void put_head(struct json_wr *j)
{
    put(j, "token_type", "Bearer");
    put_int(j, "expires_in", TOKEN_LIFETIME_S);
    put_int(j, "ext_expires_in", TOKEN_LIFETIME_S);
}

static hsm_err put_person(struct json_wr *j, const struct provider *p,
                          const struct token_request *q, const struct principal *who,
                          const char *id_issuer, uint64_t now_s)
{
    char text[JWT_MAX];
    if (q->scope.n > 0)
        put_view(j, "scope", q->scope);
    if (q->wants_openid) {
        struct wr w = wr_of(text, sizeof text);
        TRY(id_token(p, who, q->client_id, id_issuer, now_s, &w));
        put_view(j, "id_token", wr_view(&w));
    }
    if (q->wants_refresh) {
        struct wr w = wr_of(text, sizeof text);
        TRY(refresh_token_make(p, who, q->client_id, now_s, &w));
        put_view(j, "refresh_token", wr_view(&w));
    }
    put_client_info(j, p, who);
    secret_wipe(text, sizeof text);
    return HSM_OK;
}

static hsm_err write_answer(const struct provider *p, const struct token_request *q,
                            const struct principal *who, const char *id_issuer, uint64_t now_s,
                            struct wr *out)
{
    char text[JWT_MAX];
    struct wr w = wr_of(text, sizeof text);
    struct bytes resource = q->resource.p != NULL ? q->resource : bytes_str(GRAPH_RESOURCE);
    TRY(provider_access_token(p, who, resource, q->client_id, now_s, &w));
    struct json_wr j = json_wr_of(out);
    json_obj_open(&j);
    put_head(&j);
    if (who->kind == PRINCIPAL_USER)
        TRY(put_person(&j, p, q, who, id_issuer, now_s));
    put_view(&j, "access_token", wr_view(&w));
    json_obj_close(&j);
    secret_wipe(text, sizeof text);
    return wr_ok(out);
}

enum token_fault provider_token(const struct provider *p, const struct token_request *q,
                                const char *id_issuer, uint64_t now_s, struct wr *out)
{
    const struct principal *who = NULL;
    enum token_fault e = check_client(&p->dir, q, &who);
    if (e == TOKEN_OK && q->grant != GRANT_CLIENT_CREDENTIALS)
        e = check_person(p, q, now_s, &who);
    if (e != TOKEN_OK)
        return e;
    struct wr w = *out;
    if (write_answer(p, q, who, id_issuer, now_s, &w) != HSM_OK)
        return TOKEN_INTERNAL;
    *out = w;
    return TOKEN_OK;
}

static hsm_err write_managed(const struct provider *p, struct bytes resource, uint64_t now_s,
                             struct wr *out)
{
    const struct principal *who = &p->dir.managed;
    char text[JWT_MAX], expires[24];
    struct wr w = wr_of(text, sizeof text);
    TRY(provider_access_token(p, who, resource, bytes_str(who->client_id), now_s, &w));
    snprintf(expires, sizeof expires, "%llu", (unsigned long long)(now_s + TOKEN_LIFETIME_S));
    struct json_wr j = json_wr_of(out);
    json_obj_open(&j);
    put_view(&j, "access_token", wr_view(&w));
    put(&j, "expires_on", expires);
    put_view(&j, "resource", resource);
    put(&j, "token_type", "Bearer");
    put(&j, "client_id", who->client_id);
    json_obj_close(&j);
    secret_wipe(text, sizeof text);
    return wr_ok(out);
}

enum token_fault provider_managed_token(const struct provider *p, struct bytes header,
                                        struct bytes resource, struct bytes client_id,
                                        uint64_t now_s, struct wr *out)
{
    if (!directory_secret_matches(p->dir.identity_header, header))
        return TOKEN_IDENTITY_HEADER;
    if (!token_resource_is_valid(resource))
        return TOKEN_RESOURCE;
    if (client_id.p != NULL && !bytes_ieq(client_id, bytes_str(p->dir.managed.client_id)) &&
        !bytes_ieq(client_id, bytes_str(p->dir.managed.oid)))
        return TOKEN_IDENTITY;
    struct wr w = *out;
    if (write_managed(p, resource, now_s, &w) != HSM_OK)
        return TOKEN_INTERNAL;
    *out = w;
    return TOKEN_OK;
}
