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

#define HEAD       "{\"name\":\"dev\",\"tenant\":\"" T "\",\"port\":8443"
#define P(n, port) "{\"number\":" n ",\"peer\":\"127.0.0.1:" port "\"}"

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

static void loads_partitions(void **state)
{
    (void)state;
    struct partition_config c = good(HEAD "}");
    assert_int_equal(c.partition_n, 1);
    assert_int_equal(c.partition[0].number, 0);
    assert_string_equal(c.partition[0].peer, "");
    assert_false(c.partition[0].remote);
    assert_int_equal(c.next_partition, 1);
    assert_false(c.no_fabric);
    c = good(HEAD ",\"partitions\":[" P(
        "0", "1") ",{\"number\":3,\"peer\":\"[::1]:65535\","
                  "\"rack\":\"r-1\",\"joined\":true}," P(
                      "5", "3") "],\"seal\":\"tpm2:x\",\"evidence\":\"tpm2:swtpm:port=1\"}");
    assert_int_equal(c.partition_n, 3);
    assert_int_equal(c.partition[1].number, 3);
    assert_string_equal(c.partition[1].peer, "[::1]:65535");
    assert_string_equal(c.partition[1].rack, "r-1");
    assert_true(c.partition[1].joined);
    assert_false(c.partition[2].joined);
    assert_int_equal(c.next_partition, 6);
    assert_string_equal(c.seal, "tpm2:x");
    assert_string_equal(c.evidence, "tpm2:swtpm:port=1");
    assert_ptr_equal(partition_config_find(&c, 5), &c.partition[2]);
    assert_null(partition_config_find(&c, 1));
    c = good(HEAD ",\"partitions\":[" P("0", "1") "," P(
        "1", "2") "],\"nextPartition\":9,"
                  "\"local\":[1],\"listen\":\"10.0.0.2:8443\",\"fabric\":false,"
                  "\"issuer\":\"10.0.0.1:8443\"}");
    assert_int_equal(c.next_partition, 9);
    assert_true(c.partition[0].remote);
    assert_false(c.partition[1].remote);
    assert_true(c.no_fabric);
    assert_string_equal(c.listen, "10.0.0.2:8443");
    assert_string_equal(c.issuer, "10.0.0.1:8443");
}

static void refuses_partitions(void **state)
{
    (void)state;
#define TWO "\"partitions\":[" P("0", "1") "," P("1", "2") "]"
    static const char *const texts[] = {
        HEAD ",\"partitions\":[]}",
        HEAD ",\"partitions\":{}}",
        HEAD ",\"partitions\":3}",
        HEAD ",\"partitions\":[0]}",
        HEAD ",\"partitions\":[{}]}",
        HEAD ",\"partitions\":[{\"number\":-1}]}",
        HEAD ",\"partitions\":[{\"number\":100000}]}",
        HEAD ",\"partitions\":[{\"number\":0,\"port\":1}]}",
        HEAD ",\"partitions\":[{\"number\":0,\"joined\":1}]}",
        HEAD ",\"partitions\":[{\"number\":0,\"replaces\":-1}]}",
        HEAD ",\"partitions\":[{\"number\":0,\"rack\":\"a b\"}]}",
        HEAD ",\"partitions\":[{\"number\":0,\"rack\":\"a-label-of-a-rack-with-33-characters\"}]}",
        HEAD ",\"partitions\":[{\"number\":0,\"peer\":\"127.0.0.1\"}]}",
        HEAD ",\"partitions\":[{\"number\":0,\"peer\":\"127.0.0.1:0\"}]}",
        HEAD ",\"partitions\":[{\"number\":0,\"peer\":\":5\"}]}",
        HEAD ",\"partitions\":[{\"number\":0,\"peer\":5}]}",
        HEAD ",\"partitions\":[" P("0", "1") ",{\"number\":1}]}",
        HEAD ",\"partitions\":[{\"number\":0}," P("1", "1") "]}",
        HEAD ",\"partitions\":[" P("0", "1") "," P("0", "2") "]}",
        HEAD ",\"partitions\":[" P("1", "1") "," P("0", "2") "]}",
        HEAD ",\"partitions\":[" P("0", "1") "," P("1", "1") "]}",
        HEAD "," TWO ",\"nextPartition\":1}",
        HEAD "," TWO ",\"nextPartition\":100001}",
        HEAD "," TWO ",\"local\":[]}",
        HEAD "," TWO ",\"local\":[2]}",
        HEAD "," TWO ",\"local\":[1,1]}",
        HEAD "," TWO ",\"local\":[\"1\"]}",
        HEAD "," TWO ",\"fabric\":false}",
        HEAD "," TWO ",\"local\":[1],\"fabric\":false,\"issuer\":\"a:1\"}",
        HEAD "," TWO ",\"fabric\":false,\"issuer\":\"a:1\",\"listen\":\"b:2\"}",
        HEAD ",\"listen\":\"b\"}",
        HEAD ",\"fabric\":0}",
        HEAD ",\"seal\":1}",
        HEAD ",\"evidence\":1}",
        HEAD ",\"evidence\":\"sev-snp\"}",
        HEAD ",\"evidence\":\"tpm2:\"}",
        HEAD ",\"evidence\":\"tpm\"}",
        HEAD ",\"partitions\":[" P("0", "1") "," P("1", "2") "," P("2", "3") "," P("3", "4") "," P(
            "4", "5") "," P("5", "6") "," P("6", "7") "," P("7", "8") "," P("8",
                                                                            "9") "," P("9",
                                                                                       "10") "]}",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++)
        bad(texts[i]);
}

static void changes_partitions(void **state)
{
    (void)state;
    struct partition_config c = good(HEAD "}"), back;
    unsigned n = 0;
    for (unsigned i = 1; i < PARTITIONS_MAX; i++) {
        assert_int_equal(partition_config_add(&c, &n), HSM_OK);
        assert_int_equal(n, i);
    }
    assert_int_equal(partition_config_add(&c, &n), HSM_E_RANGE);
    for (unsigned i = 0; i < PARTITIONS_MAX; i++) {
        assert_non_null(strstr(c.partition[i].peer, "127.0.0.1:"));
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(c.partition[i].peer, c.partition[k].peer);
    }
    partition_config_remove(&c, 8);
    partition_config_remove(&c, 0);
    partition_config_remove(&c, 77);
    assert_int_equal(c.partition_n, 7);
    c.partition[1].joined = true;
    c.partition[1].replaces_id = 1;
    c.partition[4].replaces_id = 77;
    c.partition[2].remote = true;
    snprintf(c.partition[3].rack, sizeof c.partition[3].rack, "left");
    snprintf(c.seal, sizeof c.seal, "pkcs11");
    snprintf(c.evidence, sizeof c.evidence, "software");
    snprintf(c.listen, sizeof c.listen, "0.0.0.0:1");
    snprintf(c.issuer, sizeof c.issuer, "there:2");
    snprintf(c.nodes, sizeof c.nodes, "10.0.0.1:7443");
    assert_int_equal(partition_config_store(path, &c, why, sizeof why), HSM_OK);
    assert_int_equal(partition_config_load(path, &back, why, sizeof why), HSM_OK);
    assert_memory_equal(back.partition, c.partition, 7 * sizeof c.partition[0]);
    assert_int_equal(back.partition_n, 7);
    assert_int_equal(back.next_partition, 9);
    assert_string_equal(back.seal, c.seal);
    assert_string_equal(back.evidence, c.evidence);
    assert_string_equal(back.listen, c.listen);
    assert_string_equal(back.issuer, c.issuer);
    assert_string_equal(back.nodes, c.nodes);
    assert_false(back.no_fabric);
    assert_int_equal(partition_config_add(&back, &n), HSM_OK);
    assert_int_equal(n, 9);
}

static void samples_of_packaging(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        char sample[300];
        struct partition_config c;
        snprintf(sample, sizeof sample, KEYHOLD_SOURCE_DIR "/packaging/config/host-%u.json", i);
        if (partition_config_load(sample, &c, why, sizeof why) != HSM_OK)
            fail_msg("%s", why);
        assert_int_equal(c.partition_n, 3);
        for (unsigned k = 0; k < 3; k++)
            assert_int_equal(c.partition[k].remote, k != i);
        assert_int_equal(c.no_fabric, i != 0);
    }
}

static void one_partition_has_no_list(void **state)
{
    (void)state;
    struct partition_config c = good(HEAD "}");
    char text[1000] = "";
    assert_int_equal(partition_config_store(path, &c, why, sizeof why), HSM_OK);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    assert_int_equal(fclose(f), 0);
    assert_null(strstr(text, "artition"));
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
    struct partition_config c = {.port = 1234,
                                 .loops = 3,
                                 .metrics_port = 9443,
                                 .partition_n = 1,
                                 .next_partition = 1},
                            back;
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
        cmocka_unit_test(loads),
        cmocka_unit_test(loads_partitions),
        cmocka_unit_test(refuses),
        cmocka_unit_test(refuses_partitions),
        cmocka_unit_test(changes_partitions),
        cmocka_unit_test(samples_of_packaging),
        cmocka_unit_test(one_partition_has_no_list),
        cmocka_unit_test(torn_and_large),
        cmocka_unit_test(missing_file),
        cmocka_unit_test(stores),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
