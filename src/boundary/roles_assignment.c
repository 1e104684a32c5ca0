#include "boundary/roles_internal.h"

static void lower(char *dst, struct bytes text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = (char)text.p[i];
        dst[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    dst[text.n] = 0;
}

/* ---- list and get ---- */

struct lister {
    struct request *rq;
    struct scope scope;
    uint8_t filter;
    char principal[ROLES_PRINCIPAL_MAX + 1];
};

/* Without a filter a list shows the pool-wide assignments at and below the scope, or exactly those
 * of one key; per-key ones do not show at "/" and "/keys". */
static bool is_listed(const struct lister *l, const struct role_assignment *a)
{
    switch ((enum wire_role_filter)l->filter) {
    case ROLE_FILTER_AT_SCOPE:
        return scope_covers(&a->scope, &l->scope);
    case ROLE_FILTER_PRINCIPAL:
        if (strcmp(a->owner->name, l->principal) != 0)
            return false;
        return l->scope.kind == SCOPE_ROOT || scope_covers(&a->scope, &l->scope);
    case ROLE_FILTER_NONE:
        break;
    }
    if (l->scope.kind == SCOPE_KEY)
        return scope_equal(&a->scope, &l->scope);
    return a->scope.kind != SCOPE_KEY && scope_covers(&l->scope, &a->scope);
}

static hsm_err list_one(void *ctx, const struct role_assignment *a)
{
    const struct lister *l = ctx;
    if (!is_listed(l, a))
        return HSM_OK;
    struct wr *out = l->rq->out;
    struct wire_role_assignment w = roles_assignment_wire(a);
    size_t item = wr_lv_open(out);
    wire_role_assignment_put(out, &w);
    wr_lv_close(out, item);
    return wr_ok(out);
}

hsm_err roles_handle_assignment_list(struct request *rq)
{
    struct wire_scope q;
    struct lister l = {.rq = rq};
    TRY(wire_scope_decode(rq->body, &q));
    TRY(roles_check_scope(rq, q.scope, &l.scope));
    if (q.filter > ROLE_FILTER_PRINCIPAL)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "The filter is not supported.");
    l.filter = q.filter;
    lower(l.principal, q.principal); /* the decoder allows at most 64 bytes */
    size_t list = wr_lv_open(rq->out);
    hsm_err err = roles_visit(boundary_roles(rq->b), list_one, &l);
    if (err == HSM_E_RANGE)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "Too many role assignments for one answer; list a smaller scope.");
    TRY(err);
    wr_lv_close(rq->out, list);
    return wr_ok(rq->out);
}

static hsm_err answer(struct request *rq, const struct role_assignment *a)
{
    struct wire_role_assignment w = roles_assignment_wire(a);
    wire_role_assignment_put(rq->out, &w);
    return wr_ok(rq->out);
}

hsm_err roles_handle_assignment_get(struct request *rq)
{
    struct wire_role_ref q;
    struct scope s;
    struct uuid guid;
    TRY(wire_role_ref_decode(rq->body, &q));
    TRY(roles_check_scope(rq, q.scope, &s));
    if (uuid_parse(q.guid, &guid) != HSM_OK)
        return HSM_E_ROLE_ASSIGNMENT_NOT_FOUND;
    const struct role_assignment *a = roles_assignment_find(boundary_roles(rq->b), &guid);
    /* The caller's right was checked at s: it says nothing about what lies outside. */
    if (a == NULL || !scope_covers(&s, &a->scope))
        return HSM_E_ROLE_ASSIGNMENT_NOT_FOUND;
    return answer(rq, a);
}

/* ---- put ---- */

/* The guid of ".../roleDefinitions/<guid>", or a bare guid. */
static hsm_err role_id_parse(struct bytes id, struct uuid *ret)
{
    static const char marker[] = "/roleDefinitions/";
    const size_t marker_n = sizeof marker - 1;
    if (id.n > UUID_TEXT_LEN) {
        size_t head = id.n - UUID_TEXT_LEN;
        if (head < marker_n ||
            !bytes_ieq(bytes_of(id.p + head - marker_n, marker_n), bytes_str(marker)))
            return HSM_E_BAD_PARAMETER;
        id = bytes_of(id.p + head, UUID_TEXT_LEN);
    }
    return uuid_parse(id, ret);
}

static hsm_err check_unique(struct request *rq, const struct wire_role_assignment *w,
                            const struct scope *s)
{
    const struct role_principal *p = roles_principal_find(boundary_roles(rq->b), w->principal);
    for (size_t i = 0; p != NULL && i < p->n; i++) {
        const struct role_assignment *a = p->item[i];
        if (memcmp(a->role.b, w->role.b, sizeof a->role.b) != 0 || !scope_equal(&a->scope, s))
            continue;
        char guid[UUID_TEXT_LEN + 1];
        char role[UUID_TEXT_LEN + 1];
        uuid_format(&a->guid, guid);
        uuid_format(&a->role, role);
        return request_fail(rq, HSM_E_MATCHING_ROLE_ASSIGNMENT,
                            "Role assignment '%s' already adds role '" ROLES_ID_PREFIX
                            "%s' to principal '%s' in scope '%s'.",
                            guid, role, p->name, a->scope_text);
    }
    return HSM_OK;
}

struct counter {
    const struct scope *scope;
    unsigned n;
};

static hsm_err count_one(void *ctx, const struct role_assignment *a)
{
    struct counter *c = ctx;
    bool pool_wide = c->scope->kind != SCOPE_KEY;
    if (pool_wide ? a->scope.kind != SCOPE_KEY : scope_equal(&a->scope, c->scope))
        c->n++;
    return HSM_OK;
}

static hsm_err check_limit(struct request *rq, const struct scope *s)
{
    struct counter c = {.scope = s};
    TRY(roles_visit(boundary_roles(rq->b), count_one, &c));
    if (s->kind != SCOPE_KEY && c.n >= ROLES_POOL_SCOPE_MAX)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "The limit of %u role assignments at '/' and '/keys' is reached.",
                            ROLES_POOL_SCOPE_MAX);
    if (s->kind == SCOPE_KEY && c.n >= ROLES_KEY_SCOPE_MAX)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "The limit of %u role assignments at the scope of one key is reached.",
                            ROLES_KEY_SCOPE_MAX);
    return HSM_OK;
}

/* Texts that the checked assignment points to. */
struct assignment_texts {
    char guid[UUID_TEXT_LEN + 1];
    char principal[UUID_TEXT_LEN + 1];
    char scope[SCOPE_TEXT_MAX + 1];
};

static hsm_err check_assignment(struct request *rq, const struct wire_role_assignment_put *q,
                                struct assignment_texts *t, struct wire_role_assignment *ret)
{
    const struct roles *r = boundary_roles(rq->b);
    struct wire_role_assignment w = {0};
    struct scope s;
    struct uuid principal;
    TRY(roles_check_scope(rq, q->scope, &s));
    if (uuid_parse(q->guid, &w.guid) != HSM_OK)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "Role assignment name must be a GUID");
    if (roles_assignment_find(r, &w.guid) != NULL)
        return HSM_E_ROLE_ASSIGNMENT_EXISTS;
    if (uuid_parse(q->principal, &principal) != HSM_OK)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "principalId must be a GUID");
    if (role_id_parse(q->role_id, &w.role) != HSM_OK)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "roleDefinitionId must have the form '" ROLES_ID_PREFIX "<guid>'.");
    if (!roles_definition_exists(r, &w.role))
        return HSM_E_ROLE_DEFINITION_NOT_FOUND;
    uuid_format(&w.guid, t->guid);
    uuid_format(&principal, t->principal);
    scope_format(&s, t->scope);
    w.principal = bytes_str(t->principal);
    w.scope = bytes_str(t->scope);
    TRY(check_unique(rq, &w, &s));
    TRY(check_limit(rq, &s));
    *ret = w;
    return HSM_OK;
}

hsm_err roles_handle_assignment_put(struct request *rq)
{
    struct wire_role_assignment_put q;
    struct wire_role_assignment w;
    struct assignment_texts texts;
    TRY(wire_role_assignment_put_decode(rq->body, &q));
    TRY(check_assignment(rq, &q, &texts, &w));
    uint8_t buf[512];
    struct wr plain = wr_of(buf, sizeof buf);
    wire_role_assignment_put(&plain, &w);
    TRY(wr_ok(&plain));
    TRY(txn_put(rq, REC_ROLE_ASSIGNMENT, bytes_str(texts.guid), wr_view(&plain)));
    TRY(roles_touch_guard(rq));
    wr_bytes(rq->out, plain.p, plain.n);
    return wr_ok(rq->out);
}

/* ---- delete ---- */

static bool is_admin(const struct role_assignment *a)
{
    return a->scope.kind == SCOPE_ROOT &&
           memcmp(a->role.b, builtin_role_administrator()->b, sizeof a->role.b) == 0;
}

static hsm_err count_admin(void *ctx, const struct role_assignment *a)
{
    unsigned *n = ctx;
    *n += is_admin(a);
    return HSM_OK;
}

/* Nobody outside the pool can make an administrator again, so the last one stays. */
static hsm_err check_last_admin(struct request *rq, const struct role_assignment *a)
{
    unsigned n = 0;
    if (!is_admin(a))
        return HSM_OK;
    TRY(roles_visit(boundary_roles(rq->b), count_admin, &n));
    if (n > 1)
        return HSM_OK;
    return request_fail(rq, HSM_E_CONFLICT,
                        "This is the last assignment of Managed HSM Administrator at scope '/'. "
                        "Assign the role to another administrator at '/' first.");
}

hsm_err roles_handle_assignment_delete(struct request *rq)
{
    struct wire_role_ref q;
    struct scope s;
    struct uuid guid;
    TRY(wire_role_ref_decode(rq->body, &q));
    TRY(roles_check_scope(rq, q.scope, &s));
    if (uuid_parse(q.guid, &guid) != HSM_OK)
        return HSM_E_ROLE_ASSIGNMENT_NOT_FOUND;
    const struct role_assignment *a = roles_assignment_find(boundary_roles(rq->b), &guid);
    if (a == NULL || !scope_equal(&a->scope, &s))
        return HSM_E_ROLE_ASSIGNMENT_NOT_FOUND;
    TRY(check_last_admin(rq, a));
    char text[UUID_TEXT_LEN + 1];
    uuid_format(&guid, text);
    TRY(txn_remove(rq, REC_ROLE_ASSIGNMENT, bytes_str(text)));
    TRY(roles_touch_guard(rq));
    return answer(rq, a);
}
