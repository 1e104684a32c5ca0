/* Who may do what where: role assignments in the state, by caller and scope. */
#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/arm_rights.h"
#include "fabric/people.h"

#define ASSIGNMENTS  "/providers/microsoft.authorization/roleassignments/"
#define PER_DOCUMENT 256
#define GROUPS_MAX   500

struct question {
    const struct principal *who;
    struct bytes action; /* n == 0: any right at all */
    char group[GROUPS_MAX][UUID_TEXT_LEN + 1];
    size_t group_n;
    bool yes;
};

static bool is_for(const struct question *q, struct bytes principal)
{
    bool yes = bytes_ieq(principal, bytes_str(q->who->oid));
    for (size_t i = 0; i < q->group_n && !yes; i++)
        yes = bytes_ieq(principal, bytes_str(q->group[i]));
    return yes;
}

static struct question ask_for(struct fabric *f, const struct request *rq, struct bytes action)
{
    struct question q = {.who = rq->caller, .action = action};
    size_t n = people_groups(f, bytes_str(q.who->oid), q.group, GROUPS_MAX);
    q.group_n = n < GROUPS_MAX ? n : GROUPS_MAX;
    return q;
}

static bool ask_one(void *ctx, const struct document *d)
{
    struct question *q = ctx;
    struct json_tok tok[PER_DOCUMENT];
    struct json_doc doc;
    char principal[UUID_TEXT_LEN + 1], role[ARM_ID_MAX + 1];
    if (json_parse(d->json, tok, PER_DOCUMENT, &doc) != HSM_OK)
        return true;
    uint32_t p = arm_properties(&doc);
    if (!arm_string(&doc, p, "principalId", principal, sizeof principal) ||
        !arm_string(&doc, p, "roleDefinitionId", role, sizeof role) ||
        !is_for(q, bytes_str(principal)))
        return true;
    const struct arm_role *r = arm_role_find(bytes_str(role));
    q->yes = r != NULL && (q->action.n == 0 || arm_role_allows(r, q->action));
    return !q->yes;
}

/* The assignments that were made at exactly the first n bytes of scope. */
static void ask_at(struct fabric *f, struct question *q, const char *scope, size_t n)
{
    char prefix[STATE_KEY_MAX + sizeof ASSIGNMENTS];
    int k = snprintf(prefix, sizeof prefix, "%.*s" ASSIGNMENTS, (int)n, scope);
    if (k <= STATE_KEY_MAX)
        state_each(f->state, STATE_ARM_ROLE, bytes_of(prefix, (size_t)k), ask_one, q);
}

bool arm_may(struct fabric *f, const struct request *rq, const char *action, struct bytes scope)
{
    char key[STATE_KEY_MAX + 1];
    struct question q = ask_for(f, rq, bytes_str(action));
    if (!arm_key(scope, key))
        return false;
    size_t n = strlen(key);
    ask_at(f, &q, key, 0);
    for (size_t i = 1; i <= n && !q.yes; i++)
        if (i == n || key[i] == '/')
            ask_at(f, &q, key, i);
    return q.yes;
}

bool arm_may_below(struct fabric *f, const struct request *rq, struct bytes scope)
{
    char key[STATE_KEY_MAX + 1];
    struct question q = ask_for(f, rq, (struct bytes){0});
    if (!arm_key(scope, key))
        return false;
    size_t n = strlen(key);
    ask_at(f, &q, key, 0);
    for (size_t i = 1; i <= n && !q.yes; i++)
        if (i == n || key[i] == '/')
            ask_at(f, &q, key, i);
    if (!q.yes && n < STATE_KEY_MAX) {
        key[n] = '/';
        state_each(f->state, STATE_ARM_ROLE, bytes_of(key, n + 1), ask_one, &q);
    }
    return q.yes;
}

bool arm_forbid(const struct request *rq, const char *action, struct bytes scope, struct answer *a)
{
    const struct principal *p = rq->caller;
    return arm_error(
        a, 403, "AuthorizationFailed",
        "The client '%s' with object id '%s' does not have authorization to perform "
        "action '%s' over scope '%.*s' or the scope is invalid. If access was recently "
        "granted, please refresh your credentials.",
        p->kind == PRINCIPAL_USER ? p->upn : p->client_id, p->oid, action, (int)scope.n,
        (const char *)scope.p);
}

bool arm_need(struct fabric *f, const struct request *rq, const struct arm_type *type,
              const char *right, const char *scope, struct answer *a)
{
    char action[ARM_ACTION_MAX];
    snprintf(action, sizeof action, "%s/%s", type->name, right);
    return arm_may(f, rq, action, bytes_str(scope)) || arm_forbid(rq, action, bytes_str(scope), a);
}
