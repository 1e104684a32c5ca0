#include "boundary/roles_internal.h"

#include <stdlib.h>
#include <openssl/rand.h>

/* Principals and guids come from authorised writers, but a seed keeps even them from building
 * long chains on purpose. FNV-1a. */
static size_t bucket_of(const struct roles *r, const void *p, size_t n)
{
    const uint8_t *b = p;
    uint64_t h = r->seed ^ 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32) & (ROLES_BUCKETS - 1);
}

hsm_err roles_new(struct roles **ret)
{
    struct roles *r = calloc(1, sizeof *r);
    if (r == NULL)
        return HSM_E_NOMEM;
    if (RAND_bytes((unsigned char *)&r->seed, sizeof r->seed) != 1) {
        free(r);
        return HSM_E_INTERNAL;
    }
    *ret = r;
    return HSM_OK;
}

void roles_free(struct roles *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < ROLES_BUCKETS; i++) {
        for (struct role_principal *p = r->by_principal[i], *next; p != NULL; p = next) {
            next = p->next;
            free(p->item);
            free(p);
        }
    }
    for (size_t i = 0; i < r->assignment_n; i++)
        free(r->assignment[i]);
    free(r->assignment);
    for (size_t i = 0; i < r->custom_n; i++)
        free(r->custom[i].plain);
    free(r->custom);
    free(r);
}

/* ---- look-up ---- */

static int guid_cmp(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->b, b->b, sizeof a->b);
}

/* Position of the first custom definition that does not sort before guid. */
static size_t custom_position(const struct roles *r, const struct uuid *guid)
{
    size_t lo = 0;
    size_t hi = r->custom_n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (guid_cmp(&r->custom[mid].guid, guid) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct role_custom *roles_custom_find(const struct roles *r, const struct uuid *guid)
{
    size_t at = custom_position(r, guid);
    if (at == r->custom_n || guid_cmp(&r->custom[at].guid, guid) != 0)
        return NULL;
    return &r->custom[at];
}

bool roles_definition_exists(const struct roles *r, const struct uuid *guid)
{
    return builtin_role_find(guid) != NULL || roles_custom_find(r, guid) != NULL;
}

/* Position of the first assignment that does not sort before guid. */
static size_t assignment_position(const struct roles *r, const struct uuid *guid)
{
    size_t lo = 0;
    size_t hi = r->assignment_n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (guid_cmp(&r->assignment[mid]->guid, guid) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct role_assignment *roles_assignment_find(const struct roles *r, const struct uuid *guid)
{
    size_t at = assignment_position(r, guid);
    if (at == r->assignment_n || guid_cmp(&r->assignment[at]->guid, guid) != 0)
        return NULL;
    return r->assignment[at];
}

static struct role_principal *principal_in_bucket(struct role_principal *p, struct bytes name)
{
    while (p != NULL && !bytes_eq_str(name, p->name))
        p = p->next;
    return p;
}

const struct role_principal *roles_principal_find(const struct roles *r, struct bytes name)
{
    return principal_in_bucket(r->by_principal[bucket_of(r, name.p, name.n)], name);
}

hsm_err roles_visit(const struct roles *r, roles_visit_fn visit, void *ctx)
{
    for (size_t i = 0; i < r->assignment_n; i++)
        TRY(visit(ctx, r->assignment[i]));
    return HSM_OK;
}

/* ---- decision ---- */

static bool principal_may(const struct roles *r, struct bytes name, action_set bit,
                          const struct scope *s)
{
    const struct role_principal *p = roles_principal_find(r, name);
    if (p == NULL)
        return false;
    for (size_t i = 0; i < p->n; i++) {
        if ((p->item[i]->actions & bit) != 0 && scope_covers(&p->item[i]->scope, s))
            return true;
    }
    return false;
}

bool roles_may(const struct roles *r, const struct identity *who, enum data_action a,
               const struct scope *s)
{
    if ((unsigned)a >= ACTION__COUNT)
        return false;
    action_set bit = ACTION_BIT(a);
    if (principal_may(r, bytes_str(who->oid), bit, s))
        return true;
    for (unsigned i = 0; i < who->group_n; i++) {
        if (principal_may(r, bytes_str(who->groups[i]), bit, s))
            return true;
    }
    return false;
}

static action_set union_of(struct bytes names)
{
    action_set set = 0;
    struct bytes name;
    while (wire_list_next(&names, &name))
        set |= data_action_bit(name);
    return set;
}

hsm_err roles_granted(struct bytes permissions, action_set *ret)
{
    action_set granted = 0;
    action_set taken = 0;
    struct bytes item;
    while (wire_list_next(&permissions, &item)) {
        struct wire_permission p;
        TRY(wire_permission_decode(item, &p));
        granted |= union_of(p.data_actions);
        taken |= union_of(p.not_data_actions);
    }
    *ret = granted & ~taken;
    return HSM_OK;
}

static action_set role_actions(const struct roles *r, const struct uuid *role)
{
    const struct builtin_role *b = builtin_role_find(role);
    if (b != NULL)
        return b->actions;
    const struct role_custom *c = roles_custom_find(r, role);
    return c == NULL ? 0 : c->actions;
}

/* ---- definitions ---- */

/* After a change of a definition: its assignments grant what it says now. */
static void refresh_assignments(struct roles *r, const struct uuid *role)
{
    action_set now = role_actions(r, role);
    for (size_t i = 0; i < r->assignment_n; i++) {
        if (guid_cmp(&r->assignment[i]->role, role) == 0)
            r->assignment[i]->actions = now;
    }
}

static void custom_remove(struct roles *r, size_t at)
{
    free(r->custom[at].plain);
    r->custom_n--;
    memmove(&r->custom[at], &r->custom[at + 1], (r->custom_n - at) * sizeof r->custom[0]);
}

static hsm_err custom_reserve(struct roles *r)
{
    if (r->custom_n < r->custom_cap)
        return HSM_OK;
    size_t cap = r->custom_cap == 0 ? 16 : r->custom_cap * 2;
    struct role_custom *grown = realloc(r->custom, cap * sizeof *grown);
    if (grown == NULL)
        return HSM_E_NOMEM;
    r->custom = grown;
    r->custom_cap = cap;
    return HSM_OK;
}

static hsm_err custom_make(struct bytes plain, struct role_custom *ret)
{
    struct role_custom c = {.plain = malloc(plain.n)};
    if (c.plain == NULL)
        return HSM_E_NOMEM;
    memcpy(c.plain, plain.p, plain.n);
    hsm_err err = wire_role_definition_decode(bytes_of(c.plain, plain.n), &c.def);
    if (err == HSM_OK)
        err = roles_granted(c.def.permissions, &c.actions);
    if (err != HSM_OK) {
        free(c.plain);
        return err;
    }
    c.guid = c.def.guid;
    *ret = c;
    return HSM_OK;
}

hsm_err roles_apply_definition(struct roles *r, struct bytes plain, bool removed)
{
    struct role_custom c;
    TRY(custom_reserve(r));
    TRY(custom_make(plain, &c));
    /* A record can not stand for a built-in role, whoever wrote it. */
    if (builtin_role_find(&c.guid) != NULL) {
        free(c.plain);
        return HSM_E_CORRUPT;
    }
    size_t at = custom_position(r, &c.guid);
    if (at < r->custom_n && guid_cmp(&r->custom[at].guid, &c.guid) == 0)
        custom_remove(r, at);
    struct uuid guid = c.guid;
    if (removed) {
        free(c.plain);
    } else {
        memmove(&r->custom[at + 1], &r->custom[at], (r->custom_n - at) * sizeof r->custom[0]);
        r->custom[at] = c;
        r->custom_n++;
    }
    refresh_assignments(r, &guid);
    return HSM_OK;
}

/* ---- assignments ---- */

static hsm_err principal_get(struct roles *r, struct bytes name, struct role_principal **ret)
{
    struct role_principal **head = &r->by_principal[bucket_of(r, name.p, name.n)];
    struct role_principal *p = principal_in_bucket(*head, name);
    if (p == NULL) {
        p = calloc(1, sizeof *p);
        if (p == NULL)
            return HSM_E_NOMEM;
        memcpy(p->name, name.p, name.n);
        p->next = *head;
        *head = p;
    }
    *ret = p;
    return HSM_OK;
}

static hsm_err principal_add(struct role_principal *p, struct role_assignment *a)
{
    if (p->n == p->cap) {
        size_t cap = p->cap == 0 ? 4 : p->cap * 2;
        struct role_assignment **grown = realloc(p->item, cap * sizeof *grown);
        if (grown == NULL)
            return HSM_E_NOMEM;
        p->item = grown;
        p->cap = cap;
    }
    p->item[p->n++] = a;
    a->owner = p;
    return HSM_OK;
}

static void principal_drop(struct roles *r, struct role_assignment *a)
{
    struct role_principal *p = a->owner;
    for (size_t i = 0; i < p->n; i++) {
        if (p->item[i] == a) {
            p->item[i] = p->item[--p->n];
            break;
        }
    }
    if (p->n > 0)
        return;
    struct role_principal **at = &r->by_principal[bucket_of(r, p->name, strlen(p->name))];
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    free(p->item);
    free(p);
}

static void assignment_remove(struct roles *r, const struct uuid *guid)
{
    size_t at = assignment_position(r, guid);
    if (at == r->assignment_n || guid_cmp(&r->assignment[at]->guid, guid) != 0)
        return;
    struct role_assignment *a = r->assignment[at];
    r->assignment_n--;
    memmove(&r->assignment[at], &r->assignment[at + 1],
            (r->assignment_n - at) * sizeof(struct role_assignment *));
    principal_drop(r, a);
    free(a);
}

static hsm_err assignment_reserve(struct roles *r)
{
    if (r->assignment_n < r->assignment_cap)
        return HSM_OK;
    size_t cap = r->assignment_cap == 0 ? 64 : r->assignment_cap * 2;
    struct role_assignment **grown = realloc(r->assignment, cap * sizeof(struct role_assignment *));
    if (grown == NULL)
        return HSM_E_NOMEM;
    r->assignment = grown;
    r->assignment_cap = cap;
    return HSM_OK;
}

static void assignment_insert(struct roles *r, struct role_assignment *a)
{
    size_t at = assignment_position(r, &a->guid);
    memmove(&r->assignment[at + 1], &r->assignment[at],
            (r->assignment_n - at) * sizeof(struct role_assignment *));
    r->assignment[at] = a;
    r->assignment_n++;
}

static hsm_err assignment_make(const struct roles *r, const struct wire_role_assignment *w,
                               struct role_assignment **ret)
{
    if (w->principal.n > ROLES_PRINCIPAL_MAX || memchr(w->principal.p, 0, w->principal.n) != NULL)
        return HSM_E_CORRUPT;
    struct scope s;
    if (scope_parse(w->scope, &s) != HSM_OK)
        return HSM_E_CORRUPT;
    struct role_assignment *a = calloc(1, sizeof *a);
    if (a == NULL)
        return HSM_E_NOMEM;
    a->guid = w->guid;
    a->role = w->role;
    a->actions = role_actions(r, &w->role);
    scope_format(&s, a->scope_text);
    if (scope_parse(bytes_str(a->scope_text), &a->scope) != HSM_OK) {
        free(a);
        return HSM_E_INTERNAL;
    }
    *ret = a;
    return HSM_OK;
}

hsm_err roles_apply_assignment(struct roles *r, struct bytes plain, bool removed)
{
    struct wire_role_assignment w;
    TRY(wire_role_assignment_decode(plain, &w));
    if (w.principal.n == 0) /* the guard record */
        return HSM_OK;
    if (removed) {
        assignment_remove(r, &w.guid);
        return HSM_OK;
    }
    struct role_assignment *a;
    TRY(assignment_reserve(r));
    TRY(assignment_make(r, &w, &a));
    /* The same guid again replaces; nothing is taken away before the new one is in place. */
    struct role_principal *p;
    hsm_err err = principal_get(r, w.principal, &p);
    if (err == HSM_OK)
        err = principal_add(p, a);
    if (err != HSM_OK) {
        free(a);
        return err;
    }
    assignment_remove(r, &w.guid);
    assignment_insert(r, a);
    return HSM_OK;
}

/* ---- records ---- */

struct wire_role_assignment roles_assignment_wire(const struct role_assignment *a)
{
    return (struct wire_role_assignment){
        .guid = a->guid,
        .principal = bytes_str(a->owner->name),
        .role = a->role,
        .scope = bytes_str(a->scope_text),
    };
}

hsm_err roles_check_scope(struct request *rq, struct bytes text, struct scope *ret)
{
    if (scope_parse(text, ret) != HSM_OK)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "The scope must be '/', '/keys' or '/keys/<key name>'.");
    return HSM_OK;
}

hsm_err roles_touch_guard(struct request *rq)
{
    const struct wire_role_assignment guard = {.scope = bytes_str("/")};
    uint8_t buf[128];
    struct wr w = wr_of(buf, sizeof buf);
    wire_role_assignment_put(&w, &guard);
    TRY(wr_ok(&w));
    return txn_put(rq, REC_ROLE_ASSIGNMENT, bytes_str("guard"), wr_view(&w));
}

hsm_err roles_admin_assignment(struct bytes principal, struct uuid *ret_guid, struct wr *plain)
{
    struct uuid oid;
    if (uuid_parse(principal, &oid) != HSM_OK)
        return HSM_E_BAD_PARAMETER;
    char text[UUID_TEXT_LEN + 1];
    uuid_format(&oid, text);
    struct uuid guid;
    uuid_new_v4(&guid);
    struct wire_role_assignment a = {
        .guid = guid,
        .principal = bytes_str(text),
        .role = *builtin_role_administrator(),
        .scope = bytes_str("/"),
    };
    wire_role_assignment_put(plain, &a);
    TRY(wr_ok(plain));
    *ret_guid = guid;
    return HSM_OK;
}
