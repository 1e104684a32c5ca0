#include "boundary/auth_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/uuid.h"
#include "codec/json.h"
#include "codec/url.h"
#include "model/foreign.h"

#define CLAIM_TOKENS 1024
#define AUDIT_MAX    8192

/* ---- parse ---- */

/* Absent is "", another type or a text that does not fit is an error. */
static hsm_err get_text(const struct json_doc *d, const char *name,
                        char dst[AUTH_CLAIM_TEXT_MAX + 1])
{
    uint32_t v = json_get(d, 0, name);
    size_t n = 0;
    if (v != JSON_NONE)
        TRY(json_string(d, v, dst, AUTH_CLAIM_TEXT_MAX, &n));
    dst[n] = 0;
    return HSM_OK;
}

static hsm_err get_time(const struct json_doc *d, const char *name, bool *ret_has, uint64_t *ret)
{
    uint32_t v = json_get(d, 0, name);
    int64_t t = 0;
    if (v != JSON_NONE)
        TRY(json_number_trunc(d, v, &t));
    *ret_has = v != JSON_NONE;
    *ret = t < 0 ? 0 : (uint64_t)t;
    return HSM_OK;
}

static hsm_err get_audience(const struct json_doc *d, struct auth_claims *c)
{
    uint32_t v = json_get(d, 0, "aud");
    if (v == JSON_NONE)
        return HSM_OK;
    if (json_type_of(d, v) != JSON_ARRAY) {
        TRY(get_text(d, "aud", c->aud[0]));
        c->aud_n = 1;
        return HSM_OK;
    }
    for (uint32_t e = json_first(d, v); e != JSON_NONE; e = json_next(d, v, e)) {
        size_t n;
        if (c->aud_n == AUTH_CLAIM_AUD_MAX)
            return HSM_E_RANGE;
        TRY(json_string(d, e, c->aud[c->aud_n], AUTH_CLAIM_TEXT_MAX, &n));
        c->aud[c->aud_n][n] = 0;
        c->aud_n++;
    }
    return HSM_OK;
}

/* Groups are matched by object id only: other texts (names) and what is beyond the limit do not
 * count. */
static hsm_err get_groups(const struct json_doc *d, struct auth_claims *c)
{
    uint32_t v = json_get_nn(d, 0, "groups");
    if (v == JSON_NONE)
        return HSM_OK;
    if (json_type_of(d, v) != JSON_ARRAY)
        return HSM_E_MALFORMED;
    for (uint32_t e = json_first(d, v); e != JSON_NONE; e = json_next(d, v, e)) {
        struct bytes text;
        struct uuid guid;
        if (json_type_of(d, e) != JSON_STRING)
            return HSM_E_MALFORMED;
        if (c->group_n < AUTH_GROUPS_MAX && json_plain(d, e, &text) == HSM_OK &&
            uuid_parse(text, &guid) == HSM_OK)
            uuid_format(&guid, c->groups[c->group_n++]);
    }
    return HSM_OK;
}

static hsm_err get_all(const struct json_doc *d, struct auth_claims *c)
{
    char idtyp[AUTH_CLAIM_TEXT_MAX + 1];
    if (json_type_of(d, 0) != JSON_OBJECT)
        return HSM_E_MALFORMED;
    TRY(get_text(d, "iss", c->iss));
    TRY(get_audience(d, c));
    TRY(get_time(d, "nbf", &c->has_nbf, &c->nbf));
    TRY(get_time(d, "exp", &c->has_exp, &c->exp));
    TRY(get_text(d, "tid", c->tid));
    TRY(get_text(d, "oid", c->oid));
    TRY(get_text(d, "sub", c->sub));
    TRY(get_text(d, "appid", c->appid));
    if (c->appid[0] == 0)
        TRY(get_text(d, "azp", c->appid));
    TRY(get_text(d, "upn", c->upn));
    TRY(get_text(d, "idtyp", idtyp));
    c->is_app = strcmp(idtyp, "app") == 0;
    return get_groups(d, c);
}

hsm_err auth_claims_parse(struct bytes payload, struct auth_claims *ret)
{
    struct json_tok toks[CLAIM_TOKENS];
    struct json_doc d;
    if (json_parse(payload, toks, CLAIM_TOKENS, &d) != HSM_OK)
        return HSM_E_TOKEN_MALFORMED;
    memset(ret, 0, sizeof *ret);
    return get_all(&d, ret) == HSM_OK ? HSM_OK : HSM_E_TOKEN_MALFORMED;
}

/* ---- judge ---- */

void auth_shown(char dst[AUTH_SHOWN_MAX + 4], const char *text)
{
    size_t n = 0;
    while (n < AUTH_SHOWN_MAX && text[n] != 0) {
        char c = text[n];
        bool plain = c >= 0x20 && c < 0x7f && strchr("\"'\\`<>", c) == NULL;
        dst[n++] = plain ? c : '?';
    }
    memcpy(dst + n, text[n] != 0 ? "..." : "", text[n] != 0 ? 4 : 1);
}

/* Its object ids, if it has any, say nothing about ours: nobody else may name one of them. */
static bool has_own_subjects(const struct auth_issuer *by)
{
    return by->is_external && by->tenant[0] == 0;
}

/* "https://HOST[:port][/]"; the scheme and the host in any case. */
static bool is_audience(const struct auth_config *conf, const char *aud)
{
    static const char scheme[] = "https://";
    struct bytes b = bytes_str(aud);
    size_t n = sizeof scheme - 1;
    if (b.n <= n || !bytes_ieq(bytes_of(b.p, n), bytes_str(scheme)))
        return false;
    b = bytes_of(b.p + n, b.n - n);
    if (b.p[b.n - 1] == '/')
        b.n--;
    char host[256];
    uint16_t port;
    if (host_parse(b, host, &port) != HSM_OK)
        return false;
    for (unsigned i = 0; i < conf->audience_n; i++) {
        if (strcmp(host, conf->audience_host[i]) == 0)
            return true;
    }
    return false;
}

static hsm_err check_audience(const struct auth_claims *c, const struct auth_config *conf,
                              const struct auth_issuer *by, char *detail, size_t cap)
{
    for (unsigned i = 0; i < c->aud_n; i++) {
        if (by->is_external ? strcmp(c->aud[i], by->audience) == 0 : is_audience(conf, c->aud[i]))
            return HSM_OK;
    }
    char shown[AUTH_SHOWN_MAX + 4];
    auth_shown(shown, c->aud_n > 0 ? c->aud[0] : "");
    snprintf(detail, cap, "Found token with aud=%s", shown);
    return HSM_E_TOKEN_AUDIENCE;
}

static hsm_err check_times(const struct auth_claims *c, uint64_t now_s, char *detail, size_t cap)
{
    hsm_err err = HSM_OK;
    if (c->has_nbf && c->nbf > now_s + AUTH_CLOCK_SKEW_S)
        err = HSM_E_TOKEN_NOT_YET;
    else if (!c->has_exp || now_s >= c->exp + AUTH_CLOCK_SKEW_S)
        err = HSM_E_TOKEN_EXPIRED;
    if (err != HSM_OK)
        snprintf(detail, cap, "%s", hsm_err_text(err));
    return err;
}

static hsm_err check_tenant(const struct auth_claims *c, const char *tenant, char *detail,
                            size_t cap)
{
    if (bytes_ieq(bytes_str(c->tid), bytes_str(tenant)))
        return HSM_OK;
    char shown[AUTH_SHOWN_MAX + 4];
    auth_shown(shown, c->tid);
    snprintf(detail, cap, "Invalid tenant. Expected tid=%s, found tid=%s", tenant, shown);
    return HSM_E_TOKEN_ISSUER;
}

hsm_err auth_claims_check(const struct auth_claims *c, const struct auth_config *conf,
                          const struct auth_issuer *by, uint64_t now_s, char *detail, size_t cap)
{
    struct uuid oid;
    TRY(check_audience(c, conf, by, detail, cap));
    TRY(check_times(c, now_s, detail, cap));
    if (has_own_subjects(by)) {
        if (c->sub[0] != 0)
            return HSM_OK;
        snprintf(detail, cap, "The token has no sub claim");
        return HSM_E_TOKEN_MALFORMED;
    }
    TRY(check_tenant(c, by->is_external ? by->tenant : conf->tenant, detail, cap));
    if (uuid_parse(bytes_str(c->oid), &oid) != HSM_OK) {
        snprintf(detail, cap, "The token has no oid claim with an object id");
        return HSM_E_TOKEN_MALFORMED;
    }
    return HSM_OK;
}

/* ---- identity ---- */

static void put_claims(struct json_wr *j, const char *space, const char *name, const char *value)
{
    json_name(j, space);
    json_obj_open(j);
    json_name(j, "claims");
    json_obj_open(j);
    json_name(j, name);
    json_put_str(j, value);
    json_obj_close(j);
    json_obj_close(j);
}

/* Member names are those of the service's audit records. */
static hsm_err audit_text(const struct auth_claims *c, const struct auth_issuer *by,
                          const char *oid, char **ret)
{
    char buf[AUDIT_MAX];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    json_name(&j, "claim");
    json_obj_open(&j);
    if (c->appid[0] != 0) {
        json_name(&j, "appid");
        json_put_str(&j, c->appid);
    }
    if (by->is_external) {
        json_name(&j, "iss");
        json_put_str(&j, c->iss);
        json_name(&j, "sub");
        json_put_str(&j, c->sub);
    }
    put_claims(&j, "http_schemas_microsoft_com_identity", "objectidentifier", oid);
    if (c->upn[0] != 0)
        put_claims(&j, "http_schemas_xmlsoap_org_ws_2005_05_identity", "upn", c->upn);
    json_obj_close(&j);
    json_obj_close(&j);
    TRY(wr_ok(&w));
    /* Escaped once here, not in every line; JSON text has nothing that grows more than two-fold. */
    size_t cap = 2 * w.n + 3;
    char *quoted = malloc(cap);
    if (quoted == NULL)
        return HSM_E_NOMEM;
    struct wr q = wr_of(quoted, cap - 1);
    struct json_wr qj = json_wr_of(&q);
    json_put_bytes(&qj, wr_view(&w));
    HSM_ASSERT(wr_ok(&q) == HSM_OK);
    quoted[q.n] = 0;
    *ret = quoted;
    return HSM_OK;
}

static hsm_err principal_of(const struct auth_claims *c, const struct auth_issuer *by,
                            char ret[UUID_TEXT_LEN + 1])
{
    struct uuid oid;
    if (has_own_subjects(by))
        return foreign_principal(bytes_str(c->iss), bytes_str(c->sub), ret);
    TRY(uuid_parse(bytes_str(c->oid), &oid));
    uuid_format(&oid, ret);
    return HSM_OK;
}

hsm_err auth_identity_new(const struct auth_claims *c, const struct auth_issuer *by,
                          struct identity **ret)
{
    char oid[UUID_TEXT_LEN + 1];
    unsigned group_n = has_own_subjects(by) ? 0 : c->group_n;
    TRY(principal_of(c, by, oid));
    struct identity *i = calloc(1, sizeof *i);
    if (i == NULL)
        return HSM_E_NOMEM;
    atomic_init(&i->refs, 1);
    memcpy(i->oid, oid, sizeof oid);
    i->is_app = c->is_app;
    i->exp = c->exp;
    hsm_err err = audit_text(c, by, i->oid, &i->audit_string);
    if (err == HSM_OK && group_n > 0) {
        i->groups = malloc(group_n * sizeof c->groups[0]);
        if (i->groups == NULL)
            err = HSM_E_NOMEM;
    }
    if (err != HSM_OK) {
        identity_unref(i);
        return err;
    }
    if (group_n > 0)
        memcpy(i->groups, c->groups, group_n * sizeof c->groups[0]);
    i->group_n = group_n;
    *ret = i;
    return HSM_OK;
}

void identity_unref(struct identity *i)
{
    if (i == NULL || atomic_fetch_sub_explicit(&i->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(i->groups);
    free(i->audit_string);
    free(i);
}
