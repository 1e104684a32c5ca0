/* Managed identities: that of a resource, and the user-assigned ones, which are resources. */
#include <stdio.h>
#include <strings.h>
#include "fabric/consumer.h"
#include "fabric/managed.h"

#define USER_MAX 20

/* "SystemAssigned, UserAssigned" with or without the blank, any case. */
static bool take_kinds(const char *text, unsigned *ret)
{
    static const struct {
        const char *word;
        unsigned kinds;
    } words[] = {{"None", IDENTITY_NONE},
                 {"SystemAssigned", IDENTITY_SYSTEM},
                 {"UserAssigned", IDENTITY_USER},
                 {"SystemAssigned,UserAssigned", IDENTITY_SYSTEM | IDENTITY_USER},
                 {"SystemAssigned, UserAssigned", IDENTITY_SYSTEM | IDENTITY_USER}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(text, words[i].word) == 0) {
            *ret = words[i].kinds;
            return true;
        }
    }
    return false;
}

static const char *const kind_word[] = {"None", "SystemAssigned", "UserAssigned",
                                        "SystemAssigned, UserAssigned"};

static bool bad(const struct arm_put *p, const char *why, const char *what, struct answer *a)
{
    return arm_error(a, 400, "InvalidIdentity", "The identity of resource '%s' is invalid: %s%s.",
                     p->id, why, what);
}

/* Ids of the user-assigned identities after the change; a null takes one away (PATCH). */
struct users {
    char id[USER_MAX][ARM_ID_MAX + 1];
    size_t n;
};

static void drop(struct users *u, const char *id)
{
    for (size_t i = 0; i < u->n; i++) {
        if (strcasecmp(u->id[i], id) == 0) {
            memmove(u->id[i], u->id[i + 1], (u->n - i - 1) * sizeof u->id[0]);
            u->n--;
            return;
        }
    }
}

static bool add_users(const struct json_doc *d, uint32_t identity, struct users *u)
{
    uint32_t obj = json_get_nn(d, identity, "userAssignedIdentities");
    if (obj == JSON_NONE)
        return true;
    if (json_type_of(d, obj) != JSON_OBJECT)
        return false;
    for (uint32_t m = json_first(d, obj); m != JSON_NONE; m = json_next(d, obj, m)) {
        char id[ARM_ID_MAX + 1];
        size_t n = 0;
        if (json_string(d, m, id, ARM_ID_MAX, &n) != HSM_OK || n == 0)
            return false;
        id[n] = '\0';
        drop(u, id);
        if (json_type_of(d, json_value(m)) == JSON_NULL)
            continue;
        if (u->n == USER_MAX)
            return false;
        memcpy(u->id[u->n++], id, n + 1);
    }
    return true;
}

static bool write_user(struct fabric *f, const struct arm_put *p, const char *id, struct answer *a)
{
    struct arm_resource r;
    if (!arm_find(f, bytes_str(id), &r) || r.type != &user_identity_type)
        return arm_error(a, 400, "FailedIdentityOperation",
                         "Identity operation for resource '%s' failed: the user-assigned identity "
                         "'%s' was not found.",
                         p->id, id);
    uint32_t props = arm_properties(&r.json);
    json_name_bytes(p->top, bytes_str(id));
    json_obj_open(p->top);
    arm_copy(p->top, &r.json, props, "principalId");
    arm_copy(p->top, &r.json, props, "clientId");
    json_obj_close(p->top);
    return true;
}

static bool write_users(struct fabric *f, const struct arm_put *p, const struct users *u,
                        struct answer *a)
{
    json_name(p->top, "userAssignedIdentities");
    json_obj_open(p->top);
    for (size_t i = 0; i < u->n; i++)
        if (!write_user(f, p, u->id[i], a))
            return false;
    json_obj_close(p->top);
    return true;
}

/* The system-assigned identity: the one there is, or a new one. principal[0] == 0: has none yet. */
static bool write_system(struct fabric *f, const struct request *rq, const struct arm_put *p,
                         const char *principal, struct answer *a)
{
    struct managed_identity m = {.user_assigned = false};
    if (principal[0] != '\0') {
        put_str(p->top, "principalId", principal);
    } else {
        const struct managed_want want = {.name = bytes_str(p->name),
                                          .resource_id = bytes_str(p->id)};
        if (identity_create_managed(f, rq->changes, &want, rq->now_ms, &m) != HSM_OK)
            return bad(p, "no identity can be made for that name", "", a);
        put_str(p->top, "principalId", m.principal_id);
    }
    put_str(p->top, "tenantId", f->provider.dir.tenant);
    return true;
}

struct before {
    unsigned kinds;
    char principal[UUID_TEXT_LEN + 1]; /* "": no system-assigned one */
    struct users users;
};

static void read_before(const struct arm_put *p, struct before *b)
{
    char type[64];
    uint32_t old = p->old != NULL ? json_get_nn(p->old, 0, "identity") : JSON_NONE;
    b->kinds = IDENTITY_NONE;
    b->principal[0] = '\0';
    b->users.n = 0;
    if (old == JSON_NONE)
        return;
    if (!arm_string(p->old, old, "type", type, sizeof type) || !take_kinds(type, &b->kinds))
        b->kinds = IDENTITY_NONE;
    (void)arm_string(p->old, old, "principalId", b->principal, sizeof b->principal);
    (void)add_users(p->old, old, &b->users);
}

bool consumer_identity(struct fabric *f, const struct request *rq, struct arm_put *p,
                       unsigned *ret_kinds, struct answer *a)
{
    char type[64] = "";
    struct before b;
    read_before(p, &b);
    unsigned kinds = b.kinds;
    uint32_t v = json_get_nn(p->body, 0, "identity");
    if (v != JSON_NONE) {
        if (!arm_string(p->body, v, "type", type, sizeof type) || !take_kinds(type, &kinds))
            return bad(p, "unknown type ", type, a);
        if (!p->patch)
            b.users.n = 0;
        if (!add_users(p->body, v, &b.users))
            return bad(p, "userAssignedIdentities must be an object of at most 20 ids", "", a);
        if ((kinds & IDENTITY_USER) == 0)
            b.users.n = 0;
        else if (b.users.n == 0)
            return bad(p, "a user-assigned identity must be named", "", a);
    }
    *ret_kinds = kinds;
    if ((kinds & IDENTITY_SYSTEM) == 0 && b.principal[0] != '\0' &&
        identity_delete(f, rq->changes, bytes_str(b.principal)) != HSM_OK)
        return bad(p, "the old one cannot be ended", "", a);
    if (kinds == IDENTITY_NONE && v == JSON_NONE)
        return true;
    json_name(p->top, "identity");
    json_obj_open(p->top);
    put_str(p->top, "type", kind_word[kinds]);
    if ((kinds & IDENTITY_SYSTEM) != 0 && !write_system(f, rq, p, b.principal, a))
        return false;
    if ((kinds & IDENTITY_USER) != 0 && !write_users(f, p, &b.users, a))
        return false;
    json_obj_close(p->top);
    return true;
}

bool consumer_has_identity(const struct arm_put *p, const char *id)
{
    static struct users u;
    u.n = 0;
    uint32_t v = json_get_nn(p->body, 0, "identity");
    if (p->old != NULL && (p->patch || v == JSON_NONE))
        (void)add_users(p->old, json_get_nn(p->old, 0, "identity"), &u);
    if (v != JSON_NONE)
        (void)add_users(p->body, v, &u);
    for (size_t i = 0; i < u.n; i++)
        if (strcasecmp(u.id[i], id) == 0)
            return true;
    return false;
}

bool consumer_delete(struct fabric *f, const struct request *rq, struct arm_delete *d,
                     struct answer *a)
{
    char principal[UUID_TEXT_LEN + 1];
    uint32_t v = json_get_nn(&d->resource->json, 0, "identity");
    if (v != JSON_NONE &&
        arm_string(&d->resource->json, v, "principalId", principal, sizeof principal) &&
        identity_delete(f, rq->changes, bytes_str(principal)) != HSM_OK)
        return arm_error(a, 503, "ServiceUnavailable", "The identity cannot be ended; retry.");
    return true;
}

/* ---- Microsoft.ManagedIdentity/userAssignedIdentities ---- */

static bool put_user(struct fabric *f, const struct request *rq, struct arm_put *p,
                     struct answer *a)
{
    struct managed_identity m = {.user_assigned = true};
    if (p->old != NULL) {
        uint32_t props = arm_properties(p->old);
        static const char *const own[] = {"tenantId", "principalId", "clientId", NULL};
        for (size_t i = 0; own[i] != NULL; i++)
            arm_copy(p->properties, p->old, props, own[i]);
        return true;
    }
    const struct managed_want want = {
        .name = bytes_str(p->name), .resource_id = bytes_str(p->id), .user_assigned = true};
    if (identity_create_managed(f, rq->changes, &want, rq->now_ms, &m) != HSM_OK)
        return arm_error(
            a, 400, "BadRequest",
            "The name '%s' is invalid: it must be 3 to 128 letters, digits, hyphens and "
            "underscores.",
            p->name);
    put_str(p->properties, "tenantId", f->provider.dir.tenant);
    put_str(p->properties, "principalId", m.principal_id);
    put_str(p->properties, "clientId", m.client_id);
    return true;
}

static bool name_fits(const char *name)
{
    size_t n = strlen(name);
    return n >= 3 && n <= 128 && name[0] != '-' && name[0] != '_' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == n;
}

static bool put_user_identity(struct fabric *f, const struct request *rq, struct arm_put *p,
                              struct answer *a)
{
    if (!name_fits(p->name))
        return arm_error(a, 400, "InvalidIdentityName",
                         "The name '%s' is invalid: 3 to 128 letters, digits, hyphens and "
                         "underscores, first a letter or digit.",
                         p->name);
    return put_user(f, rq, p, a);
}

static bool delete_user(struct fabric *f, const struct request *rq, struct arm_delete *d,
                        struct answer *a)
{
    char principal[UUID_TEXT_LEN + 1];
    if (arm_string(&d->resource->json, arm_properties(&d->resource->json), "principalId", principal,
                   sizeof principal) &&
        identity_delete(f, rq->changes, bytes_str(principal)) != HSM_OK)
        return arm_error(a, 503, "ServiceUnavailable", "The identity cannot be ended; retry.");
    return true;
}

const struct arm_type user_identity_type = {.name =
                                                "Microsoft.ManagedIdentity/userAssignedIdentities",
                                            .methods = ARM_ALL,
                                            .located = true,
                                            .put = put_user_identity,
                                            .del = delete_user};
