#include "fabric/identity/test_dir.h"

#include <ctype.h>
#include <string.h>
#include <sys/stat.h>
#include "base/file.h"
#include "fabric/identity/directory.h"

#define NOW_MS 1795307240499u

static void created_once_and_read_again(void **state)
{
    struct test_dir *t = *state;
    struct directory a, b, c;
    char path[160];
    struct stat st;
    assert_int_equal(directory_load(t->path, &a), HSM_E_NOT_FOUND);
    assert_int_equal(directory_load_or_create(t->path, NOW_MS, &a), HSM_OK);
    assert_int_equal(directory_load_or_create(t->path, NOW_MS + 5, &b), HSM_OK);
    assert_int_equal(directory_load(t->path, &c), HSM_OK);
    assert_memory_equal(&a, &b, sizeof a);
    assert_memory_equal(&a, &c, sizeof a);
    snprintf(path, sizeof path, "%s/directory.json", t->path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void new_directories_differ_and_are_complete(void **state)
{
    struct test_dir *t = *state;
    char sub[160];
    struct directory a, b;
    snprintf(sub, sizeof sub, "%s/other", t->path);
    assert_int_equal(directory_load_or_create(t->path, NOW_MS, &a), HSM_OK);
    assert_int_equal(directory_load_or_create(sub, NOW_MS, &b), HSM_OK);
    assert_string_not_equal(a.tenant, b.tenant);
    assert_string_not_equal(a.admin.secret, b.admin.secret);
    assert_string_not_equal(a.identity_header, b.identity_header);
    assert_memory_not_equal(a.refresh_key, b.refresh_key, sizeof a.refresh_key);
    assert_int_equal(strlen(a.admin.secret), 40);
    assert_int_equal(strlen(a.guest.secret), 40);
    assert_string_equal(a.user.upn, "admin@keyhold.localhost");
    assert_string_equal(a.managed.secret, "");
    for (const char *p = a.admin.secret; *p != 0; p++)
        assert_true(isalnum((unsigned char)*p));
    for (size_t i = 0; i < DIRECTORY_PRINCIPALS; i++) {
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(directory_at(&a, i)->oid, directory_at(&a, k)->oid);
    }
    assert_true(directory_is_member(&a.group, &a.user));
    assert_false(directory_is_member(&a.group, &a.guest));
}

static void finds_principals(void **state)
{
    struct test_dir *t = *state;
    struct directory d;
    assert_int_equal(directory_load_or_create(t->path, NOW_MS, &d), HSM_OK);
    assert_ptr_equal(directory_find(&d, bytes_str(d.admin.client_id)), &d.admin);
    assert_ptr_equal(directory_find(&d, bytes_str(d.managed.oid)), &d.managed);
    assert_ptr_equal(directory_find(&d, bytes_str("ADMIN@Keyhold.Localhost")), &d.user);
    assert_null(directory_find(&d, bytes_str("")));
    assert_null(directory_find(&d, bytes_str("nobody")));
    assert_null(directory_find_oid(&d, bytes_str(d.admin.client_id)));
}

static void compares_secrets(void **state)
{
    (void)state;
    assert_true(directory_secret_matches("abc", bytes_str("abc")));
    assert_false(directory_secret_matches("abc", bytes_str("abd")));
    assert_false(directory_secret_matches("abc", bytes_str("ab")));
    assert_false(directory_secret_matches("abc", (struct bytes){0}));
    /* A principal without a secret cannot sign in with an empty one. */
    assert_false(directory_secret_matches("", (struct bytes){0}));
    assert_false(directory_secret_matches("", bytes_str("")));
}

/* Every cut and every changed character is either refused or gives a directory that formats to
 * something (no crash, no half result). */
static void damaged_files_are_refused(void **state)
{
    struct test_dir *t = *state;
    struct directory d, back;
    static char text[16384], copy[16384];
    assert_int_equal(directory_load_or_create(t->path, NOW_MS, &d), HSM_OK);
    struct wr w = wr_of(text, sizeof text);
    assert_int_equal(directory_format(&d, &w), HSM_OK);
    assert_int_equal(directory_parse(wr_view(&w), &back), HSM_OK);
    assert_memory_equal(&d, &back, sizeof d);
    for (size_t n = 0; n < w.n - 1; n++)
        assert_int_equal(directory_parse(bytes_of(text, n), &back), HSM_E_CORRUPT);
    static const char *const changes[][2] = {
        {"\"tenantId\"", "\"tenantIx\""},
        {"\"version\":1", "\"version\":2"},
        {"\"guest\"", "\"guests\""},
        {"\"clientSecret\":\"", "\"clientSecret\":[\""},
        {"\"objectId\":\"", "\"objectId\":\"z"},
        {"\"refreshKey\":\"", "\"refreshKey\":\"A"},
        {"\"members\":[", "\"members\":[1,"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        text[w.n] = 0;
        char *at = strstr(text, changes[i][0]);
        assert_non_null(at);
        int n = snprintf(copy, sizeof copy, "%.*s%s%s", (int)(at - text), text, changes[i][1],
                         at + strlen(changes[i][0]));
        assert_int_equal(directory_parse(bytes_of(copy, (size_t)n), &back), HSM_E_CORRUPT);
    }
}

static void damaged_file_is_not_replaced(void **state)
{
    struct test_dir *t = *state;
    struct directory d;
    char path[160];
    uint8_t back[16];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/directory.json", t->path);
    assert_int_equal(file_replace(path, bytes_str("{}"), 0600), HSM_OK);
    assert_int_equal(directory_load_or_create(t->path, NOW_MS, &d), HSM_E_CORRUPT);
    assert_int_equal(file_read(path, back, sizeof back, &n), HSM_OK);
    assert_int_equal(n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH_DIR(created_once_and_read_again),
        TEST_WITH_DIR(new_directories_differ_and_are_complete),
        TEST_WITH_DIR(finds_principals),
        cmocka_unit_test(compares_secrets),
        TEST_WITH_DIR(damaged_files_are_refused),
        TEST_WITH_DIR(damaged_file_is_not_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
