#include "boundary/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include "codec/json.h"
#include "model/key.h"

#define BODY_FORMAT 1u
#define TOKENS_MAX  1024u

void pool_info_done(struct pool_info *p)
{
    free(p->auth_json);
    *p = (struct pool_info){0};
}

void pool_init_done(struct pool_init *p)
{
    pool_info_done(&p->info);
}

void pool_info_encode(const struct pool_info *p, struct wr *w)
{
    wr_u8(w, BODY_FORMAT);
    wr_lv(w, bytes_str(p->name));
    wr_lv(w, bytes_str(p->tenant));
    wr_lv(w, bytes_str(p->resource_id));
    wr_u8(w, (uint8_t)p->state);
    wr_u8(w, p->retention_days);
    wr_u8(w, p->purge_protection ? 1 : 0);
    wr_u32(w, p->max_keys);
    wr_u64(w, p->created);
    wr_lv(w, bytes_of(p->auth_json, p->auth_json_n));
}

static hsm_err rd_text(struct rd *r, char *dst, size_t cap)
{
    struct bytes b;
    TRY(rd_lv(r, cap - 1, &b));
    if (b.n > 0)
        memcpy(dst, b.p, b.n);
    dst[b.n] = '\0';
    return HSM_OK;
}

static hsm_err take_auth(struct pool_info *p, struct bytes json)
{
    p->auth_json = (uint8_t *)malloc(json.n + 1);
    if (p->auth_json == NULL)
        return HSM_E_NOMEM;
    memcpy(p->auth_json, json.p, json.n);
    p->auth_json_n = json.n;
    return HSM_OK;
}

hsm_err pool_info_decode(struct bytes body, struct pool_info *ret)
{
    struct rd r = rd_of(body);
    struct pool_info p = {0};
    uint8_t format, state, purge;
    struct bytes auth;
    TRY(rd_u8(&r, &format));
    TRY(rd_text(&r, p.name, sizeof p.name));
    TRY(rd_text(&r, p.tenant, sizeof p.tenant));
    TRY(rd_text(&r, p.resource_id, sizeof p.resource_id));
    TRY(rd_u8(&r, &state));
    TRY(rd_u8(&r, &p.retention_days));
    TRY(rd_u8(&r, &purge));
    TRY(rd_u32(&r, &p.max_keys));
    TRY(rd_u64(&r, &p.created));
    TRY(rd_lv(&r, POOL_JSON_MAX, &auth));
    TRY(rd_end(&r));
    if (format != BODY_FORMAT || state > POOL_ACTIVE || purge > 1 || auth.n == 0)
        return HSM_E_MALFORMED;
    p.state = (enum pool_state)state;
    p.purge_protection = purge == 1;
    TRY(take_auth(&p, auth));
    *ret = p;
    return HSM_OK;
}

/* ---- pool.json ---- */

struct parse {
    struct json_doc d;
    struct pool_init *out;
    char *why;
    size_t cap;
};

static hsm_err refuse(struct parse *p, const char *text)
{
    (void)snprintf(p->why, p->cap, "pool.json: %s", text);
    return HSM_E_BAD_PARAMETER;
}

static hsm_err get_text(struct parse *p, uint32_t v, char *dst, size_t cap, const char *text)
{
    size_t n;
    if (json_string(&p->d, v, dst, cap - 1, &n) != HSM_OK)
        return refuse(p, text);
    dst[n] = '\0';
    return HSM_OK;
}

static hsm_err set_name(struct parse *p, uint32_t v)
{
    const char *text = "\"name\" must be 3 to 24 of a-z, A-Z, 0-9, -, beginning with a letter";
    char *name = p->out->info.name;
    TRY(get_text(p, v, name, POOL_NAME_MAX + 1, text));
    bool letter = (name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z');
    if (!letter || strlen(name) < 3 || !key_name_valid(bytes_str(name)))
        return refuse(p, text);
    return HSM_OK;
}

/* Object ids are compared as lower-case text. */
static hsm_err get_guid(struct parse *p, uint32_t v, char dst[UUID_TEXT_LEN + 1], const char *text)
{
    struct bytes raw;
    struct uuid u;
    if (json_plain(&p->d, v, &raw) != HSM_OK || uuid_parse(raw, &u) != HSM_OK)
        return refuse(p, text);
    uuid_format(&u, dst);
    return HSM_OK;
}

static hsm_err set_tenant(struct parse *p, uint32_t v)
{
    return get_guid(p, v, p->out->info.tenant, "\"tenant\" must be a GUID");
}

static hsm_err set_admins(struct parse *p, uint32_t v)
{
    const char *text = "\"administrators\" must be 1 to 10 object ids (GUIDs)";
    if (json_type_of(&p->d, v) != JSON_ARRAY || json_count(&p->d, v) < 1 ||
        json_count(&p->d, v) > POOL_ADMINS_MAX)
        return refuse(p, text);
    for (uint32_t at = json_first(&p->d, v); at != JSON_NONE; at = json_next(&p->d, v, at))
        TRY(get_guid(p, at, p->out->admin[p->out->admin_n++], text));
    return HSM_OK;
}

static hsm_err set_retention(struct parse *p, uint32_t v)
{
    int64_t days;
    if (json_int(&p->d, v, &days) != HSM_OK || days < 7 || days > 90)
        return refuse(p, "\"retentionDays\" must be 7 to 90");
    p->out->info.retention_days = (uint8_t)days;
    return HSM_OK;
}

static hsm_err set_purge(struct parse *p, uint32_t v)
{
    if (json_bool(&p->d, v, &p->out->info.purge_protection) != HSM_OK)
        return refuse(p, "\"purgeProtection\" must be true or false");
    return HSM_OK;
}

static hsm_err set_max_keys(struct parse *p, uint32_t v)
{
    int64_t n;
    if (json_int(&p->d, v, &n) != HSM_OK || n < 1 || n > 10000000)
        return refuse(p, "\"maxKeys\" must be 1 to 10000000");
    p->out->info.max_keys = (uint32_t)n;
    return HSM_OK;
}

static hsm_err set_resource(struct parse *p, uint32_t v)
{
    return get_text(p, v, p->out->info.resource_id, POOL_RESOURCE_MAX + 1,
                    "\"resourceId\" must be a text of at most 512 bytes");
}

static hsm_err set_prepared(struct parse *p, uint32_t v)
{
    static const char *const names[] = {"2048", "3072", "4096"};
    const char *text =
        "\"preparedKeys\" must be an object of \"2048\", \"3072\", \"4096\": 0 to 64";
    size_t known = 0;
    if (json_type_of(&p->d, v) != JSON_OBJECT)
        return refuse(p, text);
    for (unsigned i = 0; i < 3; i++) {
        int64_t n;
        uint32_t at = json_get(&p->d, v, names[i]);
        if (at == JSON_NONE)
            continue;
        if (json_int(&p->d, at, &n) != HSM_OK || n < 0 || n > (int64_t)POOL_PREPARED_MAX)
            return refuse(p, text);
        p->out->prepared[i] = (unsigned)n;
        known++;
    }
    return known == json_count(&p->d, v) ? HSM_OK : refuse(p, text);
}

static hsm_err set_peers(struct parse *p, uint32_t v)
{
    const char *why;
    hsm_err err = peer_policy_parse(&p->d, v, &p->out->peers, &why);
    return err == HSM_OK ? HSM_OK : refuse(p, why);
}

static hsm_err set_auth(struct parse *p, uint32_t v)
{
    if (json_type_of(&p->d, v) != JSON_OBJECT)
        return refuse(p, "\"auth\" must be an object");
    return take_auth(&p->out->info, json_raw(&p->d, v));
}

static const struct member {
    const char *name;
    hsm_err (*set)(struct parse *p, uint32_t v);
    bool required;
} members[] = {
    {"name", set_name, true},
    {"tenant", set_tenant, true},
    {"administrators", set_admins, true},
    {"auth", set_auth, true},
    {"retentionDays", set_retention, false},
    {"purgeProtection", set_purge, false},
    {"maxKeys", set_max_keys, false},
    {"resourceId", set_resource, false},
    {"preparedKeys", set_prepared, false},
    {"peers", set_peers, false},
};
#define MEMBERS (sizeof members / sizeof members[0])

static hsm_err parse_members(struct parse *p)
{
    if (json_type_of(&p->d, 0) != JSON_OBJECT)
        return refuse(p, "must be an object");
    size_t known = 0;
    for (size_t i = 0; i < MEMBERS; i++) {
        uint32_t v = json_get(&p->d, 0, members[i].name);
        if (v == JSON_NONE && members[i].required) {
            (void)snprintf(p->why, p->cap, "pool.json: \"%s\" is missing", members[i].name);
            return HSM_E_BAD_PARAMETER;
        }
        if (v == JSON_NONE)
            continue;
        known++;
        TRY(members[i].set(p, v));
    }
    return known == json_count(&p->d, 0) ? HSM_OK : refuse(p, "has an unknown member");
}

static void set_default_resource(struct pool_info *info)
{
    if (info->resource_id[0] == '\0')
        (void)snprintf(info->resource_id, sizeof info->resource_id,
                       "/providers/Microsoft.KeyVault/managedHSMs/%s", info->name);
}

hsm_err pool_init_parse(struct bytes json, struct pool_init *ret, char *why, size_t cap)
{
    struct json_tok *toks = (struct json_tok *)malloc(TOKENS_MAX * sizeof *toks);
    if (toks == NULL)
        return HSM_E_NOMEM;
    struct pool_init out = {
        .info = {.state = POOL_NOT_ACTIVATED, .retention_days = 90, .max_keys = KEYS_MAX_DEFAULT},
        .prepared = {32, 16, 16}};
    struct parse p = {.out = &out, .why = why, .cap = cap};
    hsm_err err = json.n > POOL_JSON_MAX || json_parse(json, toks, TOKENS_MAX, &p.d) != HSM_OK
                      ? refuse(&p, "is not valid JSON")
                      : parse_members(&p);
    free(toks);
    if (err != HSM_OK) {
        pool_init_done(&out);
        return err;
    }
    set_default_resource(&out.info);
    *ret = out;
    return HSM_OK;
}
