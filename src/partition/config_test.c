#include "partition/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define T "72f988bf-86f1-41af-91ab-2d7cd011db47"

static char dir[64], path[100], why[600];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/config-test-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/config.json", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

static void put(const char *text, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    assert_int_equal(close(fd), 0);
}

static struct partition_config good(const char *text)
{
    struct partition_config c;
    put(text, strlen(text));
    hsm_err err = partition_config_load(path, &c, why, sizeof why);
    if (err != HSM_OK)
        fail_msg("%s: %s", text, why);
    return c;
}

/* Nothing is returned, and the message names the file and what to do. */
static void bad_bytes(const char *text, size_t n)
{
    struct partition_config c;
    memset(&c, 0x5a, sizeof c);
    put(text, n);
    why[0] = '\0';
    if (partition_config_load(path, &c, why, sizeof why) == HSM_OK)
        fail_msg("taken: %s", text);
    assert_non_null(strstr(why, path));
    for (size_t i = 0; i < sizeof c; i++)
        assert_int_equal(((const uint8_t *)&c)[i], 0x5a);
}

static void bad(const char *text)
{
    bad_bytes(text, strlen(text));
}

static void loads(void **state)
{
    (void)state;
    struct partition_config c = good("{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":8443}");
    assert_string_equal(c.name, "dev");
    assert_string_equal(c.tenant, T);
    assert_int_equal(c.port, 8443);
    assert_string_equal(c.region, "local");
    assert_int_equal(c.loops, 0);
    assert_string_equal(c.cpus, "");
    assert_int_equal(c.metrics_port, CONFIG_NO_METRICS);
    c = good("{\"cpus\":\"0,2\",\"loops\":2,\"region\":\"west\",\"port\":1,\"metricsPort\":0,"
             "\"tenant\":\"" T "\",\"name\":\"A-b-1\",\"unknown\":[1,{}]}");
    assert_string_equal(c.name, "A-b-1");
    assert_int_equal(c.port, 1);
    assert_string_equal(c.region, "west");
    assert_int_equal(c.loops, 2);
    assert_string_equal(c.cpus, "0,2");
    assert_int_equal(c.metrics_port, 0);
    c = good(" {\"name\" : \"dev\" , \"tenant\":\"" T "\",\"port\":65535,\"region\":null}\r\n");
    assert_int_equal(c.port, 65535);
    assert_string_equal(c.region, "local");
}

static void refuses(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "null",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":8443",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":8443}}",
        "{\"tenant\":\"" T "\",\"port\":8443}",
        "{\"name\":\"dev\",\"port\":8443}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\"}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":8443,\"metricsPort\":-1}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":8443,\"metricsPort\":65536}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":8443,\"metricsPort\":\"9443\"}",
        "{\"name\":null,\"tenant\":\"" T "\",\"port\":8443}",
        "{\"name\":5,\"tenant\":\"" T "\",\"port\":8443}",
        "{\"name\":\"d\",\"tenant\":\"" T "\",\"port\":8443}",
        "{\"name\":\"../x\",\"tenant\":\"" T "\",\"port\":8443}",
        "{\"name\":\"abcdefghijklmnopqrstuvwxy\",\"tenant\":\"" T "\",\"port\":8443}",
        "{\"name\":\"dev\",\"tenant\":\"" T "0\",\"port\":8443}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":0}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":65536}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":-1}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":8443.5}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":\"8443\"}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":99999999999999999999}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":8443,\"loops\":17}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":8443,\"loops\":-1}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":8443,\"region\":7}",
        "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":8443,"
        "\"region\":\"a-region-name-with-more-than-32-ch\"}",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++)
        bad(texts[i]);
}

/* Every beginning of a good file, and a file that is too large. */
static void torn_and_large(void **state)
{
    (void)state;
    static const char text[] = "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":8443}";
    static char large[20000];
    for (size_t n = 0; n < sizeof text - 1; n++)
        bad_bytes(text, n);
    memset(large, ' ', sizeof large);
    memcpy(large, text, sizeof text - 1);
    bad_bytes(large, sizeof large);
}

static void missing_file(void **state)
{
    (void)state;
    struct partition_config c;
    char none[120];
    snprintf(none, sizeof none, "%s/none.json", dir);
    assert_int_not_equal(partition_config_load(none, &c, why, sizeof why), HSM_OK);
    assert_non_null(strstr(why, "cannot read"));
    assert_non_null(strstr(why, none));
}

static void stores(void **state)
{
    (void)state;
    struct partition_config c = {.port = 1234, .loops = 3, .metrics_port = 9443}, back;
    struct stat st;
    snprintf(c.name, sizeof c.name, "pool-1");
    snprintf(c.tenant, sizeof c.tenant, "%s", T);
    snprintf(c.region, sizeof c.region, "quote\"back\\");
    snprintf(c.cpus, sizeof c.cpus, "1,3");
    put("old", 3);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(partition_config_store(path, &c, why, sizeof why), HSM_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(partition_config_load(path, &back, why, sizeof why), HSM_OK);
    assert_string_equal(back.name, c.name);
    assert_string_equal(back.tenant, c.tenant);
    assert_string_equal(back.region, c.region);
    assert_string_equal(back.cpus, c.cpus);
    assert_int_equal(back.port, c.port);
    assert_int_equal(back.loops, c.loops);
    assert_int_equal(back.metrics_port, c.metrics_port);
    c.metrics_port = CONFIG_NO_METRICS;
    assert_int_equal(partition_config_store(path, &c, why, sizeof why), HSM_OK);
    assert_int_equal(partition_config_load(path, &back, why, sizeof why), HSM_OK);
    assert_int_equal(back.metrics_port, c.metrics_port);
    char none[120];
    snprintf(none, sizeof none, "%s/no/config.json", dir);
    assert_int_not_equal(partition_config_store(none, &c, why, sizeof why), HSM_OK);
    assert_non_null(strstr(why, "cannot write"));
}

static void names(void **state)
{
    (void)state;
    static const char *const valid[] = {
        "abc", "ABC", "a1b2", "a-b", "a-b-c-d", "a-1", "abcdefghijklmnopqrstuvwx"};
    static const char *const invalid[] = {
        "",    "a",   "ab",  "1abc", "-abc", "abc-",       "a--b",
        "a_b", "a.b", "a b", "a/b",  "ab\n", "x\xc3\xa4y", "abcdefghijklmnopqrstuvwxy"};
    for (unsigned i = 0; i < sizeof valid / sizeof valid[0]; i++)
        if (!pool_name_valid(valid[i]))
            fail_msg("'%s' is refused", valid[i]);
    for (unsigned i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        if (pool_name_valid(invalid[i]))
            fail_msg("'%s' is taken", invalid[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads),        cmocka_unit_test(refuses), cmocka_unit_test(torn_and_large),
        cmocka_unit_test(missing_file), cmocka_unit_test(stores),  cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
