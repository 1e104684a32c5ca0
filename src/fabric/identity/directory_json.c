/* Text form of the directory. */
#include <stdio.h>
#include "base/secret.h"
#include "codec/base64url.h"
#include "codec/json.h"
#include "fabric/identity/directory.h"

#define DIRECTORY_VERSION 1
#define DIRECTORY_TOKENS  256

static const char *const about =
    "Development identities of Keyhold. This file holds passwords and secrets in clear text, "
    "because 'keyhold env' prints them; anyone who can read it can sign in.";

static hsm_err take_text(const struct json_doc *d, uint32_t obj, const char *name, char *dst,
                         size_t cap)
{
    uint32_t v = json_get(d, obj, name);
    if (v == JSON_NONE)
        return HSM_E_CORRUPT;
    size_t n = 0;
    if (json_string(d, v, dst, cap - 1, &n) != HSM_OK)
        return HSM_E_CORRUPT;
    dst[n] = 0;
    return HSM_OK;
}

static hsm_err guid_of(const struct json_doc *d, uint32_t v, char dst[UUID_TEXT_LEN + 1])
{
    struct bytes text;
    struct uuid u;
    if (v == JSON_NONE || json_plain(d, v, &text) != HSM_OK || uuid_parse(text, &u) != HSM_OK)
        return HSM_E_CORRUPT;
    uuid_format(&u, dst);
    return HSM_OK;
}

static hsm_err take_guid(const struct json_doc *d, uint32_t obj, const char *name,
                         char dst[UUID_TEXT_LEN + 1])
{
    return guid_of(d, json_get(d, obj, name), dst);
}

static hsm_err want_members(const struct json_doc *d, uint32_t obj, uint32_t n)
{
    /* Every member is asked for by name and duplicates are refused by the reader, so the count
     * alone finds unknown ones. */
    if (obj == JSON_NONE || json_type_of(d, obj) != JSON_OBJECT || json_count(d, obj) != n)
        return HSM_E_CORRUPT;
    return HSM_OK;
}

static hsm_err take_principal(const struct json_doc *d, const char *name, enum principal_kind kind,
                              struct principal *ret)
{
    struct principal p = {.kind = kind};
    uint32_t obj = json_get(d, 0, name);
    TRY(want_members(d, obj, kind == PRINCIPAL_MANAGED_IDENTITY ? 3 : 4));
    TRY(take_guid(d, obj, "objectId", p.oid));
    TRY(take_text(d, obj, "displayName", p.name, sizeof p.name));
    if (kind == PRINCIPAL_USER)
        TRY(take_text(d, obj, "userPrincipalName", p.upn, sizeof p.upn));
    else
        TRY(take_guid(d, obj, "clientId", p.client_id));
    if (kind == PRINCIPAL_USER)
        TRY(take_text(d, obj, "password", p.secret, sizeof p.secret));
    if (kind == PRINCIPAL_APP)
        TRY(take_text(d, obj, "clientSecret", p.secret, sizeof p.secret));
    *ret = p;
    secret_wipe(&p, sizeof p);
    return HSM_OK;
}

static hsm_err take_group(const struct json_doc *d, struct directory_group *ret)
{
    struct directory_group g = {0};
    uint32_t obj = json_get(d, 0, "group");
    TRY(want_members(d, obj, 3));
    TRY(take_guid(d, obj, "objectId", g.oid));
    TRY(take_text(d, obj, "displayName", g.name, sizeof g.name));
    uint32_t list = json_get(d, obj, "members");
    if (list == JSON_NONE || json_type_of(d, list) != JSON_ARRAY ||
        json_count(d, list) > DIRECTORY_PRINCIPALS)
        return HSM_E_CORRUPT;
    for (uint32_t at = json_first(d, list); at != JSON_NONE; at = json_next(d, list, at))
        TRY(guid_of(d, at, g.member[g.member_n++]));
    *ret = g;
    return HSM_OK;
}

static hsm_err take_key(const struct json_doc *d, uint8_t dst[DIRECTORY_KEY_LEN])
{
    struct bytes text;
    uint32_t v = json_get(d, 0, "refreshKey");
    if (v == JSON_NONE || json_plain(d, v, &text) != HSM_OK || text.n > 64)
        return HSM_E_CORRUPT;
    uint8_t key[64];
    size_t n = 0;
    hsm_err e = b64u_decode(key, text, &n);
    if (e == HSM_OK && n == DIRECTORY_KEY_LEN)
        memcpy(dst, key, DIRECTORY_KEY_LEN);
    secret_wipe(key, sizeof key);
    return e == HSM_OK && n == DIRECTORY_KEY_LEN ? HSM_OK : HSM_E_CORRUPT;
}

static hsm_err take_numbers(const struct json_doc *d, uint64_t *ret_created_ms)
{
    int64_t version = 0, created = 0;
    uint32_t v = json_get(d, 0, "version"), c = json_get(d, 0, "createdMs");
    if (v == JSON_NONE || c == JSON_NONE || json_int(d, v, &version) != HSM_OK ||
        json_int(d, c, &created) != HSM_OK)
        return HSM_E_CORRUPT;
    if (version != DIRECTORY_VERSION || created < 0)
        return HSM_E_CORRUPT;
    *ret_created_ms = (uint64_t)created;
    return HSM_OK;
}

hsm_err directory_parse(struct bytes json, struct directory *ret)
{
    struct json_tok tok[DIRECTORY_TOKENS];
    struct json_doc d;
    if (json_parse(json, tok, DIRECTORY_TOKENS, &d) != HSM_OK)
        return HSM_E_CORRUPT;
    DEFER(directory_done) struct directory r = {0};
    TRY(want_members(&d, 0, 14));
    if (json_get(&d, 0, "about") == JSON_NONE)
        return HSM_E_CORRUPT;
    TRY(take_numbers(&d, &r.created_ms));
    TRY(take_guid(&d, 0, "tenantId", r.tenant));
    TRY(take_guid(&d, 0, "subscriptionId", r.subscription));
    TRY(take_text(&d, 0, "tenantName", r.tenant_name, sizeof r.tenant_name));
    TRY(take_text(&d, 0, "domain", r.domain, sizeof r.domain));
    TRY(take_principal(&d, "user", PRINCIPAL_USER, &r.user));
    TRY(take_principal(&d, "administrator", PRINCIPAL_APP, &r.admin));
    TRY(take_principal(&d, "guest", PRINCIPAL_APP, &r.guest));
    TRY(take_principal(&d, "managedIdentity", PRINCIPAL_MANAGED_IDENTITY, &r.managed));
    TRY(take_group(&d, &r.group));
    TRY(take_text(&d, 0, "identityHeader", r.identity_header, sizeof r.identity_header));
    TRY(take_key(&d, r.refresh_key));
    *ret = r;
    return HSM_OK;
}

static void put(struct json_wr *j, const char *name, const char *value)
{
    json_name(j, name);
    json_put_str(j, value);
}

static void put_principal(struct json_wr *j, const char *name, const struct principal *p)
{
    json_name(j, name);
    json_obj_open(j);
    put(j, "objectId", p->oid);
    put(j, "displayName", p->name);
    if (p->kind == PRINCIPAL_USER) {
        put(j, "userPrincipalName", p->upn);
        put(j, "password", p->secret);
    } else {
        put(j, "clientId", p->client_id);
    }
    if (p->kind == PRINCIPAL_APP)
        put(j, "clientSecret", p->secret);
    json_obj_close(j);
}

static void put_group(struct json_wr *j, const struct directory_group *g)
{
    json_name(j, "group");
    json_obj_open(j);
    put(j, "objectId", g->oid);
    put(j, "displayName", g->name);
    json_name(j, "members");
    json_arr_open(j);
    for (size_t i = 0; i < g->member_n; i++)
        json_put_str(j, g->member[i]);
    json_arr_close(j);
    json_obj_close(j);
}

hsm_err directory_format(const struct directory *d, struct wr *out)
{
    struct json_wr j = json_wr_of(out);
    json_obj_open(&j);
    put(&j, "about", about);
    json_name(&j, "version");
    json_put_int(&j, DIRECTORY_VERSION);
    json_name(&j, "createdMs");
    json_put_int(&j, (int64_t)d->created_ms);
    put(&j, "tenantId", d->tenant);
    put(&j, "subscriptionId", d->subscription);
    put(&j, "tenantName", d->tenant_name);
    put(&j, "domain", d->domain);
    put_principal(&j, "user", &d->user);
    put_principal(&j, "administrator", &d->admin);
    put_principal(&j, "guest", &d->guest);
    put_principal(&j, "managedIdentity", &d->managed);
    put_group(&j, &d->group);
    put(&j, "identityHeader", d->identity_header);
    json_name(&j, "refreshKey");
    json_put_b64u(&j, bytes_of(d->refresh_key, sizeof d->refresh_key));
    json_obj_close(&j);
    wr_str(out, "\n");
    return wr_ok(out);
}
