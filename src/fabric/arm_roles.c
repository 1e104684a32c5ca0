/* SCOPE/providers/Microsoft.Authorization/roleAssignments and roleDefinitions. An assignment is a
 * document of STATE_ARM_ROLE in the form that clients see. */
#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/arm_rights.h"
#include "fabric/arm_roles.h"
#include "fabric/people.h"

#define SPACE       "/providers/Microsoft.Authorization/"
#define ASSIGNMENTS SPACE "roleAssignments"
#define DEFINITIONS SPACE "roleDefinitions"
#define RIGHT       "Microsoft.Authorization/"
#define ROLE_TOKENS 256

/* ---- definitions ---- */

static void put_strings(struct json_wr *j, const char *name, const char *const *list)
{
    json_name(j, name);
    json_arr_open(j);
    for (; list != NULL && *list != NULL; list++)
        json_put_str(j, *list);
    json_arr_close(j);
}

static void put_definition(struct json_wr *j, const struct fabric *f, const struct arm_role *r)
{
    static const char *const anywhere[] = {"/", NULL};
    char id[256];
    snprintf(id, sizeof id, "/subscriptions/%s" DEFINITIONS "/%s", f->provider.dir.subscription,
             r->id);
    json_obj_open(j);
    put_str(j, "id", id);
    put_str(j, "name", r->id);
    put_str(j, "type", RIGHT "roleDefinitions");
    json_name(j, "properties");
    json_obj_open(j);
    put_str(j, "roleName", r->name);
    put_str(j, "type", "BuiltInRole");
    put_str(j, "description", r->description);
    put_strings(j, "assignableScopes", anywhere);
    json_name(j, "permissions");
    json_arr_open(j);
    json_obj_open(j);
    put_strings(j, "actions", r->actions);
    put_strings(j, "notActions", r->not_actions);
    put_strings(j, "dataActions", NULL);
    put_strings(j, "notDataActions", NULL);
    json_obj_close(j);
    json_arr_close(j);
    json_obj_close(j);
    json_obj_close(j);
}

/* The text between begin and end in the decoded filter; false when begin is not there. */
static bool between(struct bytes filter, const char *begin, const char *end, char *dst, size_t cap)
{
    dst[0] = 0;
    const uint8_t *at = filter.n > 0 ? memmem(filter.p, filter.n, begin, strlen(begin)) : NULL;
    if (at == NULL)
        return false;
    at += strlen(begin);
    size_t left = (size_t)(filter.p + filter.n - at);
    const uint8_t *to = memmem(at, left, end, strlen(end));
    if (to != NULL && (size_t)(to - at) < cap) {
        memcpy(dst, at, (size_t)(to - at));
        dst[to - at] = 0;
    }
    return true;
}

static void list_definitions(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct bytes filter = url_param_get(&rq->url, "$filter");
    char name[128];
    bool named = between(filter, "roleName eq '", "'", name, sizeof name);
    struct json_wr j = json_wr_of(&a->body);
    arm_list_open(&j);
    for (size_t i = 0; i < arm_roles_n; i++)
        if (!named || bytes_ieq(bytes_str(name), bytes_str(arm_roles[i].name)))
            put_definition(&j, f, &arm_roles[i]);
    arm_list_close(&j);
}

static void definitions(struct fabric *f, const struct request *rq, struct bytes scope,
                        struct bytes name, struct answer *a)
{
    if (rq->http->head->method != HTTP1_GET) {
        arm_wrong_method(RIGHT "roleDefinitions", a);
        return;
    }
    if (!arm_may_below(f, rq, scope)) {
        arm_forbid(rq, RIGHT "roleDefinitions/read", scope, a);
        return;
    }
    if (name.n == 0) {
        list_definitions(f, rq, a);
        return;
    }
    const struct arm_role *r = arm_role_find(name);
    struct json_wr j = json_wr_of(&a->body);
    if (r != NULL)
        put_definition(&j, f, r);
    else
        arm_error(a, 404, "RoleDefinitionDoesNotExist",
                  "The specified role definition with ID '%.*s' does not exist.", (int)name.n,
                  (const char *)name.p);
}

/* ---- assignments ---- */

struct assignment {
    char id[ARM_ID_MAX + 1], principal[UUID_TEXT_LEN + 1], scope[ARM_ID_MAX + 1];
    const struct arm_role *role;
};

static bool read_assignment(const struct document *d, struct assignment *ret)
{
    struct json_tok tok[ROLE_TOKENS];
    struct json_doc doc;
    char role[ARM_ID_MAX + 1];
    if (d == NULL || json_parse(d->json, tok, ROLE_TOKENS, &doc) != HSM_OK)
        return false;
    uint32_t p = arm_properties(&doc);
    if (!arm_string(&doc, 0, "id", ret->id, sizeof ret->id) ||
        !arm_string(&doc, p, "principalId", ret->principal, sizeof ret->principal) ||
        !arm_string(&doc, p, "scope", ret->scope, sizeof ret->scope) ||
        !arm_string(&doc, p, "roleDefinitionId", role, sizeof role))
        return false;
    ret->role = arm_role_find(bytes_str(role));
    return ret->role != NULL;
}

static void put_assignment(struct json_wr *j, const struct fabric *f, const struct assignment *x,
                           const char *guid, const char *type, const char *by, uint64_t now_ms)
{
    char role[256];
    snprintf(role, sizeof role, "/subscriptions/%s" DEFINITIONS "/%s", f->provider.dir.subscription,
             x->role->id);
    json_obj_open(j);
    put_str(j, "id", x->id);
    put_str(j, "name", guid);
    put_str(j, "type", RIGHT "roleAssignments");
    json_name(j, "properties");
    json_obj_open(j);
    put_str(j, "roleDefinitionId", role);
    put_str(j, "principalId", x->principal);
    put_str(j, "principalType", type);
    put_str(j, "scope", x->scope);
    arm_put_time(j, "createdOn", now_ms);
    arm_put_time(j, "updatedOn", now_ms);
    put_str(j, "createdBy", by);
    put_str(j, "updatedBy", by);
    json_obj_close(j);
    json_obj_close(j);
}

/* false: too long. */
static bool name_assignment(struct assignment *x, const char *guid)
{
    struct wr w = wr_of(x->id, sizeof x->id - 1);
    wr_str(&w, x->scope);
    wr_str(&w, ASSIGNMENTS "/");
    wr_str(&w, guid);
    x->id[w.n] = 0;
    return wr_ok(&w) == HSM_OK;
}

static bool stage(struct changes *c, const struct assignment *x, struct bytes json)
{
    char key[STATE_KEY_MAX + 1];
    if (!arm_key(bytes_str(x->id), key))
        return false;
    changes_put(c, STATE_ARM_ROLE, bytes_str(key), json);
    return true;
}

void arm_role_give(struct fabric *f, struct changes *c, const char *role, const char *principal,
                   const char *type, uint64_t now_ms)
{
    struct assignment x = {.role = arm_role_find(bytes_str(role))};
    struct uuid u;
    char guid[UUID_TEXT_LEN + 1];
    uint8_t text[4096];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    uuid_new_v4(&u);
    uuid_format(&u, guid);
    snprintf(x.principal, sizeof x.principal, "%s", principal);
    snprintf(x.scope, sizeof x.scope, "/subscriptions/%s", f->provider.dir.subscription);
    if (!name_assignment(&x, guid))
        return;
    put_assignment(&j, f, &x, guid, type, principal, now_ms);
    (void)stage(c, &x, wr_view(&w));
}

/* "User", "Group", "ServicePrincipal"; NULL: nobody of the directory. */
static const char *type_of(struct fabric *f, const char *oid)
{
    struct people_object o;
    if (people_get(f, STATE_PRINCIPAL, bytes_str(oid), &o))
        return o.type == PEOPLE_USER ? "User" : "ServicePrincipal";
    return people_get(f, STATE_DIRECTORY_GROUP, bytes_str(oid), &o) ? "Group" : NULL;
}

struct search {
    struct arm_lister l;
    size_t scope_n;
    const char *principal; /* "": any */
    const struct assignment *like;
    size_t owners;
    bool found;
};

static bool list_one(void *ctx, const struct document *d)
{
    struct search *s = ctx;
    struct assignment x;
    if (!read_assignment(d, &x) ||
        (s->principal[0] != 0 && !bytes_ieq(bytes_str(x.principal), bytes_str(s->principal))))
        return true;
    if (arm_lister_takes(&s->l, d->key))
        json_put_raw(&s->l.j, d->json);
    return !s->l.full;
}

/* Those at the scope itself are listed already. */
static bool below_one(void *ctx, const struct document *d)
{
    struct search *s = ctx;
    struct assignment x;
    return (read_assignment(d, &x) && strlen(x.scope) == s->scope_n) || list_one(ctx, d);
}

/* At scope and above; those below only when not atScope(). */
static void list_assignments(struct fabric *f, const struct request *rq, struct bytes scope,
                             struct answer *a)
{
    struct search s = {0};
    char key[STATE_KEY_MAX + 1], prefix[STATE_KEY_MAX + 64], who[64];
    struct bytes filter = url_param_get(&rq->url, "$filter");
    bool at_scope = filter.n > 0 && memmem(filter.p, filter.n, "atScope()", 9) != NULL;
    bool by_who = between(filter, "principalId eq '", "'", who, sizeof who) ||
                  between(filter, "assignedTo('", "'", who, sizeof who);
    if (filter.n > 0 && !at_scope && (!by_who || who[0] == 0)) {
        answer_error(a, 400, "InvalidFilterInQueryString", "The $filter is not supported.");
        return;
    }
    s.principal = who;
    s.scope_n = scope.n;
    if (!arm_key(scope, key) || !arm_lister_open(&s.l, f, rq, a))
        return;
    for (size_t i = 1; i <= scope.n && !s.l.full; i++) {
        if (i < scope.n && key[i] != '/')
            continue;
        int n = snprintf(prefix, sizeof prefix,
                         "%.*s/providers/microsoft.authorization/roleassignments/", (int)i, key);
        if (n <= STATE_KEY_MAX)
            state_each(f->state, STATE_ARM_ROLE, bytes_of(prefix, (size_t)n), list_one, &s);
    }
    /* The keys of what is below come after those of the scope itself only by chance: they are
     * listed on their own, and there is one page of them. */
    if (!at_scope && !s.l.full) {
        s.l.after = (struct bytes){0};
        int n = snprintf(prefix, sizeof prefix, "%s/resourcegroups/", key);
        if (n > STATE_KEY_MAX || arm_id_group(scope).n > 0)
            n = snprintf(prefix, sizeof prefix, "%s/providers/", key);
        if (n <= STATE_KEY_MAX)
            state_each(f->state, STATE_ARM_ROLE, bytes_of(prefix, (size_t)n), below_one, &s);
    }
    arm_lister_close(&s.l);
}

static bool same_one(void *ctx, const struct document *d)
{
    struct search *s = ctx;
    struct assignment x;
    if (read_assignment(d, &x)) {
        s->found = s->found || (s->like != NULL && x.role == s->like->role &&
                                bytes_ieq(bytes_str(x.principal), bytes_str(s->like->principal)) &&
                                bytes_ieq(bytes_str(x.scope), bytes_str(s->like->scope)));
        s->owners += strcmp(x.role->id, ARM_ROLE_OWNER) == 0 &&
                     bytes_ieq(arm_id_subscription(bytes_str(x.scope)), bytes_str(x.scope));
    }
    return true;
}

static bool read_body(struct fabric *f, const struct request *rq, struct assignment *x,
                      const char **ret_type, struct answer *a)
{
    struct json_tok tok[ARM_TOKENS_MAX];
    struct json_doc body;
    struct uuid u;
    char role[ARM_ID_MAX + 1], who[64];
    if (!arm_body(rq, tok, &body, a))
        return false;
    uint32_t p = arm_properties(&body);
    if (!arm_string(&body, p, "roleDefinitionId", role, sizeof role) ||
        !arm_string(&body, p, "principalId", who, sizeof who) ||
        uuid_parse(bytes_str(who), &u) != HSM_OK)
        return arm_error(a, 400, "InvalidCreateRoleAssignmentRequest",
                         "The request to create a role assignment needs 'roleDefinitionId' and the "
                         "GUID 'principalId' in its properties.");
    uuid_format(&u, x->principal);
    x->role = arm_role_find(bytes_str(role));
    if (x->role == NULL)
        return arm_error(a, 400, "RoleDefinitionDoesNotExist",
                         "The specified role definition with ID '%s' does not exist.", role);
    *ret_type = type_of(f, x->principal);
    return *ret_type != NULL || arm_error(a, 400, "PrincipalNotFound",
                                          "Principal %s does not exist in the directory %s.",
                                          x->principal, f->provider.dir.tenant);
}

static void put_one(struct fabric *f, const struct request *rq, struct bytes scope,
                    const struct uuid *name, struct answer *a)
{
    struct assignment x = {0}, old;
    const char *type = NULL;
    char guid[UUID_TEXT_LEN + 1], key[STATE_KEY_MAX + 1];
    uuid_format(name, guid);
    snprintf(x.scope, sizeof x.scope, "%.*s", (int)scope.n, (const char *)scope.p);
    if (!name_assignment(&x, guid) || !arm_key(bytes_str(x.id), key)) {
        arm_error(a, 400, "InvalidResourceName", "The assignment's id is too long.");
        return;
    }
    if (!read_body(f, rq, &x, &type, a))
        return;
    struct search s = {.like = &x};
    const struct document *d = state_get(f->state, STATE_ARM_ROLE, bytes_str(key));
    if (read_assignment(d, &old)) {
        if (old.role == x.role && bytes_ieq(bytes_str(old.principal), bytes_str(x.principal)))
            wr_bytes(&a->body, d->json.p, d->json.n);
        else
            arm_error(a, 409, "RoleAssignmentUpdateNotPermitted",
                      "Tenant ID, application ID, principal ID, and scope are not allowed to be "
                      "updated.");
        return;
    }
    state_each(f->state, STATE_ARM_ROLE, bytes_str(""), same_one, &s);
    if (s.found) {
        arm_error(a, 409, "RoleAssignmentExists", "The role assignment already exists.");
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    put_assignment(&j, f, &x, guid, type, rq->caller->oid, rq->now_ms);
    a->status = 201;
    (void)stage(rq->changes, &x, wr_view(&a->body));
}

/* Somebody must be able to give rights. */
static bool is_last_owner(struct fabric *f, const struct assignment *x)
{
    struct search s = {0};
    if (strcmp(x->role->id, ARM_ROLE_OWNER) != 0 ||
        !bytes_ieq(arm_id_subscription(bytes_str(x->scope)), bytes_str(x->scope)))
        return false;
    state_each(f->state, STATE_ARM_ROLE, bytes_str(""), same_one, &s);
    return s.owners == 1;
}

static void one_assignment(struct fabric *f, const struct request *rq, struct bytes scope,
                           struct bytes name, struct answer *a)
{
    struct uuid u;
    struct assignment x;
    char key[STATE_KEY_MAX + 1];
    enum http1_method m = rq->http->head->method;
    if (uuid_parse(name, &u) != HSM_OK) {
        arm_error(a, 400, "InvalidRoleAssignmentId",
                  "The role assignment ID '%.*s' is not valid. "
                  "The role assignment ID must be a GUID.",
                  (int)name.n, (const char *)name.p);
        return;
    }
    if (m == HTTP1_PUT) {
        put_one(f, rq, scope, &u, a);
        return;
    }
    const struct document *d =
        arm_key(rq->url.path, key) ? state_get(f->state, STATE_ARM_ROLE, bytes_str(key)) : NULL;
    if (!read_assignment(d, &x)) {
        if (m == HTTP1_DELETE)
            a->status = 204;
        else
            arm_error(a, 404, "RoleAssignmentNotFound", "The role assignment '%.*s' is not found.",
                      (int)name.n, (const char *)name.p);
        return;
    }
    if (m == HTTP1_DELETE && is_last_owner(f, &x)) {
        arm_error(a, 409, "RoleAssignmentDeletionNotAllowed",
                  "Cannot delete the last owner's role assignment of the subscription.");
        return;
    }
    wr_bytes(&a->body, d->json.p, d->json.n);
    if (m == HTTP1_DELETE)
        changes_delete(rq->changes, STATE_ARM_ROLE, d->key);
}

static bool scope_ready(struct fabric *f, struct bytes scope, bool write, struct answer *a)
{
    struct bytes sub = arm_last_segment(arm_id_subscription(scope));
    struct bytes group = arm_last_segment(arm_id_group(scope));
    struct arm_resource r;
    char id[ARM_ID_MAX + 1];
    if (!arm_subscription_ready(f, sub, write, a) || !arm_group_ready(f, sub, group, write, a))
        return false;
    snprintf(id, sizeof id, "%.*s", (int)scope.n, (const char *)scope.p);
    if (!write || strcasestr(id, "/providers/") == NULL || arm_find(f, scope, &r))
        return true;
    return arm_not_found(a, id);
}

static void assignments(struct fabric *f, const struct request *rq, struct bytes scope,
                        struct bytes name, struct answer *a)
{
    enum http1_method m = rq->http->head->method;
    const char *right = m == HTTP1_GET      ? RIGHT "roleAssignments/read"
                        : m == HTTP1_PUT    ? RIGHT "roleAssignments/write"
                        : m == HTTP1_DELETE ? RIGHT "roleAssignments/delete"
                                            : NULL;
    if (right == NULL || (name.n == 0 && m != HTTP1_GET)) {
        arm_wrong_method(RIGHT "roleAssignments", a);
        return;
    }
    if (!arm_may(f, rq, right, scope)) {
        arm_forbid(rq, right, scope, a);
        return;
    }
    if (!scope_ready(f, scope, m == HTTP1_PUT, a))
        return;
    if (name.n == 0)
        list_assignments(f, rq, scope, a);
    else
        one_assignment(f, rq, scope, name, a);
}

bool arm_roles_answer(struct fabric *f, const struct request *rq, struct answer *a)
{
    const struct bytes *seg = rq->url.seg;
    size_t n = rq->url.seg_n;
    for (size_t at = n >= 4 ? n - 4 : 0; at + 3 <= n; at++) {
        if (!bytes_ieq(seg[at], bytes_str("providers")) ||
            !bytes_ieq(seg[at + 1], bytes_str("microsoft.authorization")))
            continue;
        struct bytes scope =
            at == 0 ? bytes_str("/")
                    : bytes_of(rq->url.path.p, (size_t)(seg[at].p - 1 - rq->url.path.p));
        struct bytes name = at + 4 == n ? seg[at + 3] : (struct bytes){0};
        if (bytes_ieq(seg[at + 2], bytes_str("roleassignments")))
            assignments(f, rq, scope, name, a);
        else if (bytes_ieq(seg[at + 2], bytes_str("roledefinitions")))
            definitions(f, rq, scope, name, a);
        else
            return false;
        return true;
    }
    return false;
}
