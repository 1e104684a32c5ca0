/* The built-in roles against the service's role x action matrix, written out here a second time and
 * in another form than in rbac.c; scopes and their order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include "model/rbac.h"

/* Columns of the matrix. */
static const struct {
    const char *name;
    const char *guid;
} columns[] = {
    {"Managed HSM Administrator", "a290e904-7015-4bba-90c8-60543313cdb4"},
    {"Managed HSM Crypto Officer", "515eb02d-2335-4d2d-92f2-b1cbdf9c3778"},
    {"Managed HSM Crypto User", "21dbd100-6940-42c2-9190-5d6cb909625b"},
    {"Managed HSM Policy Administrator", "4bd23610-cdcf-4971-bdee-bdc562cc28e4"},
    {"Managed HSM Crypto Auditor", "2c18b078-7c48-4d3a-af88-5a3a1b3f82b3"},
    {"Managed HSM Crypto Service Encryption User", "33413926-3206-4cdd-b39a-83574fe37a17"},
    {"Managed HSM Crypto Service Release User", "21dbd100-6940-42c2-9190-5d6cb909625c"},
    {"Managed HSM Backup User", "7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8"},
    {"Managed HSM Restore", "6efe6056-5259-49d2-8b3d-d3d73544b20b"},
};
#define COLUMNS (sizeof columns / sizeof columns[0])

static const struct {
    const char *action; /* behind the prefix */
    const char *cells;  /* one per column */
} matrix[] = {
    {"securitydomain/download/action", "X........"},
    {"securitydomain/download/read", "X........"},
    {"securitydomain/upload/action", "X........"},
    {"securitydomain/upload/read", "X........"},
    {"securitydomain/transferkey/read", "X........"},
    {"settings/read/action", "X........"},
    {"settings/write/action", "X........"},
    {"backup/start/action", "X......X."},
    {"backup/status/action", "X......X."},
    {"restore/start/action", "X.......X"},
    {"restore/status/action", "X.......X"},
    {"roleAssignments/read/action", "XXXXX...."},
    {"roleAssignments/write/action", "XX.X....."},
    {"roleAssignments/delete/action", "XX.X....."},
    {"roleDefinitions/read/action", "XXXXX...."},
    {"roleDefinitions/write/action", "XX.X....."},
    {"roleDefinitions/delete/action", "XX.X....."},
    {"keys/read/action", "..X.XX..."},
    {"keys/write/action", "..X......"},
    {"keys/create", "..X......"},
    {"keys/delete", "..X......"},
    {"keys/rotate/action", "..X......"},
    {"keys/import/action", "..X......"},
    {"keys/release/action", "..X...X.."},
    {"keys/backup/action", "..X....X."},
    {"keys/restore/action", "..X.....X"},
    {"keys/export/action", ".X......."},
    {"keys/deletedKeys/read/action", ".X..X...."},
    {"keys/deletedKeys/recover/action", ".X......."},
    {"keys/deletedKeys/delete", ".X......."},
    {"keys/encrypt/action", "..X......"},
    {"keys/decrypt/action", "..X......"},
    {"keys/wrap/action", "..X..X..."},
    {"keys/unwrap/action", "..X..X..."},
    {"keys/sign/action", "..X......"},
    {"keys/verify/action", "..X......"},
    {"keys/derive/action", "..X......"},
    {"rng/action", "..X......"},
    {"ekm/read", "........."},
    {"ekm/write", "........."},
    {"ekm/delete", "........."},
};
#define ROWS (sizeof matrix / sizeof matrix[0])

static const struct builtin_role *role_of(const char *guid)
{
    struct uuid u;
    assert_int_equal(uuid_parse(bytes_str(guid), &u), HSM_OK);
    return builtin_role_find(&u);
}

static void matrix_holds(void **state)
{
    (void)state;
    assert_int_equal(ROWS, ACTION__COUNT);
    for (size_t c = 0; c < COLUMNS; c++) {
        const struct builtin_role *role = role_of(columns[c].guid);
        assert_non_null(role);
        assert_string_equal(role->name, columns[c].name);
        action_set seen = 0;
        for (size_t r = 0; r < ROWS; r++) {
            char full[128];
            snprintf(full, sizeof full, "Microsoft.KeyVault/managedHsm/%s", matrix[r].action);
            action_set bit = data_action_bit(bytes_str(full));
            assert_int_not_equal(bit, 0);
            assert_int_equal(seen & bit, 0);
            seen |= bit;
            bool want = matrix[r].cells[c] == 'X';
            if (((role->actions & bit) != 0) != want)
                fail_msg("%s: %s should be %d", role->name, full, want);
        }
        assert_true(seen == ((action_set)1 << ACTION__COUNT) - 1);
    }
}

static void list_order(void **state)
{
    (void)state;
    static const char *const order[] = {
        "Managed HSM Backup User",
        "Managed HSM Crypto Service Encryption User",
        "Managed HSM Crypto Service Release User",
        "Managed HSM Crypto Auditor",
        "Managed HSM Policy Administrator",
        "Managed HSM Crypto User",
        "Managed HSM Crypto Officer",
        "Managed HSM Administrator",
        "Managed HSM Restore",
    };
    unsigned i = 0;
    for (; builtin_role_at(i) != NULL; i++) {
        assert_true(i < COLUMNS);
        assert_string_equal(builtin_role_at(i)->name, order[i]);
        assert_ptr_equal(builtin_role_find(&builtin_role_at(i)->guid), builtin_role_at(i));
    }
    assert_int_equal(i, COLUMNS);
    assert_null(builtin_role_at(1000));
    assert_string_equal(builtin_role_find(builtin_role_administrator())->name,
                        "Managed HSM Administrator");
}

static void action_names(void **state)
{
    (void)state;
    static const char *const unknown[] = {
        "",
        "keys/create",
        "Microsoft.KeyVault/managedHsm/",
        "Microsoft.KeyVault/managedHsm/*",
        "Microsoft.KeyVault/managedHsm/keys/*",
        "Microsoft.KeyVault/managedHsm/keys/create/action",
        "Microsoft.KeyVault/managedHsm/keys/creat",
        "Microsoft.KeyVault/vaults/keys/create",
    };
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_int_equal(data_action_bit(bytes_str(unknown[i])), 0);
    for (unsigned a = 0; a < ACTION__COUNT; a++)
        assert_true(data_action_bit(bytes_str(data_action_name((enum data_action)a))) ==
                    ACTION_BIT(a));
    assert_true(data_action_bit(bytes_str("microsoft.keyvault/MANAGEDHSM/Keys/Create")) ==
                ACTION_BIT(ACTION_KEYS_CREATE));
    struct uuid none = {{0}};
    assert_null(builtin_role_find(&none));
}

static void scopes_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *canonical; /* NULL: refused */
    } cases[] = {
        {"", "/"},
        {"/", "/"},
        {"///", "/"},
        {"keys", "/keys"},
        {"/keys", "/keys"},
        {"//keys//", "/keys"},
        {"/keys/a", "/keys/a"},
        {"keys/My-Key1", "/keys/My-Key1"},
        {"/keys//k/", "/keys/k"},
        {"/key", NULL},
        {"/keys/a/b", NULL},
        {"/keys/a b", NULL},
        {"/keys/a_b", NULL},
        {"/keys/..", NULL},
        {"/deletedkeys", NULL},
        {"/a/keys", NULL},
        {"/keys/%41", NULL},
        {"\\keys", NULL},
        {" /", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scope s;
        hsm_err err = scope_parse(bytes_str(cases[i].text), &s);
        if (cases[i].canonical == NULL) {
            assert_int_equal(err, HSM_E_BAD_PARAMETER);
            continue;
        }
        char text[SCOPE_TEXT_MAX + 1];
        assert_int_equal(err, HSM_OK);
        scope_format(&s, text);
        assert_string_equal(text, cases[i].canonical);
    }
    /* The longest key name, one more, and more slashes than a scope has room for. */
    char text[400] = "/keys/";
    struct scope s;
    memset(text + 6, 'k', 128);
    assert_int_equal(scope_parse(bytes_of(text, 6 + 127), &s), HSM_OK);
    assert_int_equal(s.key.n, 127);
    assert_int_equal(scope_parse(bytes_of(text, 6 + 128), &s), HSM_E_BAD_PARAMETER);
    memset(text, '/', sizeof text);
    assert_int_equal(scope_parse(bytes_of(text, sizeof text), &s), HSM_E_BAD_PARAMETER);
    assert_int_equal(scope_parse(bytes_of(NULL, 0), &s), HSM_OK);
}

static void scopes_cover(void **state)
{
    (void)state;
    static const char *const text[] = {"/", "/keys", "/keys/a", "/keys/A", "/keys/ab"};
    /* [assignment][request] */
    static const char *const covers[] = {"11111", "01111", "00110", "00110", "00001"};
    static const char *const equal[] = {"10000", "01000", "00110", "00110", "00001"};
    for (size_t a = 0; a < 5; a++) {
        for (size_t b = 0; b < 5; b++) {
            struct scope x;
            struct scope y;
            assert_int_equal(scope_parse(bytes_str(text[a]), &x), HSM_OK);
            assert_int_equal(scope_parse(bytes_str(text[b]), &y), HSM_OK);
            assert_int_equal(scope_covers(&x, &y), covers[a][b] == '1');
            assert_int_equal(scope_equal(&x, &y), equal[a][b] == '1');
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrix_holds), cmocka_unit_test(list_order),
        cmocka_unit_test(action_names), cmocka_unit_test(scopes_parse),
        cmocka_unit_test(scopes_cover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
