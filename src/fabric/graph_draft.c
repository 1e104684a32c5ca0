#include "fabric/graph_draft.h"

#define PASSWORD_MIN 8u
#define PASSWORD_MAX 256u
#define VALUE_MAX    8192u

enum form {
    FORM_TEXT,
    FORM_BOOL,
    FORM_TEXTS, /* an array of texts */
    FORM_ANY    /* an object or an array, kept as it is */
};
struct property {
    const char *name;
    enum form form;
    size_t max; /* bytes */
    bool required;
};

static const struct property user[] = {
    {"displayName", FORM_TEXT, GRAPH_NAME_MAX, true},
    {"userPrincipalName", FORM_TEXT, 113, true},
    {"accountEnabled", FORM_BOOL, 0, true},
    {"mailNickname", FORM_TEXT, 64, true},
    {"mail", FORM_TEXT, 113, false},
    {"givenName", FORM_TEXT, 64, false},
    {"surname", FORM_TEXT, 64, false},
    {"jobTitle", FORM_TEXT, 128, false},
    {"department", FORM_TEXT, 64, false},
    {"officeLocation", FORM_TEXT, 128, false},
    {"mobilePhone", FORM_TEXT, 64, false},
    {"preferredLanguage", FORM_TEXT, 32, false},
    {"usageLocation", FORM_TEXT, 2, false},
    {"onPremisesImmutableId", FORM_TEXT, 64, false},
    {NULL, FORM_ANY, 0, false},
};
static const struct property group[] = {
    {"displayName", FORM_TEXT, GRAPH_NAME_MAX, true},
    {"mailEnabled", FORM_BOOL, 0, true},
    {"mailNickname", FORM_TEXT, 64, true},
    {"securityEnabled", FORM_BOOL, 0, true},
    {"description", FORM_TEXT, 1024, false},
    {"groupTypes", FORM_TEXTS, 64, false},
    {NULL, FORM_ANY, 0, false},
};
static const struct property application[] = {
    {"displayName", FORM_TEXT, GRAPH_NAME_MAX, true},
    {"identifierUris", FORM_TEXTS, 255, false},
    {"isFallbackPublicClient", FORM_BOOL, 0, false},
    {"signInAudience", FORM_TEXT, 64, false},
    {"serviceManagementReference", FORM_TEXT, 64, false},
    {"notes", FORM_TEXT, 1024, false},
    {"tags", FORM_TEXTS, 256, false},
    {"api", FORM_ANY, VALUE_MAX, false},
    {"web", FORM_ANY, VALUE_MAX, false},
    {"spa", FORM_ANY, VALUE_MAX, false},
    {"publicClient", FORM_ANY, VALUE_MAX, false},
    {"appRoles", FORM_ANY, VALUE_MAX, false},
    {"optionalClaims", FORM_ANY, VALUE_MAX, false},
    {"requiredResourceAccess", FORM_ANY, VALUE_MAX, false},
    {NULL, FORM_ANY, 0, false},
};
static const struct property principal[] = {
    {"accountEnabled", FORM_BOOL, 0, false},
    {"appRoleAssignmentRequired", FORM_BOOL, 0, false},
    {"notes", FORM_TEXT, 1024, false},
    {"tags", FORM_TEXTS, 256, false},
    {NULL, FORM_ANY, 0, false},
};

static const struct property *table_of(enum people_type type)
{
    static const struct property *const tables[PEOPLE__TYPES] = {[PEOPLE_USER] = user,
                                                                 [PEOPLE_SP] = principal,
                                                                 [PEOPLE_MANAGED] = principal,
                                                                 [PEOPLE_APPLICATION] = application,
                                                                 [PEOPLE_GROUP] = group};
    return tables[type];
}

static bool is_text(const struct json_doc *d, uint32_t v, size_t max)
{
    static char text[VALUE_MAX];
    size_t n = 0;
    return json_type_of(d, v) == JSON_STRING &&
           json_string(d, v, text, sizeof text, &n) == HSM_OK && n <= max;
}

static bool fits(const struct json_doc *d, uint32_t v, const struct property *p)
{
    enum json_type t = json_type_of(d, v);
    switch (p->form) {
    case FORM_TEXT:
        return is_text(d, v, p->max);
    case FORM_BOOL:
        return t == JSON_TRUE || t == JSON_FALSE;
    case FORM_TEXTS:
        if (t != JSON_ARRAY || json_raw(d, v).n > VALUE_MAX)
            return false;
        for (uint32_t at = json_first(d, v); at != JSON_NONE; at = json_next(d, v, at)) {
            if (!is_text(d, at, p->max))
                return false;
        }
        return true;
    case FORM_ANY:
        return (t == JSON_ARRAY || t == JSON_OBJECT) && json_raw(d, v).n <= p->max;
    }
    return false;
}

hsm_err graph_body_check(enum people_type type, const struct json_doc *body, bool creates,
                         const char **ret_bad)
{
    *ret_bad = "";
    if (json_type_of(body, 0) != JSON_OBJECT)
        return HSM_E_BAD_PARAMETER;
    for (const struct property *p = table_of(type); p->name != NULL; p++) {
        uint32_t v = json_get_nn(body, 0, p->name);
        bool empty = v == JSON_NONE || (p->form == FORM_TEXT && json_raw(body, v).n == 0);
        bool clears = !creates && p->required && json_get(body, 0, p->name) != JSON_NONE && empty;
        if ((creates && p->required && empty) || clears || (v != JSON_NONE && !fits(body, v, p))) {
            *ret_bad = p->name;
            return HSM_E_BAD_PARAMETER;
        }
    }
    return HSM_OK;
}

bool graph_password_good(struct bytes password)
{
    unsigned kinds = 0;
    for (size_t i = 0; i < password.n; i++) {
        uint8_t c = password.p[i];
        if (c >= 'A' && c <= 'Z')
            kinds |= 1;
        else if (c >= 'a' && c <= 'z')
            kinds |= 2;
        else if (c >= '0' && c <= '9')
            kinds |= 4;
        else
            kinds |= 8;
    }
    return password.n >= PASSWORD_MIN && password.n <= PASSWORD_MAX &&
           __builtin_popcount(kinds) >= 3;
}

void graph_put_copy(struct json_wr *j, const struct json_doc *d, uint32_t v)
{
    struct bytes raw = json_raw(d, v);
    if (json_type_of(d, v) == JSON_STRING)
        raw = bytes_of(raw.p - 1, raw.n + 2); /* with its quotes */
    json_put_raw(j, raw);
}

static void put_raw(struct json_wr *j, const char *name, struct bytes json)
{
    json_name(j, name);
    json_put_raw(j, json);
}

/* One that the table has: from the body, or from before. null in the body takes it away. */
static void put_property(const struct graph_draft *g, const char *name, struct json_wr *j)
{
    uint32_t v = g->body == NULL ? JSON_NONE : json_get(g->body, 0, name);
    if (v != JSON_NONE) {
        if (json_type_of(g->body, v) == JSON_NULL)
            return;
        json_name(j, name);
        graph_put_copy(j, g->body, v);
        return;
    }
    v = g->old == NULL ? JSON_NONE : json_get(&g->old->d, g->old->object, name);
    if (v == JSON_NONE)
        return;
    json_name(j, name);
    graph_put_copy(j, &g->old->d, v);
}

static bool in_table(enum people_type type, struct bytes name)
{
    for (const struct property *p = table_of(type); p->name != NULL; p++) {
        if (bytes_eq_str(name, p->name))
            return true;
    }
    return bytes_eq_str(name, "passwordCredentials") || bytes_eq_str(name, "keyCredentials");
}

static bool has_credentials(enum people_type type)
{
    return type == PEOPLE_APPLICATION || type == PEOPLE_SP;
}

static void put_list(const struct graph_draft *g, const char *name, struct bytes list,
                     struct json_wr *j)
{
    uint32_t v = g->old == NULL ? JSON_NONE : json_get_nn(&g->old->d, g->old->object, name);
    json_name(j, name);
    if (list.p != NULL)
        json_put_raw(j, list);
    else if (v != JSON_NONE)
        graph_put_copy(j, &g->old->d, v);
    else
        json_put_raw(j, bytes_str("[]"));
}

static void put_object(const struct graph_draft *g, struct json_wr *j)
{
    json_name(j, "object");
    json_obj_open(j);
    if (g->head.n > 0)
        json_put_raw(j, g->head);
    const struct people_object *o = g->old;
    uint32_t at = o == NULL ? JSON_NONE : json_first(&o->d, o->object);
    for (; at != JSON_NONE; at = json_next(&o->d, o->object, at)) {
        if (in_table(g->type, json_raw(&o->d, at)))
            continue;
        json_name_bytes(j, json_raw(&o->d, at));
        graph_put_copy(j, &o->d, json_value(at));
    }
    for (const struct property *p = table_of(g->type); p->name != NULL; p++)
        put_property(g, p->name, j);
    if (has_credentials(g->type)) {
        put_list(g, "passwordCredentials", g->passwords, j);
        put_list(g, "keyCredentials", g->keys, j);
    }
    json_obj_close(j);
}

void graph_draft_write(const struct graph_draft *g, struct json_wr *j)
{
    json_obj_open(j);
    put_str(j, "type", people_type_name[g->type]);
    put_object(g, j);
    if (g->secret.p != NULL) {
        put_raw(j, "secret", g->secret);
    } else if (g->old != NULL && g->old->secret != JSON_NONE) {
        json_name(j, "secret");
        graph_put_copy(j, &g->old->d, g->old->secret);
    }
    static const char *const more[] = {"resourceId", "systemAssigned"};
    for (size_t i = 0; g->old != NULL && i < 2; i++) {
        uint32_t v = json_get(&g->old->d, 0, more[i]);
        if (v != JSON_NONE) {
            json_name(j, more[i]);
            graph_put_copy(j, &g->old->d, v);
        }
    }
    json_obj_close(j);
}
