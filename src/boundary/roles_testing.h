/* For roles_test.c: a small stand-in for the boundary's state, and requests in short. Defines the
 * functions of handler.h that role commands call, so it is for one test program only. */
#ifndef BOUNDARY_ROLES_TESTING_H
#define BOUNDARY_ROLES_TESTING_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "boundary/roles_internal.h"

#define ALICE      "aaaaaaaa-0000-4000-8000-000000000001"
#define BOB        "bbbbbbbb-0000-4000-8000-000000000002"
#define GROUP      "cccccccc-0000-4000-8000-000000000003"
#define NOBODY     "dddddddd-0000-4000-8000-000000000004"
#define ADMIN_ROLE "a290e904-7015-4bba-90c8-60543313cdb4"
#define USER_ROLE  "21dbd100-6940-42c2-9190-5d6cb909625b"
#define CUSTOM_1   "11111111-0000-4000-8000-000000000011"
#define CUSTOM_2   "22222222-0000-4000-8000-000000000022"
#define DATA       "Microsoft.KeyVault/managedHsm/"
#define ID         "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/"

/* ---- the stand-in ---- */

struct change {
    enum record_kind kind;
    char name[64];
    bool removed;
    uint8_t *plain;
    size_t plain_n;
};
struct boundary {
    struct roles *roles;
    struct change change[8];
    size_t change_n;
    bool is_full; /* the transaction refuses everything */
};
struct env {
    struct boundary b;
    struct request rq;
    uint8_t body[80000];
    uint8_t out_buf[950000];
    struct wr out;
};

struct roles *boundary_roles(struct boundary *b)
{
    return b->roles;
}

hsm_err request_fail(struct request *rq, hsm_err err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(rq->detail, sizeof rq->detail, fmt, ap);
    va_end(ap);
    return err;
}

static inline hsm_err note(struct request *rq, enum record_kind kind, struct bytes name,
                           struct bytes plain, bool removed)
{
    struct boundary *b = rq->b;
    if (b->is_full)
        return HSM_E_TOO_LARGE;
    assert_true(b->change_n < 8 && name.n < 64);
    struct change *c = &b->change[b->change_n++];
    *c = (struct change){.kind = kind, .removed = removed, .plain_n = plain.n};
    memcpy(c->name, name.p, name.n);
    c->plain = malloc(plain.n + 1);
    assert_non_null(c->plain);
    if (plain.n > 0)
        memcpy(c->plain, plain.p, plain.n);
    return HSM_OK;
}
hsm_err txn_put(struct request *rq, enum record_kind kind, struct bytes name, struct bytes plain)
{
    return note(rq, kind, name, plain, false);
}
hsm_err txn_remove(struct request *rq, enum record_kind kind, struct bytes name)
{
    return note(rq, kind, name, bytes_of(NULL, 0), true);
}

/* The state gives the removed record's last plaintext. */
static inline void apply(struct env *e, struct change *c)
{
    uint8_t buf[512];
    struct wr w = wr_of(buf, sizeof buf);
    struct bytes plain = bytes_of(c->plain, c->plain_n);
    struct uuid guid;
    if (c->removed) {
        assert_int_equal(uuid_parse(bytes_str(c->name), &guid), HSM_OK);
        if (c->kind == REC_ROLE_DEFINITION) {
            struct wire_role_definition d = {.guid = guid};
            wire_role_definition_put(&w, &d);
        } else {
            struct wire_role_assignment a = {.guid = guid, .principal = bytes_str(ALICE)};
            wire_role_assignment_put(&w, &a);
        }
        plain = wr_view(&w);
    }
    hsm_err err = c->kind == REC_ROLE_DEFINITION
                      ? roles_apply_definition(e->b.roles, plain, c->removed)
                      : roles_apply_assignment(e->b.roles, plain, c->removed);
    assert_int_equal(err, HSM_OK);
}

static inline void drop_changes(struct env *e)
{
    for (size_t i = 0; i < e->b.change_n; i++)
        free(e->b.change[i].plain);
    e->b.change_n = 0;
}

/* Every write carries the guard, so that two of them conflict. */
static inline void commit(struct env *e)
{
    bool has_guard = false;
    assert_int_equal(e->b.change_n, 2);
    for (size_t i = 0; i < e->b.change_n; i++) {
        struct change *c = &e->b.change[i];
        if (strcmp(c->name, "guard") == 0) {
            assert_int_equal(c->kind, REC_ROLE_ASSIGNMENT);
            assert_false(c->removed);
            has_guard = true;
        }
        apply(e, c);
    }
    assert_true(has_guard);
    drop_changes(e);
}

static inline int setup(void **state)
{
    struct env *e = calloc(1, sizeof *e);
    if (e == NULL || roles_new(&e->b.roles) != HSM_OK)
        return -1;
    e->rq.b = &e->b;
    *state = e;
    return 0;
}

static inline int teardown(void **state)
{
    struct env *e = *state;
    drop_changes(e);
    roles_free(e->b.roles);
    free(e);
    return 0;
}

/* ---- requests ---- */

static inline hsm_err call(struct env *e, handler_fn fn, size_t body_n)
{
    drop_changes(e);
    e->out = wr_of(e->out_buf, sizeof e->out_buf);
    e->rq.out = &e->out;
    e->rq.body = bytes_of(e->body, body_n);
    e->rq.detail[0] = 0;
    hsm_err err = fn(&e->rq);
    if (err != HSM_OK)
        drop_changes(e); /* as the dispatcher drops the transaction */
    return err;
}

static inline hsm_err by_ref(struct env *e, handler_fn fn, const char *scope, const char *guid)
{
    struct wire_role_ref q = {.scope = bytes_str(scope), .guid = bytes_str(guid)};
    struct wr w = wr_of(e->body, sizeof e->body);
    wire_role_ref_put(&w, &q);
    return call(e, fn, w.n);
}

static inline hsm_err assign_as(struct env *e, const char *scope, const char *guid,
                                const char *principal, const char *role_id)
{
    struct wire_role_assignment_put q = {
        .scope = bytes_str(scope),
        .guid = bytes_str(guid),
        .principal = bytes_str(principal),
        .role_id = bytes_str(role_id),
    };
    struct wr w = wr_of(e->body, sizeof e->body);
    wire_role_assignment_put_put(&w, &q);
    return call(e, roles_handle_assignment_put, w.n);
}

static inline void guid_text(char dst[37], unsigned n)
{
    snprintf(dst, 37, "99999999-0000-4000-8000-%012u", n);
}

/* Assign and commit; the guid is made of n. */
static inline void assign(struct env *e, unsigned n, const char *scope, const char *principal,
                          const char *role)
{
    char guid[37];
    guid_text(guid, n);
    hsm_err err = assign_as(e, scope, guid, principal, role);
    if (err != HSM_OK)
        fail_msg("assign %u: %s %s", n, hsm_err_name(err), e->rq.detail);
    commit(e);
}

static inline hsm_err unassign(struct env *e, unsigned n, const char *scope)
{
    char guid[37];
    guid_text(guid, n);
    return by_ref(e, roles_handle_assignment_delete, scope, guid);
}

/* data: one data action or NULL; not_data likewise. */
static inline hsm_err define(struct env *e, const char *scope, const char *guid, const char *name,
                             const char *data, const char *not_data)
{
    uint8_t data_buf[2048];
    uint8_t not_buf[2048];
    uint8_t perm_buf[4096];
    uint8_t list_buf[5000];
    struct wr dw = wr_of(data_buf, sizeof data_buf);
    struct wr nw = wr_of(not_buf, sizeof not_buf);
    if (data != NULL)
        wr_lv(&dw, bytes_str(data));
    if (not_data != NULL)
        wr_lv(&nw, bytes_str(not_data));
    struct wire_permission p = {.data_actions = wr_view(&dw), .not_data_actions = wr_view(&nw)};
    struct wr pw = wr_of(perm_buf, sizeof perm_buf);
    wire_permission_put(&pw, &p);
    struct wr lw = wr_of(list_buf, sizeof list_buf);
    wr_lv(&lw, wr_view(&pw));
    struct wire_role_definition_put q = {
        .scope = bytes_str(scope),
        .guid = bytes_str(guid),
        .role_name = bytes_str(name),
        .permissions = wr_view(&lw),
    };
    struct wr w = wr_of(e->body, sizeof e->body);
    wire_role_definition_put_put(&w, &q);
    return call(e, roles_handle_definition_put, w.n);
}

static inline bool may(struct env *e, const char *oid, enum data_action a, const char *scope)
{
    struct identity who = {0};
    struct scope s;
    snprintf(who.oid, sizeof who.oid, "%s", oid);
    assert_int_equal(scope_parse(bytes_str(scope), &s), HSM_OK);
    return roles_may(e->b.roles, &who, a, &s);
}

static inline void assert_detail(struct env *e, hsm_err err, hsm_err want, const char *text)
{
    assert_string_equal(hsm_err_name(err), hsm_err_name(want));
    assert_string_equal(e->rq.detail[0] != 0 ? e->rq.detail : hsm_err_text(err), text);
}

/* Principals of a list, one letter each in the order of the guids. */
static inline void listed(struct env *e, const char *scope, uint8_t filter, const char *principal,
                          char *dst, size_t cap)
{
    struct wire_scope q = {
        .scope = bytes_str(scope), .filter = filter, .principal = bytes_str(principal)};
    struct wr w = wr_of(e->body, sizeof e->body);
    wire_scope_put(&w, &q);
    assert_int_equal(call(e, roles_handle_assignment_list, w.n), HSM_OK);
    struct wire_list_result res;
    assert_int_equal(wire_list_result_decode(wr_view(&e->out), &res), HSM_OK);
    size_t n = 0;
    struct bytes item;
    while (wire_list_next(&res.items, &item)) {
        struct wire_role_assignment a;
        assert_int_equal(wire_role_assignment_decode(item, &a), HSM_OK);
        assert_true(n + 1 < cap);
        dst[n++] = (char)('0' + a.guid.b[15]);
    }
    dst[n] = 0;
}

#endif
