#include "model/release_policy.h"

#define NAME       "Key Release Policy: "
#define TEXT_MAX   2048 /* bytes of an authority, a claim's name or a value */
#define NUMBER_MAX 64

struct policy {
    const struct json_doc *d;
    struct json_wr j;
    const char *why;
};

static hsm_err refuse(struct policy *p, const char *why)
{
    p->why = why;
    return HSM_E_BAD_PARAMETER;
}

static uint32_t members(const struct policy *p, uint32_t obj)
{
    return json_type_of(p->d, obj) == JSON_OBJECT ? json_count(p->d, obj) : 0;
}

/* A string member, unescaped; its text may hold anything but NUL. */
static hsm_err text_of(struct policy *p, uint32_t v, char buf[TEXT_MAX], struct bytes *ret)
{
    size_t n;
    if (json_string(p->d, v, buf, TEXT_MAX, &n) != HSM_OK)
        return HSM_E_BAD_PARAMETER;
    *ret = bytes_of(buf, n);
    return HSM_OK;
}

/* ---- conditions ------------------------------------------------------------------------------ */
/* Names separated by dots, none of them empty. */
static bool is_path(struct bytes s)
{
    bool empty = true;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.' && empty)
            return false;
        empty = s.p[i] == '.';
    }
    return !empty;
}

static hsm_err put_value(struct policy *p, uint32_t v)
{
    char buf[TEXT_MAX];
    struct bytes s;
    switch (json_type_of(p->d, v)) {
    case JSON_STRING:
        if (text_of(p, v, buf, &s) != HSM_OK)
            return refuse(p, NAME "value of 'equals' is too long or malformed");
        json_put_bytes(&p->j, s);
        return HSM_OK;
    case JSON_NUMBER:
        if (json_raw(p->d, v).n > NUMBER_MAX)
            return refuse(p, NAME "value of 'equals' is too long or malformed");
        json_put_raw(&p->j, json_raw(p->d, v));
        return HSM_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        json_put_bool(&p->j, json_type_of(p->d, v) == JSON_TRUE);
        return HSM_OK;
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return refuse(p, NAME "value of 'equals' must be a string, a number, true or false");
}

static hsm_err put_claim(struct policy *p, uint32_t obj)
{
    char buf[TEXT_MAX];
    struct bytes claim;
    uint32_t value = json_get(p->d, obj, "equals");
    if (text_of(p, json_get(p->d, obj, "claim"), buf, &claim) != HSM_OK || !is_path(claim))
        return refuse(p, NAME "'claim' must be a name, or names separated by dots");
    if (value == JSON_NONE || members(p, obj) != 2)
        return refuse(p, NAME "a claim needs 'equals', and no other operator is supported");
    json_obj_open(&p->j);
    json_name(&p->j, "claim");
    json_put_bytes(&p->j, claim);
    json_name(&p->j, "equals");
    TRY(put_value(p, value));
    json_obj_close(&p->j);
    return HSM_OK;
}

static hsm_err put_condition(struct policy *p, uint32_t v);

/* The one selector of an object that may have `others` members besides. Recursion ends where the
 * document's depth does. */
static hsm_err put_selector(struct policy *p, uint32_t obj, uint32_t others)
{
    uint32_t any = json_get(p->d, obj, "anyOf");
    uint32_t all = json_get(p->d, obj, "allOf");
    uint32_t list = any != JSON_NONE ? any : all;
    if ((any == JSON_NONE) == (all == JSON_NONE) || members(p, obj) != 1 + others)
        return refuse(p, NAME "there must be exactly one of 'anyOf' and 'allOf', and nothing else");
    if (json_type_of(p->d, list) != JSON_ARRAY || json_count(p->d, list) == 0)
        return refuse(p, NAME "'anyOf' and 'allOf' must be arrays that are not empty");
    json_name(&p->j, any != JSON_NONE ? "anyOf" : "allOf");
    json_arr_open(&p->j);
    for (uint32_t at = json_first(p->d, list); at != JSON_NONE; at = json_next(p->d, list, at))
        TRY(put_condition(p, at));
    json_arr_close(&p->j);
    return HSM_OK;
}

static hsm_err put_condition(struct policy *p, uint32_t v)
{
    if (json_type_of(p->d, v) != JSON_OBJECT)
        return refuse(p, NAME "a condition must be an object");
    if (json_get(p->d, v, "claim") != JSON_NONE)
        return put_claim(p, v);
    json_obj_open(&p->j);
    TRY(put_selector(p, v, 0));
    json_obj_close(&p->j);
    return HSM_OK;
}

/* ---- authorities ----------------------------------------------------------------------------- */
static bool is_https(struct bytes s)
{
    static const char scheme[] = "https://";
    size_t n = sizeof scheme - 1;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
            return false;
    return s.n > n && memcmp(s.p, scheme, n) == 0 && s.p[n] != '/';
}

static hsm_err put_authority(struct policy *p, uint32_t v)
{
    char buf[TEXT_MAX];
    struct bytes url;
    if (json_type_of(p->d, v) != JSON_OBJECT)
        return refuse(p, NAME "an authority must be an object");
    if (text_of(p, json_get(p->d, v, "authority"), buf, &url) != HSM_OK || !is_https(url))
        return refuse(p, NAME "'authority' must be an https URL");
    json_obj_open(&p->j);
    TRY(put_selector(p, v, 1)); /* sorts before the authority in either form */
    json_name(&p->j, "authority");
    json_put_bytes(&p->j, url);
    json_obj_close(&p->j);
    return HSM_OK;
}

static hsm_err put_authorities(struct policy *p, uint32_t list)
{
    if (list == JSON_NONE || json_type_of(p->d, list) != JSON_ARRAY || json_count(p->d, list) == 0)
        return refuse(p, NAME "'anyOf' must be an array of authorities that is not empty");
    json_name(&p->j, "anyOf");
    json_arr_open(&p->j);
    for (uint32_t at = json_first(p->d, list); at != JSON_NONE; at = json_next(p->d, list, at))
        TRY(put_authority(p, at));
    json_arr_close(&p->j);
    return HSM_OK;
}

static bool version_is_known(struct bytes v)
{
    return bytes_eq_str(v, "1.0.0") || bytes_eq_str(v, "1.0") || bytes_eq_str(v, "0.2");
}

static hsm_err put_policy(struct policy *p)
{
    uint32_t v = json_get(p->d, 0, "version");
    struct bytes version;
    if (json_type_of(p->d, 0) != JSON_OBJECT)
        return refuse(p, NAME "it is not a valid JSON object");
    if (v == JSON_NONE)
        return refuse(p, NAME "missing 'version' property");
    if (json_plain(p->d, v, &version) != HSM_OK || !version_is_known(version))
        return refuse(p, NAME "unsupported 'version' property");
    json_obj_open(&p->j);
    TRY(put_authorities(p, json_get(p->d, 0, "anyOf")));
    if (members(p, 0) != 2)
        return refuse(p, NAME "it has more properties than 'version' and 'anyOf'");
    json_name(&p->j, "version");
    json_put_bytes(&p->j, version);
    json_obj_close(&p->j);
    return HSM_OK;
}

hsm_err release_policy_canonical(struct bytes text, struct json_tok *toks, struct wr *out,
                                 const char **why)
{
    struct json_doc d;
    struct policy p = {.d = &d, .j = json_wr_of(out)};
    hsm_err err = text.n > RELEASE_POLICY_MAX ? HSM_E_RANGE
                                              : json_parse(text, toks, RELEASE_POLICY_TOKENS, &d);
    if (err == HSM_E_RANGE)
        err = refuse(&p, NAME "it is too large");
    else if (err != HSM_OK)
        err = refuse(&p, NAME "it is not a valid JSON object");
    else
        err = put_policy(&p);
    if (err == HSM_E_BAD_PARAMETER)
        *why = p.why;
    return err == HSM_OK ? wr_ok(out) : err;
}
