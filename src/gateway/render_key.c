#include "gateway/render.h"
#include "model/alg.h"
#include "model/rotation.h"

static void put_id(struct json_wr *j, const struct render_ctx *ctx, const char *collection,
                   struct bytes name, const struct uuid *version)
{
    json_str_open(j);
    json_str_add_s(j, "https://");
    json_str_add_s(j, ctx->authority);
    json_str_add_s(j, collection);
    json_str_add(j, name);
    if (version != NULL) {
        char hex[33];
        hex_encode(hex, version->b, sizeof version->b);
        json_str_add_s(j, "/");
        json_str_add_s(j, hex);
    }
    json_str_close(j);
}

static void put_time(struct json_wr *j, const char *name, uint64_t t)
{
    json_name(j, name);
    json_put_int(j, (int64_t)t);
}

static void put_attributes(struct json_wr *j, const struct wire_key *k)
{
    json_name(j, "attributes");
    json_obj_open(j);
    put_time(j, "created", k->created);
    json_name(j, "enabled");
    json_put_bool(j, (k->attr_flags & ATTR_ENABLED) != 0);
    if ((k->attr_set & ATTR_EXP) != 0)
        put_time(j, "exp", k->exp);
    json_name(j, "exportable");
    json_put_bool(j, (k->attr_flags & ATTR_EXPORTABLE) != 0);
    if ((k->attr_set & ATTR_NBF) != 0)
        put_time(j, "nbf", k->nbf);
    put_time(j, "recoverableDays", k->recoverable_days);
    json_name(j, "recoveryLevel");
    json_put_str(j, recovery_level_name(k->recovery_level));
    put_time(j, "updated", k->updated);
    json_obj_close(j);
}

static hsm_err put_tags(struct json_wr *j, struct bytes list)
{
    struct bytes item;
    if (list.n == 0)
        return HSM_OK;
    json_name(j, "tags");
    json_obj_open(j);
    while (wire_list_next(&list, &item)) {
        struct wire_tag t;
        TRY(wire_tag_decode(item, &t));
        json_name_bytes(j, t.name);
        json_put_bytes(j, t.value);
    }
    json_obj_close(j);
    return HSM_OK;
}

static void put_material(struct json_wr *j, const char *name, struct bytes b)
{
    if (b.n == 0)
        return;
    json_name(j, name);
    json_put_b64u(j, b);
}

static void put_jwk(struct json_wr *j, const struct render_ctx *ctx, const struct wire_key *k)
{
    json_name(j, "key");
    json_obj_open(j);
    if (k->kty == KTY_EC) {
        json_name(j, "crv");
        json_put_str(j, key_curve_name((enum key_curve)k->crv));
    }
    put_material(j, "e", k->e);
    json_name(j, "key_ops");
    json_arr_open(j);
    for (uint32_t bit = 1; bit <= KEY_OP__ALL; bit <<= 1) {
        if ((k->key_ops & bit) != 0)
            json_put_str(j, key_op_name(bit));
    }
    json_arr_close(j);
    json_name(j, "kid");
    put_id(j, ctx, "/keys/", k->name, &k->version);
    json_name(j, "kty");
    json_put_str(j, key_type_name((enum key_type)k->kty));
    put_material(j, "n", k->n);
    put_material(j, "x", k->x);
    put_material(j, "y", k->y);
    json_obj_close(j);
}

static void put_policy(struct json_wr *j, const struct wire_key *k)
{
    if (k->release_policy.n == 0)
        return;
    json_name(j, "release_policy");
    json_obj_open(j);
    json_name(j, "contentType");
    json_put_str(j, "application/json; charset=utf-8");
    json_name(j, "data");
    json_put_b64u(j, k->release_policy);
    json_name(j, "immutable");
    json_put_bool(j, k->policy_immutable != 0);
    json_obj_close(j);
}

static void put_recovery_id(struct json_wr *j, const struct render_ctx *ctx,
                            const struct wire_key *k)
{
    json_name(j, "recoveryId");
    put_id(j, ctx, "/deletedkeys/", k->name, NULL);
}

/* Numbers from the other process index tables of names. */
static hsm_err check(const struct wire_key *k)
{
    if (k->kty == KTY_NONE || k->kty > KTY_OCT || k->crv > CRV_P521 ||
        k->recovery_level > RECOVERY_CUSTOM_PURGEABLE || (k->kty == KTY_EC && k->crv == CRV_NONE))
        return HSM_E_MALFORMED;
    return HSM_OK;
}

hsm_err render_key(const struct render_ctx *ctx, struct bytes result, struct json_wr *j)
{
    struct wire_key k;
    TRY(wire_key_decode(result, &k));
    TRY(check(&k));
    bool is_deleted = k.deleted_date != 0 && ctx->op != OP_KEY_RECOVER;
    json_obj_open(j);
    put_attributes(j, &k);
    if (is_deleted)
        put_time(j, "deletedDate", k.deleted_date);
    put_jwk(j, ctx, &k);
    if (is_deleted)
        put_recovery_id(j, ctx, &k);
    put_policy(j, &k);
    if (is_deleted)
        put_time(j, "scheduledPurgeDate", k.purge_date);
    TRY(put_tags(j, k.tags));
    json_obj_close(j);
    return HSM_OK;
}

hsm_err render_key_backup(struct bytes result, struct json_wr *j)
{
    struct wire_key_backup m;
    TRY(wire_key_backup_decode(result, &m));
    json_obj_open(j);
    json_name(j, "value");
    json_put_b64u(j, m.value);
    json_obj_close(j);
    return HSM_OK;
}

static hsm_err put_item(struct json_wr *j, const struct render_ctx *ctx, struct bytes item)
{
    struct wire_key k;
    TRY(wire_key_decode(item, &k));
    if (k.recovery_level > RECOVERY_CUSTOM_PURGEABLE)
        return HSM_E_MALFORMED;
    bool is_deleted = ctx->op == OP_DELETED_LIST;
    json_obj_open(j);
    put_attributes(j, &k);
    if (is_deleted)
        put_time(j, "deletedDate", k.deleted_date);
    json_name(j, "kid");
    put_id(j, ctx, "/keys/", k.name, ctx->op == OP_KEY_VERSIONS ? &k.version : NULL);
    if (is_deleted) {
        put_recovery_id(j, ctx, &k);
        put_time(j, "scheduledPurgeDate", k.purge_date);
    }
    TRY(put_tags(j, k.tags));
    json_obj_close(j);
    return HSM_OK;
}

static void add_escaped(struct json_wr *j, struct bytes text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '-' || c == '_' || c == '.' || c == '~';
        char esc[3] = {'%', hex[c >> 4], hex[c & 15]};
        if (plain)
            json_str_add(j, bytes_of(&c, 1));
        else
            json_str_add(j, bytes_of(esc, 3));
    }
}

/* Absolute, with everything a client needs to call it as it stands. */
static void put_next_link(struct json_wr *j, const struct render_ctx *ctx, struct bytes skip)
{
    char max[2] = {(char)('0' + ctx->max / 10 % 10), (char)('0' + ctx->max % 10)};
    json_name(j, "nextLink");
    json_str_open(j);
    json_str_add_s(j, "https://");
    json_str_add_s(j, ctx->authority);
    if (ctx->op == OP_KEY_VERSIONS) {
        json_str_add_s(j, "/keys/");
        json_str_add_s(j, ctx->name);
        json_str_add_s(j, "/versions");
    } else {
        json_str_add_s(j, ctx->op == OP_DELETED_LIST ? "/deletedkeys" : "/keys");
    }
    json_str_add_s(j, "?api-version=");
    json_str_add_s(j, ctx->api_version);
    json_str_add_s(j, "&$skiptoken=");
    add_escaped(j, skip);
    json_str_add_s(j, "&maxresults=");
    json_str_add(j, bytes_of(ctx->max >= 10 ? max : max + 1, ctx->max >= 10 ? 2 : 1));
    json_str_close(j);
}

hsm_err render_key_page(const struct render_ctx *ctx, struct bytes result, struct json_wr *j)
{
    struct wire_key_page page;
    struct bytes item;
    TRY(wire_key_page_decode(result, &page));
    json_obj_open(j);
    if (page.skip.n > 0)
        put_next_link(j, ctx, page.skip);
    json_name(j, "value");
    json_arr_open(j);
    while (wire_list_next(&page.items, &item))
        TRY(put_item(j, ctx, item));
    json_arr_close(j);
    json_obj_close(j);
    return HSM_OK;
}

hsm_err render_crypto(const struct render_ctx *ctx, struct bytes result, struct json_wr *j)
{
    struct wire_crypto_result m;
    TRY(wire_crypto_result_decode(result, &m));
    if (m.alg == ALG_NONE || m.alg >= ALG__COUNT)
        return HSM_E_MALFORMED;
    json_obj_open(j);
    if ((m.has & CRYPTO_HAS_AAD) != 0) {
        json_name(j, "aad");
        json_put_b64u(j, m.aad);
    }
    json_name(j, "alg");
    json_put_str(j, crypto_alg_name(m.alg));
    if ((m.has & CRYPTO_HAS_IV) != 0) {
        json_name(j, "iv");
        json_put_b64u(j, m.iv);
    }
    json_name(j, "kid");
    put_id(j, ctx, "/keys/", m.name, &m.version);
    if ((m.has & CRYPTO_HAS_TAG) != 0) {
        json_name(j, "tag");
        json_put_b64u(j, m.tag);
    }
    json_name(j, "value");
    if (ctx->op == OP_VERIFY)
        json_put_bool(j, m.verified != 0);
    else
        json_put_b64u(j, m.value);
    json_obj_close(j);
    return HSM_OK;
}

static void put_text(struct json_wr *j, const char *name, struct bytes text)
{
    if (text.n == 0)
        return;
    json_name(j, name);
    json_put_bytes(j, text);
}

static hsm_err put_lifetime_action(struct json_wr *j, struct bytes item)
{
    struct wire_lifetime_action a;
    TRY(wire_lifetime_action_decode(item, &a));
    const char *type = rotation_type_name((enum rotation_type)a.type);
    if (type == NULL)
        return HSM_E_MALFORMED;
    json_obj_open(j);
    json_name(j, "action");
    json_obj_open(j);
    json_name(j, "type");
    json_put_str(j, type);
    json_obj_close(j);
    json_name(j, "trigger");
    json_obj_open(j);
    put_text(j, "timeAfterCreate", a.after_create);
    put_text(j, "timeBeforeExpiry", a.before_expiry);
    json_obj_close(j);
    json_obj_close(j);
    return HSM_OK;
}

hsm_err render_rotation_policy(const struct render_ctx *ctx, struct bytes result, struct json_wr *j)
{
    struct wire_rotation_policy m;
    struct bytes item;
    TRY(wire_rotation_policy_decode(result, &m));
    json_obj_open(j);
    json_name(j, "attributes");
    json_obj_open(j);
    if (m.created != 0)
        put_time(j, "created", m.created);
    put_text(j, "expiryTime", m.expiry);
    if (m.created != 0)
        put_time(j, "updated", m.updated);
    json_obj_close(j);
    json_name(j, "id");
    json_str_open(j);
    json_str_add_s(j, "https://");
    json_str_add_s(j, ctx->authority);
    json_str_add_s(j, "/keys/");
    json_str_add(j, m.name);
    json_str_add_s(j, "/rotationpolicy");
    json_str_close(j);
    json_name(j, "lifetimeActions");
    json_arr_open(j);
    while (wire_list_next(&m.actions, &item))
        TRY(put_lifetime_action(j, item));
    json_arr_close(j);
    json_obj_close(j);
    return HSM_OK;
}
