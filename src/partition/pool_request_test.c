#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "partition/pool_request.h"
#include "partition/tree.h"
#include "partition/unit.h"

#define TENANT "\"tenant\":\"11111111-2222-4333-8444-555555555555\","
#define ADMINS "\"administrators\":[\"AAAAAAAA-2222-4333-8444-555555555555\"],"
#define REST   "\"region\":\"westeurope\",\"partitions\":[{\"rack\":\"a\"},{}]"

static hsm_err parse(const char *json, struct pool_request *r, char text[200])
{
    struct json_tok toks[256];
    struct json_doc d;
    assert_int_equal(json_parse(bytes_str(json), toks, 256, &d), HSM_OK);
    return pool_request_parse(&d, 0, r, text, 200);
}

static void test_request(void **state)
{
    struct pool_request r;
    char text[200];
    (void)state;
    assert_int_equal(parse("{" TENANT ADMINS REST "}", &r, text), HSM_OK);
    assert_string_equal(r.tenant, "11111111-2222-4333-8444-555555555555");
    assert_string_equal(r.file.administrator[0], "aaaaaaaa-2222-4333-8444-555555555555");
    assert_int_equal(r.file.retention_days, 90);
    assert_false(r.file.purge_protection);
    assert_int_equal(r.partition_n, 2);
    assert_string_equal(r.rack[0], "a");
    assert_string_equal(r.rack[1], "");
    assert_int_equal(r.file.issuers.n, 0);
    assert_int_equal(parse("{" TENANT ADMINS REST ",\"retentionDays\":7,\"purgeProtection\":true,"
                           "\"issuers\":[{\"a\":1},{\"b\":2}]}",
                           &r, text),
                     HSM_OK);
    assert_int_equal(r.file.retention_days, 7);
    assert_true(r.file.purge_protection);
    assert_true(bytes_eq(r.file.issuers, bytes_str("{\"a\":1},{\"b\":2}")));
}

static void test_refused(void **state)
{
    static const char *const wrong[] = {
        "[]",
        "{" ADMINS REST "}",
        "{" TENANT REST "}",
        "{" TENANT ADMINS "\"partitions\":[{}]}",
        "{" TENANT ADMINS "\"region\":\"a/b\",\"partitions\":[{}]}",
        "{" TENANT ADMINS "\"region\":\"a\"}",
        "{" TENANT ADMINS "\"region\":\"a\",\"partitions\":[{\"rack\":\"a b\"}]}",
        "{" TENANT ADMINS "\"region\":\"a\",\"partitions\":[{},{},{},{},{},{},{},{},{},{}]}",
        "{" TENANT ADMINS REST ",\"retentionDays\":6}",
        "{" TENANT ADMINS REST ",\"retentionDays\":7.5}",
        "{" TENANT ADMINS REST ",\"purgeProtection\":1}",
        "{" TENANT ADMINS REST ",\"issuers\":[1]}",
    };
    struct pool_request r;
    char text[200];
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        text[0] = '\0';
        assert_int_equal(parse(wrong[i], &r, text), HSM_E_MALFORMED);
        assert_true(text[0] == '"');
    }
}

/* What a process reports comes in lines, however it was written. */
static void test_lines(void **state)
{
    static char flood[UNIT_LINE_MAX + 1];
    char line[UNIT_LINE_MAX];
    struct unit u;
    int fd[2];
    (void)state;
    unit_init(&u, "x");
    assert_true(unit_pipe(fd));
    unit_started(&u, 1, fd[0]);
    assert_false(u.ready);
    assert_false(unit_line(&u, line));
    assert_int_equal(write(fd[1], "re", 2), 2);
    assert_false(unit_line(&u, line));
    assert_int_equal(write(fd[1], "ady\nserve 1 of 3\n\nq", 19), 19);
    assert_true(unit_line(&u, line));
    assert_string_equal(line, "ready");
    assert_true(unit_line(&u, line));
    assert_string_equal(line, "serve 1 of 3");
    assert_true(unit_line(&u, line));
    assert_string_equal(line, "");
    assert_false(unit_line(&u, line));
    memset(flood, 'x', sizeof flood);
    assert_int_equal(write(fd[1], flood, sizeof flood), (ssize_t)sizeof flood);
    assert_false(unit_line(&u, line)); /* longer than a line may be: nothing more is read */
    assert_int_equal(u.ready_fd, -1);
    (void)close(fd[1]);
    unit_gone(&u);
    assert_false(unit_line(&u, line));
}

static void test_tree(void **state)
{
    char dir[] = "/tmp/keyhold-tree-XXXXXX", path[200], out[200];
    struct stat st;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(out, sizeof out, "%s/kept", dir);
    assert_int_equal(file_replace(out, bytes_str("kept"), 0600), HSM_OK);
    snprintf(path, sizeof path, "%s/pool/partition-0", dir);
    assert_int_equal(dir_ensure(path, 0700), HSM_OK);
    snprintf(path, sizeof path, "%s/pool/partition-0/seal", dir);
    assert_int_equal(file_replace(path, bytes_str("sealed"), 0600), HSM_OK);
    /* A second name shows what became of the bytes; a link is not followed. */
    snprintf(out, sizeof out, "%s/other", dir);
    assert_int_equal(link(path, out), 0);
    snprintf(path, sizeof path, "%s/pool/link", dir);
    assert_int_equal(symlink(dir, path), 0);
    snprintf(path, sizeof path, "%s/pool", dir);
    assert_int_equal(tree_remove(path), HSM_OK);
    assert_int_equal(lstat(path, &st), -1);
    uint8_t buf[16];
    size_t n;
    assert_int_equal(file_read(out, buf, sizeof buf, &n), HSM_OK);
    assert_memory_equal(buf, "\0\0\0\0\0\0", 6);
    snprintf(out, sizeof out, "%s/kept", dir);
    assert_int_equal(lstat(out, &st), 0);
    assert_int_equal(tree_remove(path), HSM_OK); /* what is not there is fine */
    assert_int_equal(tree_remove(dir), HSM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
