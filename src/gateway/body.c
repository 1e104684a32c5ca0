#include "gateway/body.h"

#include <stdarg.h>
#include <stdio.h>
#include "codec/base64url.h"

#define SETTING_TEXT_MAX 64

hsm_err body_bad(struct body_ctx *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(c->detail, ROUTE_DETAIL_MAX, fmt, ap);
    va_end(ap);
    return HSM_E_BAD_PARAMETER;
}

hsm_err body_text(struct body_ctx *c, uint32_t obj, const char *name, size_t max, struct bytes *ret)
{
    uint32_t v = json_get_nn(&c->doc, obj, name);
    *ret = bytes_of(NULL, 0);
    if (v == JSON_NONE)
        return HSM_OK;
    if (json_type_of(&c->doc, v) != JSON_STRING)
        return body_bad(c, "Property '%s' must be a string.", name);
    size_t cap = json_raw(&c->doc, v).n;
    uint8_t *p = scratch_take(c->scratch, cap + 1);
    if (p == NULL)
        return HSM_E_RANGE;
    size_t n;
    if (json_string(&c->doc, v, (char *)p, cap, &n) != HSM_OK)
        return body_bad(c, "Property '%s' is not valid text.", name);
    if (n > max)
        return body_bad(c, "Property '%s' is longer than %zu bytes.", name, max);
    *ret = bytes_of(p, n);
    return HSM_OK;
}

hsm_err body_b64u(struct body_ctx *c, uint32_t obj, const char *name, size_t max, struct bytes *ret)
{
    uint32_t v = json_get_nn(&c->doc, obj, name);
    *ret = bytes_of(NULL, 0);
    if (v == JSON_NONE)
        return HSM_OK;
    struct bytes text;
    if (json_plain(&c->doc, v, &text) != HSM_OK)
        return body_bad(c, "Property '%s' must be a base64url string.", name);
    uint8_t *p = scratch_take(c->scratch, b64_decoded_max(text.n));
    if (p == NULL)
        return HSM_E_RANGE;
    size_t n;
    if (b64u_decode(p, text, &n) != HSM_OK)
        return body_bad(c, "Property '%s' is not valid base64url.", name);
    if (n > max)
        return body_bad(c, "Property '%s' is longer than %zu bytes.", name, max);
    *ret = bytes_of(p, n);
    return HSM_OK;
}

hsm_err body_int(struct body_ctx *c, uint32_t obj, const char *name, int64_t min, int64_t max,
                 bool *ret_there, int64_t *ret)
{
    uint32_t v = json_get_nn(&c->doc, obj, name);
    int64_t n = 0;
    if (v == JSON_NONE) {
        *ret_there = false;
        *ret = 0;
        return HSM_OK;
    }
    if (json_int(&c->doc, v, &n) != HSM_OK)
        return body_bad(c, "Property '%s' must be an integer.", name);
    if (n < min || n > max)
        return body_bad(c, "Property '%s' is out of range.", name);
    *ret_there = true;
    *ret = n;
    return HSM_OK;
}

hsm_err body_bool(struct body_ctx *c, uint32_t obj, const char *name, bool *ret_there, bool *ret)
{
    uint32_t v = json_get_nn(&c->doc, obj, name);
    bool b = false;
    if (v != JSON_NONE && json_bool(&c->doc, v, &b) != HSM_OK)
        return body_bad(c, "Property '%s' must be true or false.", name);
    *ret_there = v != JSON_NONE;
    *ret = b;
    return HSM_OK;
}

hsm_err body_container(struct body_ctx *c, uint32_t obj, const char *name, enum json_type type,
                       uint32_t *ret)
{
    uint32_t v = json_get_nn(&c->doc, obj, name);
    if (v != JSON_NONE && json_type_of(&c->doc, v) != type)
        return body_bad(c, "Property '%s' must be %s.", name,
                        type == JSON_ARRAY ? "an array" : "an object");
    *ret = v;
    return HSM_OK;
}

hsm_err body_writer(struct body_ctx *c, size_t n, struct wr *ret)
{
    uint8_t *p = scratch_take(c->scratch, n);
    if (p == NULL)
        return HSM_E_RANGE;
    *ret = wr_of(p, n);
    return HSM_OK;
}

static hsm_err parse(struct bytes body, struct body_ctx *c)
{
    hsm_err err = json_parse(body, c->toks, c->tok_cap, &c->doc);
    if (err == HSM_OK && json_type_of(&c->doc, 0) == JSON_OBJECT)
        return HSM_OK;
    return body_bad(c, err == HSM_E_RANGE ? "The request body has too many members."
                                          : "The request body is not a valid JSON object.");
}

static void put_list(const struct route *r, struct wr *out)
{
    struct wire_list m = {.name = r->name, .max = r->max, .skip = r->skip};
    wire_list_put(out, &m);
}

static void put_scope(const struct route *r, struct wr *out)
{
    struct wire_scope m = {
        .scope = bytes_str(r->scope),
        .filter = r->filter,
        .principal = r->principal,
    };
    wire_scope_put(out, &m);
}

/* A number that does not fit is out of the range of counts as well; the boundary says so. */
static hsm_err put_rng(struct body_ctx *c, struct wr *out)
{
    bool there;
    int64_t n = 0;
    TRY(body_int(c, 0, "count", INT64_MIN, INT64_MAX, &there, &n));
    const struct wire_rng m = {.count = n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n};
    wire_rng_put(out, &m);
    return HSM_OK;
}

static hsm_err put_setting_update(const struct route *r, struct body_ctx *c, struct wr *out)
{
    struct wire_setting_update m = {.name = r->setting};
    TRY(body_text(c, 0, "value", SETTING_TEXT_MAX, &m.value));
    if (m.value.p == NULL)
        return body_bad(c, "Property 'value' is missing.");
    wire_setting_update_put(out, &m);
    return HSM_OK;
}

/* Requests whose message comes from the path and the query alone. false: it needs the body. */
static bool write_bodiless(const struct route *r, struct wr *out)
{
    struct wire_key_ref ref = {.name = r->name, .version = bytes_str(r->version)};
    struct wire_key_name name = {.name = r->name};
    struct wire_setting_ref setting = {.name = r->setting};
    struct wire_role_ref role = {.scope = bytes_str(r->scope), .guid = r->guid};
    switch (r->op) {
    case OP_KEY_GET:
        wire_key_ref_put(out, &ref);
        return true;
    case OP_KEY_LIST:
    case OP_KEY_VERSIONS:
    case OP_DELETED_LIST:
        put_list(r, out);
        return true;
    case OP_KEY_BACKUP:
    case OP_KEY_DELETE:
    case OP_KEY_ROTATE:
    case OP_ROTATION_GET:
    case OP_DELETED_GET:
    case OP_KEY_RECOVER:
    case OP_KEY_PURGE:
        wire_key_name_put(out, &name);
        return true;
    case OP_ROLE_DEFINITION_LIST:
    case OP_ROLE_ASSIGNMENT_LIST:
        put_scope(r, out);
        return true;
    case OP_ROLE_DEFINITION_GET:
    case OP_ROLE_DEFINITION_DELETE:
    case OP_ROLE_ASSIGNMENT_GET:
    case OP_ROLE_ASSIGNMENT_DELETE:
        wire_role_ref_put(out, &role);
        return true;
    case OP_SETTING_GET:
        wire_setting_ref_put(out, &setting);
        return true;
    case OP_SETTING_LIST:
    case OP_SD_DOWNLOAD_STATUS:
    case OP_SD_UPLOAD_STATUS:
    case OP_UNIMPLEMENTED:
        return true;
    default:
        return false;
    }
}

hsm_err body_write(const struct route *r, struct bytes body, struct body_ctx *c, struct wr *out)
{
    c->detail[0] = '\0';
    if (write_bodiless(r, out))
        return wr_ok(out);
    TRY(parse(body, c));
    switch (r->op) {
    case OP_KEY_CREATE:
        TRY(body_key_create(r, c, out));
        break;
    case OP_KEY_IMPORT:
        TRY(body_key_import(r, c, out));
        break;
    case OP_KEY_RESTORE:
        TRY(body_key_restore(c, out));
        break;
    case OP_KEY_UPDATE:
        TRY(body_key_update(r, c, out));
        break;
    case OP_ENCRYPT:
    case OP_DECRYPT:
    case OP_WRAP:
    case OP_UNWRAP:
    case OP_SIGN:
    case OP_VERIFY:
        TRY(body_crypto(r, c, out));
        break;
    case OP_ROLE_DEFINITION_PUT:
        TRY(body_role_definition(r, c, out));
        break;
    case OP_ROLE_ASSIGNMENT_PUT:
        TRY(body_role_assignment(r, c, out));
        break;
    case OP_SD_DOWNLOAD:
        TRY(body_sd_download(r, c, out));
        break;
    case OP_ROTATION_PUT:
        TRY(body_rotation_put(r, c, out));
        break;
    case OP_RNG:
        TRY(put_rng(c, out));
        break;
    case OP_SETTING_UPDATE:
        TRY(put_setting_update(r, c, out));
        break;
    default:
        return HSM_E_INTERNAL;
    }
    return wr_ok(out);
}
