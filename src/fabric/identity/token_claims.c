/* Access and id tokens: what stands in them. */
#include <stdio.h>
#include <openssl/rand.h>
#include "base/secret.h"
#include "codec/json.h"
#include "fabric/identity/provider.h"

#define CLAIMS_MAX 12288

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

/* "groups", or, where there are too many for a token, the distributed claim that says where they
 * can be asked for (OpenID Connect Core §5.6.2). */
static void put_groups(struct json_wr *j, const struct provider *p, const struct principal *who)
{
    static char group[PRINCIPAL_GROUPS_MAX][UUID_TEXT_LEN + 1];
    size_t n = p->people.groups(p->people.ctx, who, group, PRINCIPAL_GROUPS_MAX);
    if (n == 0)
        return;
    if (n <= PRINCIPAL_GROUPS_MAX) {
        json_name(j, "groups");
        json_arr_open(j);
        for (size_t i = 0; i < n; i++)
            json_put_str(j, group[i]);
        json_arr_close(j);
        return;
    }
    json_name(j, "_claim_names");
    json_put_raw(j, bytes_str("{\"groups\":\"src1\"}"));
    json_name(j, "_claim_sources");
    json_obj_open(j);
    json_name(j, "src1");
    json_obj_open(j);
    json_name(j, "endpoint");
    json_str_open(j);
    json_str_add_s(j, p->graph[0] != 0 ? p->graph : "https://graph.microsoft.com");
    json_str_add_s(j, who->kind == PRINCIPAL_USER ? "/v1.0/users/" : "/v1.0/servicePrincipals/");
    json_str_add_s(j, who->oid);
    json_str_add_s(j, "/getMemberObjects");
    json_str_close(j);
    json_obj_close(j);
    json_obj_close(j);
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
    if (who->resource_id[0] != 0) {
        json_str_add_s(j, who->resource_id);
    } else {
        json_str_add_s(j, "/subscriptions/");
        json_str_add_s(j, d->subscription);
        json_str_add_s(j, "/resourcegroups/keyhold/providers/Microsoft.ManagedIdentity"
                          "/userAssignedIdentities/");
        json_str_add_s(j, who->name);
    }
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
    put_groups(&j, p, who);
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

hsm_err provider_id_token(const struct provider *p, const struct principal *who,
                          struct bytes client_id, const char *issuer, uint64_t now_s,
                          struct wr *out)
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
