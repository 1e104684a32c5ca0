/* Microsoft.Storage: accounts and encryption scopes, as far as they hold references to keys. */
#include <stdio.h>
#include <strings.h>
#include "base/clock.h"
#include "fabric/consumer.h"
#include "model/alg.h"

static bool refuse(struct answer *a, const char *property, const char *why)
{
    return arm_error(a, 400, "InvalidRequestPropertyValue",
                     "The value is not allowed for property %s: %s.", property, why);
}

/* ---- names ---- */

static bool name_fits(const char *name)
{
    size_t n = strlen(name);
    return n >= 3 && n <= 24 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") == n;
}

struct name_search {
    const char *name, *not_id;
    bool found;
};

static bool look_at_account(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    struct name_search *s = ctx;
    char id[ARM_ID_MAX + 1];
    (void)f;
    s->found = arm_string_is(&r->json, 0, "name", s->name) &&
               arm_string(&r->json, 0, "id", id, sizeof id) && strcasecmp(id, s->not_id) != 0;
    return !s->found;
}

static bool is_taken(struct fabric *f, const char *name, const char *not_id)
{
    char below[128];
    struct name_search s = {.name = name, .not_id = not_id};
    (void)snprintf(below, sizeof below, "/subscriptions/%s/", f->provider.dir.subscription);
    arm_each(f, bytes_str(below), &storage_account_type, look_at_account, &s);
    return s.found;
}

#define NAME_RULE                                                                                  \
    "Storage account name must be between 3 and 24 characters in length and use numbers and "      \
    "lower-case letters only."

void storage_check_name(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct json_tok tok[32];
    struct json_doc d;
    char name[128];
    if (json_parse(rq->http->body, tok, 32, &d) != HSM_OK ||
        !arm_string(&d, 0, "name", name, sizeof name)) {
        arm_error(a, 400, "InvalidRequestContent", "The body must have a name.");
        return;
    }
    bool fits = name_fits(name), taken = fits && is_taken(f, name, "");
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    put_bool(&j, "nameAvailable", fits && !taken);
    if (!fits || taken) {
        put_str(&j, "reason", taken ? "AlreadyExists" : "AccountNameInvalid");
        put_str(&j, "message", taken ? "The storage account is already taken." : NAME_RULE);
    }
    json_obj_close(&j);
}

/* ---- encryption of an account ---- */

/* An old and a new "encryption" object; a member is the new one's, else the old one's. */
struct encryption {
    struct consumer_value now, old;
};

static uint32_t member(struct consumer_value v, const char *name)
{
    return v.d != NULL ? json_get_nn(v.d, v.v, name) : JSON_NONE;
}

static struct consumer_value either(const struct encryption *e, const char *name)
{
    uint32_t v = member(e->now, name);
    if (v != JSON_NONE)
        return (struct consumer_value){e->now.d, v};
    v = member(e->old, name);
    if (v != JSON_NONE)
        return (struct consumer_value){e->old.d, v};
    return (struct consumer_value){NULL, JSON_NONE};
}

static const char *const key_types[] = {"Service", "Account", NULL};

static const char *key_type_of(struct consumer_value services, const char *service)
{
    const char *type = NULL;
    uint32_t s = member(services, service);
    if (s != JSON_NONE)
        (void)consumer_word(services.d, s, "keyType", key_types, &type);
    return type;
}

/* Blob and file always use the account's key; queue and table only when that was said at the
 * beginning. */
static bool put_services(const struct request *rq, const struct arm_put *p,
                         const struct encryption *e, struct answer *a)
{
    static const char *const names[] = {"blob", "file", "queue", "table"};
    struct consumer_value now = {e->now.d, member(e->now, "services")},
                          old = {e->old.d, member(e->old, "services")};
    char text[32];
    now = now.v == JSON_NONE ? (struct consumer_value){NULL, JSON_NONE} : now;
    old = old.v == JSON_NONE ? (struct consumer_value){NULL, JSON_NONE} : old;
    clock_format_ms(rq->now_ms, text, sizeof text);
    json_name(p->properties, "services");
    json_obj_open(p->properties);
    for (size_t i = 0; i < 4; i++) {
        const char *was = key_type_of(old, names[i]), *type = key_type_of(now, names[i]);
        if (type == NULL)
            type = was != NULL ? was : i < 2 ? "Account" : "Service";
        if (i < 2 && strcmp(type, "Account") != 0)
            return refuse(a, "encryption.services", "blob and file have keyType Account");
        if (p->old != NULL && was != NULL && strcmp(was, type) != 0)
            return refuse(a, "encryption.services",
                          "keyType of queue and table is chosen when the account is created");
        if (i >= 2 && strcmp(type, "Account") != 0)
            continue;
        json_name(p->properties, names[i]);
        json_obj_open(p->properties);
        put_bool(p->properties, "enabled", true);
        put_str(p->properties, "keyType", type);
        put_str(p->properties, "lastEnabledTime", text);
        json_obj_close(p->properties);
    }
    json_obj_close(p->properties);
    return true;
}

struct account_key {
    char uri[KEY_URL_MAX + 1], name[128], version[64];
};

static bool take_key(struct consumer_value v, struct account_key *k, struct key_url *u,
                     struct answer *a)
{
    if (v.d == NULL)
        return refuse(a, "encryption.keyvaultproperties",
                      "keySource Microsoft.Keyvault needs keyname and keyvaulturi");
    if (!arm_string(v.d, v.v, "keyvaulturi", k->uri, sizeof k->uri) ||
        pool_url_parse(bytes_str(k->uri), u) != HSM_OK)
        return refuse(a, "encryption.keyvaultproperties.keyvaulturi",
                      "it must be https://HSM and nothing after it");
    if (!arm_string(v.d, v.v, "keyname", k->name, sizeof k->name) ||
        !key_name_valid(bytes_str(k->name)))
        return refuse(a, "encryption.keyvaultproperties.keyname", "it must be the name of a key");
    if (arm_string(v.d, v.v, "keyversion", k->version, sizeof k->version) &&
        k->version[0] != '\0' && !key_version_valid(bytes_str(k->version)))
        return refuse(a, "encryption.keyvaultproperties.keyversion",
                      "it must be 32 hex digits, or left out for the newest version");
    return true;
}

static bool same_key(struct consumer_value old, const struct account_key *k)
{
    struct account_key was;
    if (old.v == JSON_NONE || old.d == NULL)
        return false;
    (void)arm_string(old.d, old.v, "keyvaulturi", was.uri, sizeof was.uri);
    (void)arm_string(old.d, old.v, "keyname", was.name, sizeof was.name);
    (void)arm_string(old.d, old.v, "keyversion", was.version, sizeof was.version);
    return strcasecmp(was.uri, k->uri) == 0 && strcasecmp(was.name, k->name) == 0 &&
           strcasecmp(was.version, k->version) == 0;
}

/* Which key it is when no version is named is not known here: the identifier is shown only with
 * one. */
static bool put_key(struct fabric *f, const struct request *rq, const struct arm_put *p,
                    const struct encryption *e, struct answer *a)
{
    struct account_key k = {.version = ""};
    struct key_url u;
    struct consumer_value old = {e->old.d, member(e->old, "keyvaultproperties")};
    char text[2 * KEY_URL_MAX];
    if (!take_key(either(e, "keyvaultproperties"), &k, &u, a) || !consumer_pool_ready(f, &u, a))
        return false;
    json_name(p->properties, "keyvaultproperties");
    json_obj_open(p->properties);
    put_str(p->properties, "keyvaulturi", k.uri);
    put_str(p->properties, "keyname", k.name);
    put_str(p->properties, "keyversion", k.version);
    if (k.version[0] != '\0') {
        (void)snprintf(text, sizeof text, "https://%.*s/keys/%s/%s", (int)u.authority.n,
                       (const char *)u.authority.p, k.name, k.version);
        put_str(p->properties, "currentVersionedKeyIdentifier", text);
    }
    if (!same_key(old, &k)) {
        clock_format_ms(rq->now_ms, text, sizeof text);
        put_str(p->properties, "lastKeyRotationTimestamp", text);
    } else {
        arm_copy(p->properties, old.d, old.v, "lastKeyRotationTimestamp");
    }
    json_obj_close(p->properties);
    return true;
}

/* "identity":{"userAssignedIdentity","federatedIdentityClientId"} of the encryption. */
static bool put_key_identity(const struct arm_put *p, const struct encryption *e, unsigned kinds,
                             struct answer *a)
{
    char id[ARM_ID_MAX + 1] = "", client[64] = "";
    struct consumer_value v = either(e, "identity");
    if (v.d != NULL) {
        (void)arm_string(v.d, v.v, "userAssignedIdentity", id, sizeof id);
        (void)arm_string(v.d, v.v, "federatedIdentityClientId", client, sizeof client);
    }
    if (id[0] != '\0' && !consumer_has_identity(p, id))
        return refuse(a, "encryption.identity.userAssignedIdentity",
                      "it must be one of the account's user-assigned identities");
    if (id[0] == '\0' && p->old == NULL)
        return refuse(a, "encryption.identity",
                      "a new account needs a user-assigned identity for its key; a system-assigned "
                      "one exists only afterwards");
    if (id[0] == '\0' && (kinds & IDENTITY_SYSTEM) == 0)
        return refuse(a, "encryption.identity", "the account has no identity for its key");
    if (client[0] != '\0' && !consumer_is_guid(client))
        return refuse(a, "encryption.identity.federatedIdentityClientId",
                      "it must be the id of an application");
    if (id[0] == '\0')
        return true;
    json_name(p->properties, "identity");
    json_obj_open(p->properties);
    put_str(p->properties, "userAssignedIdentity", id);
    if (client[0] != '\0')
        put_str(p->properties, "federatedIdentityClientId", client);
    json_obj_close(p->properties);
    return true;
}

static bool put_infrastructure(const struct arm_put *p, const struct encryption *e,
                               struct answer *a)
{
    static const char name[] = "requireInfrastructureEncryption";
    bool now = false, old = false;
    uint32_t v = member(e->now, name), was = member(e->old, name);
    if (was != JSON_NONE && json_bool(e->old.d, was, &old) != HSM_OK)
        old = false;
    now = old;
    if (v != JSON_NONE && json_bool(e->now.d, v, &now) != HSM_OK)
        return refuse(a, "encryption.requireInfrastructureEncryption", "it must be true or false");
    if (p->old != NULL && now != old)
        return refuse(a, "encryption.requireInfrastructureEncryption",
                      "it is chosen when the account is created");
    put_bool(p->properties, name, now);
    return true;
}

static bool put_encryption(struct fabric *f, const struct request *rq, const struct arm_put *p,
                           unsigned kinds, struct answer *a)
{
    static const char *const sources[] = {"Microsoft.Storage", "Microsoft.Keyvault", NULL};
    struct encryption e = {
        .now = {p->body, json_get_nn(p->body, arm_properties(p->body), "encryption")},
        .old = {NULL, JSON_NONE}};
    const char *source = sources[0];
    if (e.now.v == JSON_NONE)
        e.now.d = NULL;
    if (p->old != NULL)
        e.old = (struct consumer_value){p->old,
                                        json_get_nn(p->old, arm_properties(p->old), "encryption")};
    if (e.old.v == JSON_NONE)
        e.old.d = NULL;
    struct consumer_value from = member(e.now, "keySource") != JSON_NONE ? e.now : e.old;
    if (from.d != NULL && member(from, "keySource") != JSON_NONE &&
        !consumer_word(from.d, from.v, "keySource", sources, &source))
        return refuse(a, "encryption.keySource",
                      "it must be Microsoft.Storage or Microsoft.Keyvault");
    json_name(p->properties, "encryption");
    json_obj_open(p->properties);
    put_str(p->properties, "keySource", source);
    if (!put_services(rq, p, &e, a) || !put_infrastructure(p, &e, a))
        return false;
    if (source == sources[1] && (!put_key(f, rq, p, &e, a) || !put_key_identity(p, &e, kinds, a)))
        return false;
    json_obj_close(p->properties);
    return true;
}

/* ---- accounts ---- */

/* {"name","tier"}; the tier is the first word of the name. */
static bool put_sku(const struct arm_put *p, struct answer *a)
{
    char name[64], tier[16];
    const struct json_doc *d = p->body;
    uint32_t v = json_get_nn(d, 0, "sku");
    if (v == JSON_NONE && p->old != NULL) {
        d = p->old;
        v = json_get_nn(d, 0, "sku");
    }
    if (v == JSON_NONE || !arm_string(d, v, "name", name, sizeof name) ||
        (strncmp(name, "Standard_", 9) != 0 && strncmp(name, "Premium_", 8) != 0 &&
         strncmp(name, "StandardV2_", 11) != 0 && strncmp(name, "PremiumV2_", 10) != 0))
        return refuse(a, "sku.name", "it must be a kind of storage such as Standard_LRS");
    (void)snprintf(tier, sizeof tier, "%s", name[0] == 'S' ? "Standard" : "Premium");
    json_name(p->top, "sku");
    json_obj_open(p->top);
    put_str(p->top, "name", name);
    put_str(p->top, "tier", tier);
    json_obj_close(p->top);
    return true;
}

static bool put_kind(const struct arm_put *p, struct answer *a)
{
    static const char *const kinds[] = {"StorageV2",        "Storage",     "BlobStorage",
                                        "BlockBlobStorage", "FileStorage", NULL};
    const char *kind = NULL;
    if (json_get_nn(p->body, 0, "kind") != JSON_NONE) {
        if (!consumer_word(p->body, 0, "kind", kinds, &kind))
            return refuse(a, "kind", "it is none of the known ones");
    } else if (p->old == NULL || !consumer_word(p->old, 0, "kind", kinds, &kind)) {
        return refuse(a, "kind", "it is required");
    }
    put_str(p->top, "kind", kind);
    return true;
}

static bool put_account(struct fabric *f, const struct request *rq, struct arm_put *p,
                        struct answer *a)
{
    static const char *const own[] = {
        "encryption",      "provisioningState", "creationTime",     "primaryLocation",
        "statusOfPrimary", "keyCreationTime",   "primaryEndpoints", NULL};
    char text[32];
    unsigned kinds = 0;
    if (!name_fits(p->name))
        return arm_error(a, 400, "AccountNameInvalid",
                         "%s is not a valid storage account name. " NAME_RULE, p->name);
    if (p->old == NULL && is_taken(f, p->name, p->id))
        return arm_error(a, 409, "StorageAccountAlreadyTaken",
                         "The storage account named %s is already taken.", p->name);
    if (!consumer_identity(f, rq, p, &kinds, a) || !put_sku(p, a) || !put_kind(p, a) ||
        !put_encryption(f, rq, p, kinds, a))
        return false;
    consumer_merge(p, own);
    if (p->old == NULL) {
        clock_format_ms(rq->now_ms, text, sizeof text);
        put_str(p->properties, "creationTime", text);
    } else {
        arm_copy(p->properties, p->old, arm_properties(p->old), "creationTime");
    }
    put_str(p->properties, "primaryLocation", p->location);
    put_str(p->properties, "provisioningState", "Succeeded");
    return true;
}

const struct arm_type storage_account_type = {.name = "Microsoft.Storage/storageAccounts",
                                              .methods = ARM_ALL,
                                              .located = true,
                                              .plain = true,
                                              .put = put_account,
                                              .del = consumer_delete};

/* ---- encryption scopes ---- */

static bool put_scope_key(struct fabric *f, const struct arm_put *p, struct answer *a)
{
    char uri[KEY_URL_MAX + 1];
    struct key_url u;
    struct consumer_value v = consumer_get(p, "keyVaultProperties", true);
    if (v.d == NULL || !arm_string(v.d, v.v, "keyUri", uri, sizeof uri) ||
        key_url_parse(bytes_str(uri), &u) != HSM_OK)
        return refuse(a, "keyVaultProperties.keyUri",
                      "it must be https://HSM/keys/NAME, with a version or without");
    if (!consumer_pool_ready(f, &u, a))
        return false;
    json_name(p->properties, "keyVaultProperties");
    json_obj_open(p->properties);
    put_str(p->properties, "keyUri", uri);
    if (u.version.n > 0)
        put_str(p->properties, "currentVersionedKeyIdentifier", uri);
    json_obj_close(p->properties);
    return true;
}

static bool put_scope(struct fabric *f, const struct request *rq, struct arm_put *p,
                      struct answer *a)
{
    static const char *const sources[] = {"Microsoft.Storage", "Microsoft.KeyVault", NULL};
    static const char *const states[] = {"Enabled", "Disabled", NULL};
    const char *source = sources[0], *state = states[0];
    struct consumer_value v = consumer_get(p, "source", true);
    char text[32];
    if (v.d != NULL && !consumer_word(v.d, arm_properties(v.d), "source", sources, &source))
        return refuse(a, "source", "it must be Microsoft.Storage or Microsoft.KeyVault");
    v = consumer_get(p, "state", true);
    if (v.d != NULL && !consumer_word(v.d, arm_properties(v.d), "state", states, &state))
        return refuse(a, "state", "it must be Enabled or Disabled");
    put_str(p->properties, "source", source);
    put_str(p->properties, "state", state);
    if (source == sources[1] && !put_scope_key(f, p, a))
        return false;
    clock_format_ms(rq->now_ms, text, sizeof text);
    put_str(p->properties, "lastModifiedTime", text);
    if (p->old != NULL)
        arm_copy(p->properties, p->old, arm_properties(p->old), "creationTime");
    else
        put_str(p->properties, "creationTime", text);
    consumer_copy(p->properties, "requireInfrastructureEncryption",
                  consumer_get(p, "requireInfrastructureEncryption", true));
    return true;
}

/* Scopes are disabled, not deleted. */
const struct arm_type storage_scope_type = {
    .name = "Microsoft.Storage/storageAccounts/encryptionScopes",
    .methods = ARM_GET | ARM_LIST | ARM_PUT | ARM_PATCH,
    .hidden = true,
    .put = put_scope};
