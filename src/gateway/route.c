#include "gateway/route.h"

#include <stdio.h>
#include "model/alg.h"

#define BODY_MAX_DEFAULT (64u << 10)
#define BODY_MAX_LARGE   (256u << 10)
#define BODY_MAX_RESTORE (1200u << 10) /* base64url of the largest backup of a key */

/* Path templates. Segments: literal, {n} key name, {v} version, {g} role guid, {s} setting,
 * * anything. */
struct entry {
    enum http1_method method;
    uint8_t op;
    const char *path;
    const char *what; /* OP_UNIMPLEMENTED */
};

#define CRYPTO(path, op)                                                                           \
    {HTTP1_POST, op, "keys/{n}/" path, NULL},                                                      \
    {                                                                                              \
        HTTP1_POST, op, "keys/{n}/{v}/" path, NULL                                                 \
    }
#define MISSING(method, path, what)                                                                \
    {                                                                                              \
        method, OP_UNIMPLEMENTED, path, what                                                       \
    }
#define AUTH_PATH "providers/microsoft.authorization/"
#define ROLES(scope)                                                                               \
    {HTTP1_GET, OP_ROLE_DEFINITION_LIST, scope AUTH_PATH "roledefinitions", NULL},                 \
        {HTTP1_GET, OP_ROLE_DEFINITION_GET, scope AUTH_PATH "roledefinitions/{g}", NULL},          \
        {HTTP1_PUT, OP_ROLE_DEFINITION_PUT, scope AUTH_PATH "roledefinitions/{g}", NULL},          \
        {HTTP1_DELETE, OP_ROLE_DEFINITION_DELETE, scope AUTH_PATH "roledefinitions/{g}", NULL},    \
        {HTTP1_GET, OP_ROLE_ASSIGNMENT_LIST, scope AUTH_PATH "roleassignments", NULL},             \
        {HTTP1_GET, OP_ROLE_ASSIGNMENT_GET, scope AUTH_PATH "roleassignments/{g}", NULL},          \
        {HTTP1_PUT, OP_ROLE_ASSIGNMENT_PUT, scope AUTH_PATH "roleassignments/{g}", NULL},          \
    {                                                                                              \
        HTTP1_DELETE, OP_ROLE_ASSIGNMENT_DELETE, scope AUTH_PATH "roleassignments/{g}", NULL       \
    }

static const struct entry table[] = {
    CRYPTO("wrapkey", OP_WRAP),
    CRYPTO("unwrapkey", OP_UNWRAP),
    CRYPTO("sign", OP_SIGN),
    CRYPTO("verify", OP_VERIFY),
    CRYPTO("encrypt", OP_ENCRYPT),
    CRYPTO("decrypt", OP_DECRYPT),
    {HTTP1_GET, OP_KEY_GET, "keys/{n}", NULL},
    {HTTP1_GET, OP_KEY_GET, "keys/{n}/{v}", NULL},
    {HTTP1_POST, OP_KEY_CREATE, "keys/{n}/create", NULL},
    {HTTP1_PUT, OP_KEY_IMPORT, "keys/{n}", NULL},
    {HTTP1_PATCH, OP_KEY_UPDATE, "keys/{n}", NULL},
    {HTTP1_PATCH, OP_KEY_UPDATE, "keys/{n}/{v}", NULL},
    {HTTP1_DELETE, OP_KEY_DELETE, "keys/{n}", NULL},
    {HTTP1_POST, OP_KEY_BACKUP, "keys/{n}/backup", NULL},
    {HTTP1_POST, OP_KEY_RESTORE, "keys/restore", NULL},
    {HTTP1_GET, OP_KEY_LIST, "keys", NULL},
    {HTTP1_GET, OP_KEY_VERSIONS, "keys/{n}/versions", NULL},
    {HTTP1_GET, OP_DELETED_LIST, "deletedkeys", NULL},
    {HTTP1_GET, OP_DELETED_GET, "deletedkeys/{n}", NULL},
    {HTTP1_DELETE, OP_KEY_PURGE, "deletedkeys/{n}", NULL},
    {HTTP1_POST, OP_KEY_RECOVER, "deletedkeys/{n}/recover", NULL},
    ROLES(""),
    ROLES("keys/"),
    ROLES("keys/{n}/"),
    {HTTP1_POST, OP_SD_DOWNLOAD, "securitydomain/download", NULL},
    {HTTP1_GET, OP_SD_DOWNLOAD_STATUS, "securitydomain/download/pending", NULL},
    {HTTP1_GET, OP_SD_UPLOAD_STATUS, "securitydomain/upload/pending", NULL},
    {HTTP1_POST, OP_KEY_ROTATE, "keys/{n}/rotate", NULL},
    {HTTP1_GET, OP_ROTATION_GET, "keys/{n}/rotationpolicy", NULL},
    {HTTP1_PUT, OP_ROTATION_PUT, "keys/{n}/rotationpolicy", NULL},
    {HTTP1_POST, OP_RNG, "rng", NULL},
    {HTTP1_GET, OP_SETTING_LIST, "settings", NULL},
    {HTTP1_GET, OP_SETTING_GET, "settings/{s}", NULL},
    {HTTP1_PATCH, OP_SETTING_UPDATE, "settings/{s}", NULL},
    MISSING(HTTP1_POST, "keys/{n}/release", "Release key"),
    MISSING(HTTP1_POST, "keys/{n}/{v}/release", "Release key"),
    MISSING(HTTP1_GET, "keys/{n}/attestation", "Get key attestation"),
    MISSING(HTTP1_GET, "keys/{n}/{v}/attestation", "Get key attestation"),
    MISSING(HTTP1_POST, "keys/{n}/{v}/securewrapkey", "Secure wrap key"),
    MISSING(HTTP1_POST, "keys/{n}/securewrapkey", "Secure wrap key"),
    MISSING(HTTP1_POST, "keys/{n}/{v}/secureunwrapkey", "Secure unwrap key"),
    MISSING(HTTP1_POST, "keys/{n}/secureunwrapkey", "Secure unwrap key"),
    MISSING(HTTP1_PUT, "keys/{n}/restore", "Selective key restore"),
    MISSING(HTTP1_POST, "backup", "Full backup"),
    MISSING(HTTP1_GET, "backup/*/pending", "Full backup status"),
    MISSING(HTTP1_POST, "prebackup", "Pre-backup check"),
    MISSING(HTTP1_PUT, "restore", "Full restore"),
    MISSING(HTTP1_GET, "restore/*/pending", "Full restore status"),
    MISSING(HTTP1_PUT, "prerestore", "Pre-restore check"),
    MISSING(HTTP1_GET, "securitydomain/upload", "Security domain transfer key"),
    MISSING(HTTP1_POST, "securitydomain/upload", "Security domain upload"),
    MISSING(HTTP1_GET, "ekm", "Get EKM connection"),
    MISSING(HTTP1_PATCH, "ekm", "Update EKM connection"),
    MISSING(HTTP1_DELETE, "ekm", "Delete EKM connection"),
    MISSING(HTTP1_POST, "ekm/create", "Create EKM connection"),
    MISSING(HTTP1_GET, "ekm/certificate", "Get EKM certificate"),
    MISSING(HTTP1_POST, "ekm/check", "Check EKM connection"),
    MISSING(HTTP1_GET, "ekm/privateendpoint", "List EKM private endpoints"),
    MISSING(HTTP1_GET, "ekm/privateendpoint/*", "Get EKM private endpoint"),
    MISSING(HTTP1_POST, "ekm/privateendpoint/*", "Create EKM private endpoint"),
    MISSING(HTTP1_DELETE, "ekm/privateendpoint/*", "Delete EKM private endpoint"),
    MISSING(HTTP1_GET, "ekm/privateendpoint/operations/*", "EKM private endpoint operation"),
};

enum match {
    MATCH_NO,
    MATCH_BAD_ID,
    MATCH_YES
};

static bool is_version(struct bytes s)
{
    uint8_t raw[16];
    return s.n == 32 && hex_decode(raw, sizeof raw, s) == HSM_OK;
}

static size_t segment_len(const char *tpl)
{
    size_t n = 0;
    while (tpl[n] != '/' && tpl[n] != '\0')
        n++;
    return n;
}

static bool is_place(const char *tpl, size_t n)
{
    return (n == 1 && tpl[0] == '*') || (n == 3 && tpl[0] == '{');
}

static enum match match_place(char place, struct bytes seg)
{
    if (place == 'n')
        return key_name_valid(seg) ? MATCH_YES : MATCH_BAD_ID;
    if (place == 'v')
        return is_version(seg) ? MATCH_YES : MATCH_BAD_ID;
    return MATCH_YES;
}

/* Number and literal segments alone: nearly all entries end here. */
static bool match_shape(const char *tpl, const struct url_target *t)
{
    for (size_t i = 0; i < t->seg_n; i++) {
        if (*tpl == '\0')
            return false;
        size_t n = segment_len(tpl);
        if (!is_place(tpl, n) && (n != t->seg[i].n || !bytes_ieq(bytes_of(tpl, n), t->seg[i])))
            return false;
        tpl += n + (tpl[n] == '/');
    }
    return *tpl == '\0';
}

static enum match match_path(const char *tpl, const struct url_target *t)
{
    enum match worst = MATCH_YES;
    if (!match_shape(tpl, t))
        return MATCH_NO;
    for (size_t i = 0; i < t->seg_n; i++) {
        size_t n = segment_len(tpl);
        enum match m = is_place(tpl, n) && n == 3 ? match_place(tpl[1], t->seg[i]) : MATCH_YES;
        if (m < worst)
            worst = m;
        tpl += n + (tpl[n] == '/');
    }
    return worst;
}

/* Does another method have this path? */
static bool known_path(enum http1_method method, const struct url_target *t)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].method != method && match_path(table[i].path, t) == MATCH_YES)
            return true;
    }
    return false;
}

/* The best entry: exact, else another method's path, else a bad identifier, else none. */
static hsm_err find(enum http1_method method, const struct url_target *t, const struct entry **ret)
{
    const struct entry *bad = NULL;
    *ret = NULL;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].method != method)
            continue;
        enum match m = match_path(table[i].path, t);
        if (m == MATCH_YES) {
            *ret = &table[i];
            return HSM_OK;
        }
        if (m == MATCH_BAD_ID && bad == NULL)
            bad = &table[i];
    }
    if (known_path(method, t))
        return HSM_E_METHOD;
    *ret = bad;
    return bad != NULL ? HSM_E_INVALID_KEY_ID : HSM_E_NOT_FOUND;
}

static void set_version(struct route *r, struct bytes s)
{
    for (size_t i = 0; i < 32; i++) {
        uint8_t c = s.p[i];
        r->version[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
}

/* Fill in what the template's places matched, and the scope of role paths. */
static void take_places(struct route *r, const char *tpl, const struct url_target *t)
{
    bool is_role = strstr(tpl, AUTH_PATH) != NULL;
    for (size_t i = 0; i < t->seg_n; i++) {
        size_t n = segment_len(tpl);
        if (n == 3 && tpl[0] == '{') {
            if (tpl[1] == 'n')
                r->name = t->seg[i];
            else if (tpl[1] == 'v')
                set_version(r, t->seg[i]);
            else if (tpl[1] == 's')
                r->setting = t->seg[i];
            else
                r->guid = t->seg[i];
        } else if (is_role && i == 0) {
            (void)snprintf(r->scope, sizeof r->scope, n == 4 ? "/keys" : "/");
        }
        tpl += n + (tpl[n] == '/');
    }
    if (is_role && r->name.n > 0)
        (void)snprintf(r->scope, sizeof r->scope, "/keys/%.*s", (int)r->name.n,
                       (const char *)r->name.p);
}

static bool is_digits(struct bytes s, size_t at, size_t n)
{
    for (size_t i = at; i < at + n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return true;
}

/* YYYY-MM-DD[-preview], as the service names its versions since 2025. */
static bool is_date_version(struct bytes v)
{
    if (v.n != 10 && v.n != 18)
        return false;
    if (!is_digits(v, 0, 4) || v.p[4] != '-' || !is_digits(v, 5, 2) || v.p[7] != '-' ||
        !is_digits(v, 8, 2))
        return false;
    if (v.n == 18 && !bytes_ieq(bytes_of(v.p + 10, 8), bytes_str("-preview")))
        return false;
    return memcmp(v.p, "2025-06-01", 10) >= 0;
}

static bool api_version_known(struct bytes v)
{
    static const char *const known[] = {
        "7.6",           "7.5",         "7.4",           "7.3",           "7.2",
        "7.1",           "7.0",         "7.6-preview.2", "7.6-preview.1", "7.5-preview.1",
        "7.4-preview.1", "7.3-preview", "7.2-preview"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (bytes_ieq(v, bytes_str(known[i])))
            return true;
    }
    return is_date_version(v);
}

/* Poll addresses are called exactly as the 202 answer gave them; one client also leaves the version
 * out when it uploads a security domain. */
static bool api_version_optional(const char *tpl)
{
    size_t n = strlen(tpl);
    return (n > 8 && strcmp(tpl + n - 8, "/pending") == 0) ||
           strcmp(tpl, "securitydomain/upload") == 0;
}

static hsm_err take_api_version(struct route *r, const char *tpl, const struct url_target *t,
                                char *detail)
{
    struct bytes v = url_param_get(t, "api-version");
    if (v.p == NULL || v.n == 0) {
        if (api_version_optional(tpl))
            return HSM_OK;
        (void)snprintf(detail, ROUTE_DETAIL_MAX, "Query parameter api-version is missing.");
        return HSM_E_BAD_PARAMETER;
    }
    if (v.n > ROUTE_API_VERSION_MAX)
        v.n = ROUTE_API_VERSION_MAX;
    if (!api_version_known(v)) {
        (void)snprintf(detail, ROUTE_DETAIL_MAX, "The api-version '%.*s' is not supported.",
                       (int)v.n, (const char *)v.p);
        return HSM_E_BAD_PARAMETER;
    }
    r->api_version = v;
    return HSM_OK;
}

static hsm_err take_page(struct route *r, const struct url_target *t, char *detail)
{
    r->max = ROUTE_PAGE_MAX;
    struct bytes m = url_param_get(t, "maxresults");
    if (m.p != NULL && m.n > 0) {
        unsigned v = 0;
        if (m.n <= 2 && is_digits(m, 0, m.n)) {
            for (size_t i = 0; i < m.n; i++)
                v = v * 10 + (m.p[i] - '0');
        }
        if (v < 1 || v > ROUTE_PAGE_MAX) {
            (void)snprintf(detail, ROUTE_DETAIL_MAX,
                           "Query parameter maxresults must be between 1 and 25.");
            return HSM_E_BAD_PARAMETER;
        }
        r->max = (uint16_t)v;
    }
    r->skip = url_param_get(t, "$skiptoken");
    if (r->skip.n > ROUTE_SKIP_MAX) {
        (void)snprintf(detail, ROUTE_DETAIL_MAX, "Query parameter $skiptoken is invalid.");
        return HSM_E_BAD_PARAMETER;
    }
    return HSM_OK;
}

static struct bytes trim(struct bytes b)
{
    while (b.n > 0 && b.p[0] == ' ') {
        b.p++;
        b.n--;
    }
    while (b.n > 0 && b.p[b.n - 1] == ' ')
        b.n--;
    return b;
}

static hsm_err take_filter(struct route *r, const struct url_target *t, char *detail)
{
    static const char eq[] = "principalid eq ";
    const size_t eq_n = sizeof eq - 1;
    struct bytes f = trim(url_param_get(t, "$filter"));
    if (f.n == 0 || bytes_ieq(f, bytes_str("atScopeAndBelow()")))
        return HSM_OK;
    if (bytes_ieq(f, bytes_str("atScope()"))) {
        r->filter = ROLE_FILTER_AT_SCOPE;
        return HSM_OK;
    }
    bool is_principal = f.n > eq_n && bytes_ieq(bytes_of(f.p, eq_n), bytes_of(eq, eq_n));
    if (is_principal && r->op == OP_ROLE_ASSIGNMENT_LIST) {
        struct bytes v = trim(bytes_of(f.p + eq_n, f.n - eq_n));
        if (v.n >= 2 && v.p[0] == '\'' && v.p[v.n - 1] == '\'')
            v = bytes_of(v.p + 1, v.n - 2);
        struct uuid id;
        if (uuid_parse(v, &id) == HSM_OK) {
            r->filter = ROLE_FILTER_PRINCIPAL;
            r->principal = v;
            return HSM_OK;
        }
    }
    (void)snprintf(detail, ROUTE_DETAIL_MAX, "Query parameter $filter is not supported.");
    return HSM_E_BAD_PARAMETER;
}

static hsm_err take_query(struct route *r, const char *tpl, const struct url_target *t,
                          char *detail)
{
    TRY(take_api_version(r, tpl, t, detail));
    if (r->guid.n > ROUTE_GUID_MAX) {
        (void)snprintf(detail, ROUTE_DETAIL_MAX, "The role name in the path must be a GUID.");
        return HSM_E_BAD_PARAMETER;
    }
    if (r->setting.n > ROUTE_NAME_MAX)
        return HSM_E_NOT_FOUND;
    if (r->op == OP_KEY_LIST || r->op == OP_KEY_VERSIONS || r->op == OP_DELETED_LIST)
        return take_page(r, t, detail);
    if (r->op == OP_ROLE_DEFINITION_LIST || r->op == OP_ROLE_ASSIGNMENT_LIST)
        return take_filter(r, t, detail);
    return HSM_OK;
}

hsm_err route_parse(enum http1_method method, const struct url_target *t, struct route *ret,
                    char detail[ROUTE_DETAIL_MAX])
{
    struct route r = {0};
    const struct entry *e = NULL;
    detail[0] = '\0';
    hsm_err err = find(method, t, &e);
    if (e != NULL) {
        r.op = e->op;
        r.what = e->what;
    }
    if (err == HSM_OK && e != NULL) {
        take_places(&r, e->path, t);
        err = take_query(&r, e->path, t, detail);
    }
    *ret = r;
    return err;
}

size_t route_body_limit(struct bytes target)
{
    static const struct {
        const char *end;
        size_t max;
    } larger[] = {{"/encrypt", BODY_MAX_LARGE},
                  {"/decrypt", BODY_MAX_LARGE},
                  {"/wrapkey", BODY_MAX_LARGE},
                  {"/unwrapkey", BODY_MAX_LARGE},
                  {"/securitydomain/download", BODY_MAX_LARGE},
                  {"/securitydomain/upload", BODY_MAX_LARGE},
                  {"/keys/restore", BODY_MAX_RESTORE},
                  {"/keys//restore", BODY_MAX_RESTORE}};
    const uint8_t *mark = target.n > 0 ? memchr(target.p, '?', target.n) : NULL;
    size_t n = mark != NULL ? (size_t)(mark - target.p) : target.n;
    while (n > 1 && target.p[n - 1] == '/')
        n--;
    for (size_t i = 0; i < sizeof larger / sizeof larger[0]; i++) {
        size_t k = strlen(larger[i].end);
        if (n >= k && bytes_ieq(bytes_of(target.p + n - k, k), bytes_str(larger[i].end)))
            return larger[i].max;
    }
    return BODY_MAX_DEFAULT;
}
