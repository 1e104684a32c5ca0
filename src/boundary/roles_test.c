/* Role decisions and the role commands, on a small stand-in for the boundary's state: record
 * changes of a request are collected and applied when the test says so. */
#include "boundary/roles_testing.h"

/* ---- decisions ---- */

static void every_role_action_and_scope(void **state)
{
    struct env *e = *state;
    static const char *const scopes[] = {"/", "/keys", "/keys/k"};
    static const char *const asked[] = {"/", "/keys", "/keys/k", "/keys/other"};
    static const char *const covers[] = {"1111", "0111", "0010"};
    const struct builtin_role *role;
    for (unsigned r = 0; (role = builtin_role_at(r)) != NULL; r++) {
        char guid[37];
        uuid_format(&role->guid, guid);
        for (unsigned s = 0; s < 3; s++) {
            assign(e, 1, scopes[s], ALICE, guid);
            for (unsigned a = 0; a < ACTION__COUNT; a++) {
                bool has = (role->actions & ACTION_BIT(a)) != 0;
                for (unsigned q = 0; q < 4; q++) {
                    assert_int_equal(may(e, ALICE, (enum data_action)a, asked[q]),
                                     has && covers[s][q] == '1');
                    assert_false(may(e, BOB, (enum data_action)a, asked[q]));
                }
            }
            /* an administrator elsewhere, so that this one may go */
            assign(e, 2, "/", NOBODY, ADMIN_ROLE);
            assert_int_equal(unassign(e, 1, scopes[s]), HSM_OK);
            commit(e);
            struct change gone = {.kind = REC_ROLE_ASSIGNMENT, .removed = true};
            guid_text(gone.name, 2);
            apply(e, &gone);
        }
    }
    assert_int_equal(e->b.roles->assignment_n, 0);
    assert_false(may(e, ALICE, ACTION__COUNT, "/"));
}

static void groups_count(void **state)
{
    struct env *e = *state;
    char groups[2][37] = {NOBODY, GROUP};
    struct identity who = {.oid = ALICE, .groups = groups, .group_n = 2};
    struct scope key;
    assert_int_equal(scope_parse(bytes_str("/keys/K"), &key), HSM_OK);
    assert_false(roles_may(e->b.roles, &who, ACTION_KEYS_SIGN, &key));
    assign(e, 1, "/keys/k", GROUP, USER_ROLE);
    assert_true(roles_may(e->b.roles, &who, ACTION_KEYS_SIGN, &key));
    assert_false(roles_may(e->b.roles, &who, ACTION_DELETED_PURGE, &key));
    who.group_n = 1;
    assert_false(roles_may(e->b.roles, &who, ACTION_KEYS_SIGN, &key));
}

static void custom_roles_grant_what_they_say(void **state)
{
    struct env *e = *state;
    assert_int_equal(define(e, "/", CUSTOM_1, "signer", DATA "keys/sign/action", NULL), HSM_OK);
    assert_false(may(e, ALICE, ACTION_KEYS_SIGN, "/"));
    commit(e);
    assign(e, 1, "/keys", ALICE, CUSTOM_1);
    assert_true(may(e, ALICE, ACTION_KEYS_SIGN, "/keys/x"));
    assert_false(may(e, ALICE, ACTION_KEYS_SIGN, "/"));
    assert_false(may(e, ALICE, ACTION_KEYS_VERIFY, "/keys/x"));
    /* changed: the assignment follows */
    assert_int_equal(define(e, "/", CUSTOM_1, "signer", DATA "keys/verify/action", NULL), HSM_OK);
    commit(e);
    assert_false(may(e, ALICE, ACTION_KEYS_SIGN, "/keys/x"));
    assert_true(may(e, ALICE, ACTION_KEYS_VERIFY, "/keys/x"));
    /* notDataActions take away within the role only */
    assert_int_equal(
        define(e, "/", CUSTOM_1, "signer", DATA "keys/verify/action", DATA "keys/verify/action"),
        HSM_OK);
    commit(e);
    assert_false(may(e, ALICE, ACTION_KEYS_VERIFY, "/keys/x"));
    assign(e, 2, "/keys", ALICE, USER_ROLE);
    assert_true(may(e, ALICE, ACTION_KEYS_VERIFY, "/keys/x"));
    /* unknown actions are kept and grant nothing */
    assert_int_equal(define(e, "/", CUSTOM_2, "future", DATA "keys/teleport/action", NULL), HSM_OK);
    commit(e);
    assert_int_equal(roles_custom_find(e->b.roles, &e->b.roles->custom[1].guid)->actions, 0);
    assert_int_equal(by_ref(e, roles_handle_definition_get, "/", CUSTOM_2), HSM_OK);
    struct wire_role_definition d;
    struct wire_permission p;
    struct bytes item;
    assert_int_equal(wire_role_definition_decode(wr_view(&e->out), &d), HSM_OK);
    assert_true(wire_list_next(&d.permissions, &item));
    assert_int_equal(wire_permission_decode(item, &p), HSM_OK);
    assert_true(wire_list_next(&p.data_actions, &item));
    assert_true(bytes_eq_str(item, DATA "keys/teleport/action"));
}

static void deleted_role_leaves_defunct_assignments(void **state)
{
    struct env *e = *state;
    char list[16];
    assert_int_equal(define(e, "/", CUSTOM_1, "", DATA "rng/action", NULL), HSM_OK);
    commit(e);
    assign(e, 1, "/", ALICE, CUSTOM_1);
    assert_true(may(e, ALICE, ACTION_RNG, "/"));
    assert_int_equal(by_ref(e, roles_handle_definition_delete, "/", CUSTOM_1), HSM_OK);
    struct wire_role_definition d;
    assert_int_equal(wire_role_definition_decode(wr_view(&e->out), &d), HSM_OK);
    assert_true(bytes_eq_str(d.role_name, CUSTOM_1)); /* no name given: the guid */
    assert_int_equal(d.builtin, 0);
    commit(e);
    assert_false(may(e, ALICE, ACTION_RNG, "/"));
    listed(e, "/", ROLE_FILTER_NONE, "", list, sizeof list);
    assert_string_equal(list, "1");
    assert_int_equal(by_ref(e, roles_handle_definition_get, "/", CUSTOM_1),
                     HSM_E_ROLE_DEFINITION_NOT_FOUND);
    assert_int_equal(by_ref(e, roles_handle_definition_delete, "/", CUSTOM_1),
                     HSM_E_ROLE_DEFINITION_NOT_FOUND);
    assert_int_equal(assign_as(e, "/", CUSTOM_2, BOB, ID CUSTOM_1),
                     HSM_E_ROLE_DEFINITION_NOT_FOUND);
}

/* ---- definitions ---- */

static void definitions_refused(void **state)
{
    struct env *e = *state;
    const char *reuse = "Cannot re-use the name/GUID matching that of a built-in role. "
                        "Please use a unique role ID.";
    assert_detail(e, define(e, "/", "my-role", "x", NULL, NULL), HSM_E_BAD_PARAMETER,
                  "Role definition name must be a GUID");
    assert_detail(e, define(e, "/", USER_ROLE, "x", NULL, NULL), HSM_E_BAD_PARAMETER, reuse);
    assert_detail(e, define(e, "/", CUSTOM_1, "managed HSM administrator", NULL, NULL),
                  HSM_E_BAD_PARAMETER, reuse);
    assert_detail(e, by_ref(e, roles_handle_definition_delete, "/", USER_ROLE), HSM_E_BAD_PARAMETER,
                  reuse);
    assert_detail(e, by_ref(e, roles_handle_definition_delete, "/", CUSTOM_1),
                  HSM_E_ROLE_DEFINITION_NOT_FOUND, "Requested role definition not found");
    assert_detail(e, by_ref(e, roles_handle_definition_get, "/", "nonsense"),
                  HSM_E_ROLE_DEFINITION_NOT_FOUND, "Requested role definition not found");
    static const char *const scopes[] = {"/keys", "/keys/k", "/nonsense"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(define(e, scopes[i], CUSTOM_1, "x", NULL, NULL), HSM_E_BAD_PARAMETER);
        assert_int_equal(by_ref(e, roles_handle_definition_delete, scopes[i], CUSTOM_1),
                         HSM_E_BAD_PARAMETER);
    }
    static const char *const actions[] = {
        "",   "*",           "keys/create",       "Microsoft.KeyVault/vaults/keys/read",
        DATA, DATA "keys/*", DATA "keys/ create", DATA "keys/\"create\x01",
    };
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        assert_int_equal(define(e, "/", CUSTOM_1, "x", actions[i], NULL), HSM_E_BAD_PARAMETER);
        assert_int_equal(define(e, "/", CUSTOM_1, "x", NULL, actions[i]), HSM_E_BAD_PARAMETER);
    }
    e->b.is_full = true;
    assert_int_equal(define(e, "/", CUSTOM_1, "x", NULL, NULL), HSM_E_TOO_LARGE);
    assert_int_equal(e->b.roles->custom_n, 0);
}

static void definitions_list_and_limit(void **state)
{
    struct env *e = *state;
    char guid[37];
    for (unsigned i = 0; i < ROLES_CUSTOM_MAX; i++) {
        guid_text(guid, i);
        assert_int_equal(define(e, "/", guid, "x", DATA "rng/action", NULL), HSM_OK);
        commit(e);
    }
    guid_text(guid, ROLES_CUSTOM_MAX);
    assert_detail(e, define(e, "/", guid, "x", NULL, NULL), HSM_E_BAD_PARAMETER,
                  "The limit of 50 custom role definitions is reached.");
    guid_text(guid, 7); /* an update is no new one */
    assert_int_equal(define(e, "/", guid, "renamed", DATA "rng/action", NULL), HSM_OK);
    commit(e);
    static const char *const scopes[] = {"/", "/keys", "/keys/k"};
    for (size_t s = 0; s < 3; s++) {
        struct wire_scope q = {.scope = bytes_str(scopes[s])};
        struct wr w = wr_of(e->body, sizeof e->body);
        struct wire_list_result res;
        struct bytes item;
        unsigned n = 0;
        wire_scope_put(&w, &q);
        assert_int_equal(call(e, roles_handle_definition_list, w.n), HSM_OK);
        assert_int_equal(wire_list_result_decode(wr_view(&e->out), &res), HSM_OK);
        while (wire_list_next(&res.items, &item)) {
            struct wire_role_definition d;
            action_set granted;
            assert_int_equal(wire_role_definition_decode(item, &d), HSM_OK);
            assert_int_equal(d.builtin, n < 9);
            assert_int_equal(roles_granted(d.permissions, &granted), HSM_OK);
            assert_true(granted == (n < 9 ? builtin_role_at(n)->actions : ACTION_BIT(ACTION_RNG)));
            if (n == 9 + 7)
                assert_true(bytes_eq_str(d.role_name, "renamed"));
            n++;
        }
        assert_int_equal(n, 59);
    }
}

/* ---- assignments ---- */

static void assignment_forms(void **state)
{
    struct env *e = *state;
    static const char *const ids[] = {(ID USER_ROLE), ("/" ID USER_ROLE), USER_ROLE,
                                      ("/keys/k/providers/x/roleDefinitions/" USER_ROLE)};
    char guid[37];
    for (unsigned i = 0; i < 4; i++) {
        char scope[16];
        snprintf(scope, sizeof scope, "//keys/K%u/", i);
        guid_text(guid, i);
        assert_int_equal(assign_as(e, scope, guid, "AAAAAAAA-0000-4000-8000-000000000001", ids[i]),
                         HSM_OK);
        struct wire_role_assignment a;
        assert_int_equal(wire_role_assignment_decode(wr_view(&e->out), &a), HSM_OK);
        assert_true(bytes_eq_str(a.principal, ALICE));
        snprintf(scope, sizeof scope, "/keys/K%u", i);
        assert_true(bytes_eq_str(a.scope, scope));
        commit(e);
        assert_true(may(e, ALICE, ACTION_KEYS_SIGN, scope));
    }
    static const char *const bad_ids[] = {"",
                                          "x",
                                          ID "x",
                                          "roleDefinitions" USER_ROLE,
                                          ID USER_ROLE "/",
                                          "roleAssignments/" USER_ROLE};
    guid_text(guid, 9);
    for (size_t i = 0; i < sizeof bad_ids / sizeof bad_ids[0]; i++)
        assert_int_equal(assign_as(e, "/", guid, BOB, bad_ids[i]), HSM_E_BAD_PARAMETER);
    assert_int_equal(assign_as(e, "/", "nonsense", BOB, USER_ROLE), HSM_E_BAD_PARAMETER);
    assert_int_equal(assign_as(e, "/", guid, "bob@example.com", USER_ROLE), HSM_E_BAD_PARAMETER);
    assert_int_equal(assign_as(e, "/", guid, "", USER_ROLE), HSM_E_BAD_PARAMETER);
    assert_int_equal(assign_as(e, "/secrets", guid, BOB, USER_ROLE), HSM_E_BAD_PARAMETER);
    assert_detail(e, assign_as(e, "/", guid, BOB, ID CUSTOM_1), HSM_E_ROLE_DEFINITION_NOT_FOUND,
                  "Requested role definition not found");
}

static void assignments_are_unique(void **state)
{
    struct env *e = *state;
    char guid[37];
    assign(e, 1, "/", ALICE, USER_ROLE);
    guid_text(guid, 1);
    assert_detail(e, assign_as(e, "/", guid, ALICE, USER_ROLE), HSM_E_ROLE_ASSIGNMENT_EXISTS,
                  "The role assignment already exists.");
    assert_detail(e, assign_as(e, "/keys", guid, BOB, "nonsense"), HSM_E_ROLE_ASSIGNMENT_EXISTS,
                  "The role assignment already exists.");
    guid_text(guid, 2);
    assert_detail(
        e, assign_as(e, "//", guid, ALICE, "/" ID USER_ROLE), HSM_E_MATCHING_ROLE_ASSIGNMENT,
        "Role assignment '99999999-0000-4000-8000-000000000001' already adds role '" ID USER_ROLE
        "' to principal '" ALICE "' in scope '/'.");
    assign(e, 2, "/keys/Key", ALICE, USER_ROLE);
    guid_text(guid, 3);
    assert_int_equal(assign_as(e, "/keys/kEY", guid, ALICE, USER_ROLE),
                     HSM_E_MATCHING_ROLE_ASSIGNMENT);
    assign(e, 3, "/keys", ALICE, USER_ROLE);
    assign(e, 4, "/", BOB, USER_ROLE);
    assign(e, 5, "/", ALICE, ADMIN_ROLE);
}

static void lists_by_scope_and_filter(void **state)
{
    struct env *e = *state;
    assign(e, 1, "/", ALICE, ADMIN_ROLE);
    assign(e, 2, "/keys", ALICE, USER_ROLE);
    assign(e, 3, "/keys/k", ALICE, USER_ROLE);
    assign(e, 4, "/keys/other", ALICE, USER_ROLE);
    assign(e, 5, "/", BOB, USER_ROLE);
    assign(e, 6, "/keys/K", BOB, USER_ROLE);
    static const struct {
        const char *scope;
        uint8_t filter;
        const char *principal;
        const char *want;
    } cases[] = {
        {"/", ROLE_FILTER_NONE, "", "125"},
        {"/keys", ROLE_FILTER_NONE, "", "2"},
        {"/keys/k", ROLE_FILTER_NONE, "", "36"},
        {"/keys/none", ROLE_FILTER_NONE, "", ""},
        {"/", ROLE_FILTER_AT_SCOPE, "", "15"},
        {"/keys", ROLE_FILTER_AT_SCOPE, "", "125"},
        {"/keys/k", ROLE_FILTER_AT_SCOPE, "", "12356"},
        {"/", ROLE_FILTER_PRINCIPAL, ALICE, "1234"},
        {"/keys", ROLE_FILTER_PRINCIPAL, ALICE, "12"},
        {"/keys/k", ROLE_FILTER_PRINCIPAL, ALICE, "123"},
        {"/", ROLE_FILTER_PRINCIPAL, "BBBBBBBB-0000-4000-8000-000000000002", "56"},
        {"/", ROLE_FILTER_PRINCIPAL, NOBODY, ""},
        {"/", ROLE_FILTER_PRINCIPAL, "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char got[16];
        listed(e, cases[i].scope, cases[i].filter, cases[i].principal, got, sizeof got);
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("case %zu: %s instead of %s", i, got, cases[i].want);
    }
    struct wire_scope q = {.scope = bytes_str("/"), .filter = 9};
    struct wr w = wr_of(e->body, sizeof e->body);
    wire_scope_put(&w, &q);
    assert_int_equal(call(e, roles_handle_assignment_list, w.n), HSM_E_BAD_PARAMETER);
}

static void get_and_delete_respect_the_scope(void **state)
{
    struct env *e = *state;
    char guid[37];
    assign(e, 1, "/keys/k", ALICE, USER_ROLE);
    guid_text(guid, 1);
    assert_int_equal(by_ref(e, roles_handle_assignment_get, "/keys/K", guid), HSM_OK);
    assert_int_equal(by_ref(e, roles_handle_assignment_get, "/", guid), HSM_OK);
    assert_int_equal(by_ref(e, roles_handle_assignment_get, "/keys/other", guid),
                     HSM_E_ROLE_ASSIGNMENT_NOT_FOUND);
    assert_int_equal(by_ref(e, roles_handle_assignment_get, "/", "nonsense"),
                     HSM_E_ROLE_ASSIGNMENT_NOT_FOUND);
    static const char *const elsewhere[] = {"/", "/keys", "/keys/other"};
    for (size_t i = 0; i < 3; i++)
        assert_detail(e, unassign(e, 1, elsewhere[i]), HSM_E_ROLE_ASSIGNMENT_NOT_FOUND,
                      "Requested role assignment not found");
    assert_int_equal(unassign(e, 1, "/bad/scope"), HSM_E_BAD_PARAMETER);
    assert_int_equal(unassign(e, 1, "/keys/k"), HSM_OK);
    struct wire_role_assignment a;
    assert_int_equal(wire_role_assignment_decode(wr_view(&e->out), &a), HSM_OK);
    assert_true(bytes_eq_str(a.principal, ALICE));
    commit(e);
    assert_false(may(e, ALICE, ACTION_KEYS_SIGN, "/keys/k"));
    assert_int_equal(unassign(e, 1, "/keys/k"), HSM_E_ROLE_ASSIGNMENT_NOT_FOUND);
}

static void last_administrator_stays(void **state)
{
    struct env *e = *state;
    assign(e, 1, "/", ALICE, ADMIN_ROLE);
    assign(e, 2, "/keys", BOB, ADMIN_ROLE); /* does not count: not at "/" */
    assign(e, 3, "/", BOB, USER_ROLE);
    hsm_err err = unassign(e, 1, "/");
    assert_int_equal(err, HSM_E_CONFLICT);
    assert_non_null(strstr(e->rq.detail, "another administrator"));
    assert_int_equal(unassign(e, 2, "/keys"), HSM_OK);
    assert_int_equal(unassign(e, 3, "/"), HSM_OK);
    assign(e, 4, "/", BOB, ADMIN_ROLE);
    assert_int_equal(unassign(e, 1, "/"), HSM_OK);
    commit(e);
    assert_int_equal(unassign(e, 4, "/"), HSM_E_CONFLICT);
}

static void assignment_limits(void **state)
{
    struct env *e = *state;
    char oid[37];
    char guid[37];
    for (unsigned i = 0; i < ROLES_POOL_SCOPE_MAX; i++) {
        snprintf(oid, sizeof oid, "77777777-0000-4000-8000-%012u", i);
        assign(e, i, i % 2 == 0 ? "/" : "/keys", oid, USER_ROLE);
    }
    guid_text(guid, 900);
    assert_detail(e, assign_as(e, "/", guid, ALICE, USER_ROLE), HSM_E_BAD_PARAMETER,
                  "The limit of 50 role assignments at '/' and '/keys' is reached.");
    assert_int_equal(assign_as(e, "/keys", guid, ALICE, USER_ROLE), HSM_E_BAD_PARAMETER);
    for (unsigned i = 0; i < ROLES_KEY_SCOPE_MAX; i++) {
        snprintf(oid, sizeof oid, "77777777-0000-4000-8000-%012u", i);
        assign(e, 100 + i, i % 2 == 0 ? "/keys/k" : "/keys/K", oid, USER_ROLE);
    }
    assert_detail(e, assign_as(e, "/keys/k", guid, ALICE, USER_ROLE), HSM_E_BAD_PARAMETER,
                  "The limit of 10 role assignments at the scope of one key is reached.");
    assign(e, 200, "/keys/other", ALICE, USER_ROLE);
}

/* ---- records ---- */

static void records_are_judged(void **state)
{
    struct env *e = *state;
    uint8_t buf[512];
    struct uuid guid;
    struct wr w = wr_of(buf, sizeof buf);
    struct scope root = {.kind = SCOPE_ROOT};
    struct identity alice = {.oid = ALICE};
    assert_int_equal(roles_admin_assignment(bytes_str("not a guid"), &guid, &w),
                     HSM_E_BAD_PARAMETER);
    assert_int_equal(
        roles_admin_assignment(bytes_str("AAAAAAAA-0000-4000-8000-000000000001"), &guid, &w),
        HSM_OK);
    assert_int_equal(roles_apply_assignment(e->b.roles, wr_view(&w), false), HSM_OK);
    assert_true(roles_may(e->b.roles, &alice, ACTION_SD_DOWNLOAD, &root));
    /* the same again replaces; every cut is refused */
    assert_int_equal(roles_apply_assignment(e->b.roles, wr_view(&w), false), HSM_OK);
    assert_int_equal(e->b.roles->assignment_n, 1);
    for (size_t n = 0; n < w.n; n++)
        assert_int_not_equal(roles_apply_assignment(e->b.roles, bytes_of(buf, n), false), HSM_OK);
    assert_int_equal(roles_apply_assignment(e->b.roles, wr_view(&w), true), HSM_OK);
    assert_int_equal(roles_apply_assignment(e->b.roles, wr_view(&w), true), HSM_OK);
    assert_false(roles_may(e->b.roles, &alice, ACTION_SD_DOWNLOAD, &root));

    struct wire_role_assignment bad = {.principal = bytes_str(ALICE), .scope = bytes_str("/x")};
    w = wr_of(buf, sizeof buf);
    wire_role_assignment_put(&w, &bad);
    assert_int_equal(roles_apply_assignment(e->b.roles, wr_view(&w), false), HSM_E_CORRUPT);
    /* no record can redefine a built-in role */
    struct wire_role_definition d = {.guid = *builtin_role_administrator()};
    w = wr_of(buf, sizeof buf);
    wire_role_definition_put(&w, &d);
    assert_int_equal(roles_apply_definition(e->b.roles, wr_view(&w), false), HSM_E_CORRUPT);
    /* an assignment that is loaded before its definition */
    assign(e, 1, "/", ALICE, USER_ROLE);
    struct wire_role_assignment early = {.principal = bytes_str(BOB), .scope = bytes_str("/")};
    assert_int_equal(uuid_parse(bytes_str(CUSTOM_1), &early.role), HSM_OK);
    early.guid = early.role;
    w = wr_of(buf, sizeof buf);
    wire_role_assignment_put(&w, &early);
    assert_int_equal(roles_apply_assignment(e->b.roles, wr_view(&w), false), HSM_OK);
    assert_false(may(e, BOB, ACTION_RNG, "/"));
    assert_int_equal(define(e, "/", CUSTOM_1, "late", DATA "rng/action", NULL), HSM_OK);
    commit(e);
    assert_true(may(e, BOB, ACTION_RNG, "/"));
}

/* Cut requests never reach a handler's logic. */
static void truncated_requests(void **state)
{
    struct env *e = *state;
    static const handler_fn handlers[] = {
        roles_handle_definition_list,   roles_handle_definition_get,    roles_handle_definition_put,
        roles_handle_definition_delete, roles_handle_assignment_list,   roles_handle_assignment_get,
        roles_handle_assignment_put,    roles_handle_assignment_delete,
    };
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        for (size_t n = 0; n < 8; n++) {
            memset(e->body, 0, n);
            assert_int_equal(call(e, handlers[i], n), HSM_E_MALFORMED);
        }
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_role_action_and_scope),
        T(groups_count),
        T(custom_roles_grant_what_they_say),
        T(deleted_role_leaves_defunct_assignments),
        T(definitions_refused),
        T(definitions_list_and_limit),
        T(assignment_forms),
        T(assignments_are_unique),
        T(lists_by_scope_and_filter),
        T(get_and_delete_respect_the_scope),
        T(last_administrator_stays),
        T(assignment_limits),
        T(records_are_judged),
        T(truncated_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
