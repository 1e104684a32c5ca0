#include <stdlib.h>
#include "codec/base64url.h"
#include "gateway/body.h"
#include "model/alg.h"
#include "model/key.h"

#define KTY_TEXT_MAX     16
#define ALG_TEXT_MAX     32
#define TAG_BYTES_MAX    1024 /* 256 characters of UTF-8 */
#define TAGS_BYTES_MAX   40960
#define POLICY_BYTES_MAX 65536
#define VALUE_BYTES_MAX  131072
#define SMALL_BYTES_MAX  64
#define BACKUP_BYTES_MAX 890000
#define JWK_BYTES_MAX    32768
#define TIME_MAX         253402300799 /* 9999-12-31 */

static hsm_err not_here(struct body_ctx *c, const char *what)
{
    (void)body_bad(c, "%s not implemented by this server version.", what);
    return HSM_E_NOT_IMPLEMENTED;
}

static hsm_err read_ops(struct body_ctx *c, uint32_t *ret_ops, uint32_t *ret_array)
{
    uint32_t arr, ops = 0;
    TRY(body_container(c, 0, "key_ops", JSON_ARRAY, &arr));
    for (uint32_t at = arr == JSON_NONE ? JSON_NONE : json_first(&c->doc, arr); at != JSON_NONE;
         at = json_next(&c->doc, arr, at)) {
        struct bytes name;
        uint32_t op = json_plain(&c->doc, at, &name) == HSM_OK ? key_op_from_name(name) : 0;
        if (op == 0)
            return body_bad(c, "Property 'key_ops' contains an unknown operation.");
        ops |= op;
    }
    *ret_ops = ops;
    *ret_array = arr;
    return HSM_OK;
}

/* The fields that WIRE_ATTRS gives a message. */
static hsm_err read_attrs(struct body_ctx *c, uint8_t *ret_set, uint8_t *ret_flags,
                          uint64_t *ret_nbf, uint64_t *ret_exp)
{
    uint8_t set = 0, flags = 0;
    uint32_t obj;
    bool there, on;
    int64_t t;
    TRY(body_container(c, 0, "attributes", JSON_OBJECT, &obj));
    if (json_get_nn(&c->doc, obj, "external_key") != JSON_NONE)
        return not_here(c, "External keys (attributes.external_key) are");
    TRY(body_bool(c, obj, "enabled", &there, &on));
    set |= there ? ATTR_ENABLED : 0;
    flags |= on ? ATTR_ENABLED : 0;
    TRY(body_bool(c, obj, "exportable", &there, &on));
    set |= there ? ATTR_EXPORTABLE : 0;
    flags |= on ? ATTR_EXPORTABLE : 0;
    TRY(body_int(c, obj, "nbf", 0, TIME_MAX, &there, &t));
    set |= there ? ATTR_NBF : 0;
    *ret_nbf = (uint64_t)t;
    TRY(body_int(c, obj, "exp", 0, TIME_MAX, &there, &t));
    set |= there ? ATTR_EXP : 0;
    *ret_exp = (uint64_t)t;
    *ret_set = set;
    *ret_flags = flags;
    return HSM_OK;
}
#define READ_ATTRS(c, m) read_attrs(c, &(m).attr_set, &(m).attr_flags, &(m).nbf, &(m).exp)

static int tag_compare(const void *a, const void *b)
{
    const struct wire_tag *x = a;
    const struct wire_tag *y = b;
    size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int d = n > 0 ? memcmp(x->name.p, y->name.p, n) : 0;
    if (d != 0)
        return d;
    return x->name.n < y->name.n ? -1 : x->name.n > y->name.n;
}

static hsm_err read_string(struct body_ctx *c, uint32_t v, size_t max, struct bytes *ret)
{
    if (json_type_of(&c->doc, v) != JSON_STRING)
        return body_bad(c, "Tag values must be strings.");
    size_t cap = json_raw(&c->doc, v).n;
    uint8_t *p = scratch_take(c->scratch, cap + 1);
    size_t n;
    if (p == NULL)
        return HSM_E_RANGE;
    if (json_string(&c->doc, v, (char *)p, cap, &n) != HSM_OK)
        return body_bad(c, "A tag is not valid text.");
    if (n > max)
        return body_bad(c, "Tag names and values can have at most %u characters.",
                        KEY_TAG_TEXT_MAX);
    *ret = bytes_of(p, n);
    return HSM_OK;
}

/* Tags are kept sorted by name, as they are shown. */
static hsm_err read_tags(struct body_ctx *c, struct bytes *ret_list, bool *ret_there)
{
    struct wire_tag tags[KEY_TAGS_MAX];
    uint32_t obj;
    size_t n = 0;
    TRY(body_container(c, 0, "tags", JSON_OBJECT, &obj));
    *ret_there = obj != JSON_NONE;
    *ret_list = bytes_of(NULL, 0);
    if (obj == JSON_NONE)
        return HSM_OK;
    if (json_count(&c->doc, obj) > KEY_TAGS_MAX)
        return body_bad(c, "A key can have at most %u tags.", KEY_TAGS_MAX);
    for (uint32_t at = json_first(&c->doc, obj); at != JSON_NONE && n < KEY_TAGS_MAX;
         at = json_next(&c->doc, obj, at), n++) {
        tags[n] = (struct wire_tag){0};
        TRY(read_string(c, at, TAG_BYTES_MAX, &tags[n].name));
        TRY(read_string(c, json_value(at), TAG_BYTES_MAX, &tags[n].value));
    }
    qsort(tags, n, sizeof tags[0], tag_compare);
    struct wr w;
    TRY(body_writer(c, TAGS_BYTES_MAX, &w));
    for (size_t i = 0; i < n; i++) {
        size_t at = wr_lv_open(&w);
        wire_tag_put(&w, &tags[i]);
        wr_lv_close(&w, at);
    }
    TRY(wr_ok(&w));
    *ret_list = wr_view(&w);
    return HSM_OK;
}

/* Base64 of either alphabet, with or without padding: clients send all of them. */
static hsm_err read_policy_data(struct body_ctx *c, uint32_t obj, struct bytes *ret)
{
    uint32_t v = json_get_nn(&c->doc, obj, "data");
    struct bytes text;
    size_t n;
    *ret = bytes_of(NULL, 0);
    if (v == JSON_NONE)
        return HSM_OK;
    if (json_type_of(&c->doc, v) != JSON_STRING)
        return body_bad(c, "Property 'data' must be a base64url string.");
    TRY(body_text(c, obj, "data", POLICY_BYTES_MAX / 3 * 4 + 8, &text));
    uint8_t *url = scratch_take(c->scratch, text.n + 1);
    uint8_t *p = scratch_take(c->scratch, b64_decoded_max(text.n));
    if (url == NULL || p == NULL)
        return HSM_E_RANGE;
    for (size_t i = 0; i < text.n; i++)
        url[i] = text.p[i] == '+' ? '-' : text.p[i] == '/' ? '_' : text.p[i];
    if (b64u_decode(p, bytes_of(url, text.n), &n) != HSM_OK)
        return body_bad(c, "Property 'data' is not valid base64url.");
    if (n > POLICY_BYTES_MAX)
        return body_bad(c, "Property 'data' is longer than %d bytes.", POLICY_BYTES_MAX);
    *ret = bytes_of(p, n);
    return HSM_OK;
}

/* needs_data: it is not an update, which may only make the present one immutable. */
static hsm_err read_policy(struct body_ctx *c, bool needs_data, struct bytes *ret,
                           uint8_t *ret_immutable)
{
    uint32_t obj;
    bool there, on;
    TRY(body_container(c, 0, "release_policy", JSON_OBJECT, &obj));
    *ret = bytes_of(NULL, 0);
    *ret_immutable = POLICY_IMMUTABLE_NONE;
    if (obj == JSON_NONE)
        return HSM_OK;
    TRY(read_policy_data(c, obj, ret));
    TRY(body_bool(c, obj, "immutable", &there, &on));
    if (ret->n == 0 && (needs_data || !there))
        return body_bad(c, "Property 'release_policy' needs 'data'.");
    if (there)
        *ret_immutable = on ? POLICY_IMMUTABLE_ON : POLICY_IMMUTABLE_OFF;
    return HSM_OK;
}

static hsm_err read_type(struct body_ctx *c, struct wire_key_create *m)
{
    struct bytes kty, crv;
    TRY(body_text(c, 0, "kty", KTY_TEXT_MAX, &kty));
    if (kty.p == NULL)
        return body_bad(c, "Property 'kty' is missing.");
    if (bytes_ieq(kty, bytes_str("AKP")) || bytes_ieq(kty, bytes_str("AKP-HSM")))
        return not_here(c, "ML-DSA keys (kty AKP) are");
    m->kty = (uint8_t)key_type_from_name(kty);
    if (m->kty == KTY_NONE)
        return body_bad(c, "Property 'kty' has an unknown value.");
    TRY(body_text(c, 0, "crv", KTY_TEXT_MAX, &crv));
    if (crv.p != NULL) {
        m->crv = (uint8_t)key_curve_from_name(crv);
        if (m->crv == CRV_NONE)
            return body_bad(c, "Property 'crv' has an unknown value.");
    }
    return HSM_OK;
}

hsm_err body_key_create(const struct route *r, struct body_ctx *c, struct wr *out)
{
    struct wire_key_create m = {.name = r->name};
    uint32_t arr;
    bool there;
    int64_t v;
    TRY(read_type(c, &m));
    TRY(body_int(c, 0, "key_size", 1, 65536, &there, &v));
    m.key_size = (uint32_t)v;
    /* 0 is what the SDK for Java sends when its caller gives none. */
    TRY(body_int(c, 0, "public_exponent", 0, UINT32_MAX, &there, &v));
    m.public_exponent = (uint32_t)v;
    TRY(read_ops(c, &m.key_ops, &arr));
    m.has_ops = m.key_ops != 0; /* an empty array means the defaults */
    TRY(READ_ATTRS(c, m));
    TRY(read_tags(c, &m.tags, &there));
    TRY(read_policy(c, true, &m.release_policy, &m.policy_immutable));
    wire_key_create_put(out, &m);
    return HSM_OK;
}

/* The JWK goes on as it is: the numbers of a key are for the boundary's own parser. */
hsm_err body_key_import(const struct route *r, struct body_ctx *c, struct wr *out)
{
    struct wire_key_import m = {.name = r->name};
    uint32_t key;
    bool there;
    TRY(body_container(c, 0, "key", JSON_OBJECT, &key));
    if (key == JSON_NONE)
        return body_bad(c, "Property 'key' is missing.");
    m.key = json_raw(&c->doc, key);
    if (m.key.n > JWK_BYTES_MAX)
        return body_bad(c, "Property 'key' is longer than %d bytes.", JWK_BYTES_MAX);
    TRY(READ_ATTRS(c, m));
    TRY(read_tags(c, &m.tags, &there));
    TRY(read_policy(c, true, &m.release_policy, &m.policy_immutable));
    wire_key_import_put(out, &m);
    return HSM_OK;
}

/* What cannot be the text of a backup goes on as an empty one: there is one answer to everything
 * that is no backup of this HSM, and it is the boundary's. */
hsm_err body_key_restore(struct body_ctx *c, struct wr *out)
{
    struct wire_key_backup m = {0};
    struct bytes text;
    size_t n;
    uint32_t v = json_get_nn(&c->doc, 0, "value");
    if (v == JSON_NONE || json_type_of(&c->doc, v) != JSON_STRING)
        return body_bad(c, v == JSON_NONE ? "Property 'value' is missing."
                                          : "Property 'value' must be a base64url string.");
    if (json_plain(&c->doc, v, &text) == HSM_OK && text.n <= b64_encoded_max(BACKUP_BYTES_MAX)) {
        uint8_t *p = scratch_take(c->scratch, b64_decoded_max(text.n));
        if (p == NULL)
            return HSM_E_RANGE;
        if (b64u_decode(p, text, &n) == HSM_OK && n <= BACKUP_BYTES_MAX)
            m.value = bytes_of(p, n);
    }
    wire_key_backup_put(out, &m);
    return HSM_OK;
}

hsm_err body_key_update(const struct route *r, struct body_ctx *c, struct wr *out)
{
    struct wire_key_update m = {.name = r->name, .version = bytes_str(r->version)};
    uint32_t arr = JSON_NONE;
    bool there;
    TRY(read_ops(c, &m.key_ops, &arr));
    m.has_ops = arr != JSON_NONE;
    TRY(READ_ATTRS(c, m));
    TRY(read_tags(c, &m.tags, &there));
    m.has_tags = there;
    TRY(read_policy(c, false, &m.release_policy, &m.policy_immutable));
    wire_key_update_put(out, &m);
    return HSM_OK;
}

hsm_err body_crypto(const struct route *r, struct body_ctx *c, struct wr *out)
{
    struct wire_crypto m = {.name = r->name, .version = bytes_str(r->version)};
    struct bytes alg;
    TRY(body_text(c, 0, "alg", ALG_TEXT_MAX, &alg));
    if (alg.p == NULL)
        return body_bad(c, "Property 'alg' is missing.");
    m.alg = (uint8_t)crypto_alg_from_name(alg);
    if (m.alg == ALG_NONE)
        return body_bad(c, "Property 'alg' has an unknown value.");
    TRY(body_b64u(c, 0, "value", VALUE_BYTES_MAX, &m.value));
    if (m.value.p == NULL)
        return body_bad(c, "Property 'value' is missing.");
    if (r->op == OP_VERIFY) {
        TRY(body_b64u(c, 0, "digest", VALUE_BYTES_MAX, &m.digest));
        if (m.digest.p == NULL)
            return body_bad(c, "Property 'digest' is missing.");
    }
    if (r->op == OP_ENCRYPT || r->op == OP_DECRYPT || r->op == OP_WRAP || r->op == OP_UNWRAP) {
        TRY(body_b64u(c, 0, "iv", SMALL_BYTES_MAX, &m.iv));
        TRY(body_b64u(c, 0, "aad", VALUE_BYTES_MAX, &m.aad));
        TRY(body_b64u(c, 0, "tag", SMALL_BYTES_MAX, &m.tag));
        m.has = (uint8_t)((m.iv.p != NULL ? CRYPTO_HAS_IV : 0) |
                          (m.aad.p != NULL ? CRYPTO_HAS_AAD : 0) |
                          (m.tag.p != NULL ? CRYPTO_HAS_TAG : 0));
    }
    wire_crypto_put(out, &m);
    return HSM_OK;
}
