/* Internal to roles*.c: the tables and the helpers that both handler files use. */
#ifndef BOUNDARY_ROLES_INTERNAL_H
#define BOUNDARY_ROLES_INTERNAL_H

#include "boundary/roles.h"

#define ROLES_CUSTOM_MAX      50u
#define ROLES_POOL_SCOPE_MAX  50u /* assignments at "/" and "/keys" together */
#define ROLES_KEY_SCOPE_MAX   10u
#define ROLES_PERMISSIONS_MAX 12288u /* encoded; 50 definitions must fit one answer */
#define ROLES_PRINCIPAL_MAX   64u

/* In front of the guid in a definition's id. */
#define ROLES_ID_PROVIDER "Microsoft.KeyVault/providers/Microsoft.Authorization"
#define ROLES_ID_PREFIX   ROLES_ID_PROVIDER "/roleDefinitions/"

/* A custom definition. def's views point into plain. */
struct role_custom {
    struct uuid guid;
    action_set actions;
    struct wire_role_definition def;
    uint8_t *plain;
};

struct role_assignment {
    struct uuid guid;
    struct uuid role;
    action_set actions; /* what the role grants now; 0 when its definition is gone */
    struct scope scope; /* points into scope_text */
    char scope_text[SCOPE_TEXT_MAX + 1];
    struct role_principal *owner;
};

/* Everything a principal was assigned. */
struct role_principal {
    char name[ROLES_PRINCIPAL_MAX + 1]; /* lower case */
    struct role_assignment **item;
    size_t n, cap;
    struct role_principal *next;
};

#define ROLES_BUCKETS 4096u /* power of two */
struct roles {
    uint64_t seed;
    struct role_custom *custom; /* sorted by guid */
    size_t custom_n, custom_cap;
    struct role_assignment **assignment; /* sorted by guid */
    size_t assignment_n, assignment_cap;
    struct role_principal *by_principal[ROLES_BUCKETS];
};

const struct role_custom *roles_custom_find(const struct roles *r, const struct uuid *guid);
struct role_assignment *roles_assignment_find(const struct roles *r, const struct uuid *guid);
/* name: lower case. NULL when nothing was ever assigned to it. */
const struct role_principal *roles_principal_find(const struct roles *r, struct bytes name);
/* Does a built-in or custom definition of that guid exist? */
bool roles_definition_exists(const struct roles *r, const struct uuid *guid);
/* Calls visit for every assignment in the order of the guids; stops at the first error. */
typedef hsm_err (*roles_visit_fn)(void *ctx, const struct role_assignment *a);
HSM_MUST_USE hsm_err roles_visit(const struct roles *r, roles_visit_fn visit, void *ctx);

/* What the permissions of a definition grant: data actions minus all its notDataActions. */
HSM_MUST_USE hsm_err roles_granted(struct bytes permissions, action_set *ret);

struct wire_role_assignment roles_assignment_wire(const struct role_assignment *a);

/* scope_parse with the client's text for a failure. */
HSM_MUST_USE hsm_err roles_check_scope(struct request *rq, struct bytes text, struct scope *ret);

/* Rewrite the guard record: two role changes computed from the same state then conflict, the later
 * one is computed anew, and limits, uniqueness and the last-administrator rule hold for both. */
HSM_MUST_USE hsm_err roles_touch_guard(struct request *rq);

#endif
