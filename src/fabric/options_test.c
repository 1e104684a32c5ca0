#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "fabric/server.h"

#define ARGS_MAX 14
#define MUST                                                                                       \
    "--home=/h", "--cert=c", "--key=k", "--origin=https://localhost:8443",                         \
        "--hsm-suffix=managedhsm.localhost:8443"

static char copy[ARGS_MAX][128];

/* getopt wants writable arguments; values keep pointing into copy. */
static bool parse(struct server_options *o, const char *const *args)
{
    char *argv[ARGS_MAX + 1], text[256];
    int n = 0;
    snprintf(copy[0], sizeof copy[0], "keyhold-fabric");
    argv[n] = copy[n];
    for (n = 1; args[n - 1] != NULL; n++) {
        snprintf(copy[n], sizeof copy[n], "%s", args[n - 1]);
        argv[n] = copy[n];
    }
    argv[n] = NULL;
    return server_options_parse(n, argv, o, text, sizeof text);
}

#define PARSE(o, ...) parse(o, (const char *const[]){__VA_ARGS__, NULL})

static void good(void **state)
{
    (void)state;
    struct server_options o;
    assert_true(PARSE(&o, MUST, "--door=/d", "--ready-fd=7", "--pool=dev"));
    assert_string_equal(o.door, "/d");
    assert_string_equal(o.fabric.pool, "dev");
    assert_string_equal(o.fabric.region, "local");
    assert_int_equal(o.ready_fd, 7);
    assert_true(PARSE(&o, MUST, "--listen=127.0.0.1:0", "--region=north"));
    assert_string_equal(o.listen_addr, "127.0.0.1");
    assert_string_equal(o.fabric.region, "north");
    assert_int_equal(o.ready_fd, -1);
    assert_true(PARSE(&o, MUST, "--listen=[::1]:8443"));
    assert_string_equal(o.listen_addr, "::1");
    assert_int_equal(o.listen_port, 8443);
    assert_true(PARSE(&o, MUST, "--door=/d", "--nodes=0.0.0.0:7443", "--nodes-address=h:7443"));
    assert_string_equal(o.fabric.nodes_address, "h:7443");
    assert_int_equal(o.fabric.instance, 0);
    assert_true(PARSE(&o, MUST, "--door=/d", "--instance=3", "--peer-listen=h:1", "--peers=1=h:1"));
    assert_int_equal(o.fabric.instance, 3);
}

static void bad(void **state)
{
    (void)state;
    struct server_options o;
    assert_false(PARSE(&o, MUST));
    assert_false(PARSE(&o, "--door=/d"));
    assert_false(PARSE(&o, MUST, "--door=/d", "--nodes=7443"));
    assert_false(PARSE(&o, MUST, "--door=/d", "--instance=2"));
    assert_false(PARSE(&o, MUST, "--door=/d", "--peers=1=h:1", "--peer-listen=h:1"));
    assert_false(PARSE(&o, MUST, "--door=/d", "--instance=4", "--peer-listen=h:1", "--peers=1=h"));
    assert_false(PARSE(&o, MUST, "--listen=8443"));
    assert_false(PARSE(&o, MUST, "--listen=:8443"));
    assert_false(PARSE(&o, MUST, "--listen=127.0.0.1:65536"));
    assert_false(PARSE(&o, MUST, "--listen=127.0.0.1:"));
    assert_false(PARSE(&o, MUST, "--door=/d", "--ready-fd=-1"));
    assert_false(PARSE(&o, MUST, "--door=/d", "--pool="));
    assert_false(PARSE(&o, MUST, "--door=/d", "--unknown"));
    assert_false(PARSE(&o, MUST, "--door=/d", "extra"));
    assert_false(PARSE(&o, MUST, "--door=/d", "--origin=http://localhost"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
