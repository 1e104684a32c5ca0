/* Command line, faces, the status line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "codec/json.h"
#include "gateway/options.h"
#include "gateway/statusd.h"

static char rings_text[512];

static int make_rings(void **state)
{
    static struct ring_fds fds;
    assert_int_equal(ring_fds_create(2, &fds), HSM_OK);
    assert_int_equal(ring_fds_format(&fds, rings_text, sizeof rings_text), HSM_OK);
    *state = &fds;
    return 0;
}

static int drop_rings(void **state)
{
    ring_fds_close(*state);
    return 0;
}

static hsm_err parse(struct gateway_options *o, const char *const *more)
{
    static char text[256];
    char *argv[40] = {(char *)(uintptr_t) "keyhold-gateway"};
    int n = 1;
    for (; *more != NULL; more++)
        argv[n++] = (char *)(uintptr_t)(strcmp(*more, "RINGS") == 0 ? rings_text : *more);
    hsm_err err = options_parse(n, argv, o, text, sizeof text);
    if (err != HSM_OK)
        assert_true(text[0] != '\0');
    return err;
}

#define FACE "suffix=managedhsm.localhost,port=8443,authority=https://localhost:8443"
#define GOOD                                                                                       \
    "--rings", "RINGS", "--store", "/s", "--audit", "/a", "--door", "/d", "--cert", "/c", "--key", \
        "/k", "--face", FACE

static void test_options(void **state)
{
    static struct gateway_options o;
    (void)state;
    assert_int_equal(parse(&o, (const char *[]){GOOD, NULL}), HSM_OK);
    assert_int_equal(o.loops, 1);
    assert_int_equal(o.ready_fd, -1);
    assert_int_equal(o.metrics_fd, -1);
    assert_int_equal(o.faces.n, 1);
    assert_string_equal(o.region, "local");
    assert_int_equal(
        parse(&o, (const char *[]){GOOD, "--loops", "2", "--listen", "[::1]:0", "--cpus", "3,5-6",
                                   "--ready-fd", "9", "--metrics-fd", "10", "--face",
                                   "suffix=managedhsm.azure.net,authority=https://x", NULL}),
        HSM_OK);
    assert_int_equal(o.loops, 2);
    assert_string_equal(o.listen_addr, "::1");
    assert_int_equal(o.ready_fd, 9);
    assert_int_equal(o.metrics_fd, 10);
    assert_int_equal(o.cpu[0], 3);
    assert_int_equal(o.cpu[2], 6);
    assert_int_equal(o.faces.face[1].port, 443);
    static const char *const bad[][2] = {
        {"--loops", "0"},
        {"--loops", "3"},
        {"--loops", "x"},
        {"--rings", "junk"},
        {"--listen", "host"},
        {"--listen", ":1"},
        {"--cpus", ""},
        {"--cpus", "a"},
        {"--cpus", "5-3"},
        {"--ready-fd", "-1"},
        {"--metrics-fd", "x"},
        {"--region", "a b"},
        {"--face", "suffix=x"},
        {"--face", "suffix=UP er,authority=https://x"},
        {"--face", "port=1,authority=x"},
        {"--face", "suffix=x,port=0,authority=https://x"},
        {"--face", "suffix=x,foo=1"},
        {"--face", "suffix=x,authority=https://a\"b"},
        {"--nonsense", "1"},
        {"stray", "argument"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (parse(&o, (const char *[]){GOOD, bad[i][0], bad[i][1], NULL}) == HSM_OK)
            fail_msg("accepted: %s %s", bad[i][0], bad[i][1]);
    }
    assert_int_equal(parse(&o, (const char *[]){"--rings", "RINGS", NULL}), HSM_E_BAD_PARAMETER);
}

static void test_faces(void **state)
{
    struct faces f = {0};
    (void)state;
    assert_int_equal(faces_add(&f, "suffix=ManagedHSM.Example.net,port=443,"
                                   "authority=https://login.example.net/"),
                     HSM_OK);
    assert_int_equal(faces_add(&f, FACE), HSM_OK);
    assert_int_equal(faces_bind(&f, bytes_str("Contoso-HSM"), bytes_str("t-e-n")), HSM_OK);
    /* no trailing slash, no port on 443: clients compare the text */
    assert_string_equal(f.face[0].challenge,
                        "Bearer authorization=\"https://login.example.net/t-e-n\", "
                        "resource=\"https://managedhsm.example.net\"");
    assert_string_equal(f.face[1].challenge,
                        "Bearer authorization=\"https://localhost:8443/t-e-n\", "
                        "resource=\"https://managedhsm.localhost:8443\"");
    assert_ptr_equal(faces_find(&f, "contoso-hsm.managedhsm.example.net"), &f.face[0]);
    assert_ptr_equal(faces_find(&f, "contoso-hsm.managedhsm.localhost"), &f.face[1]);
    assert_null(faces_find(&f, "contoso-hsm.managedhsm"));
    assert_null(faces_find(&f, "managedhsm.localhost"));
    assert_null(faces_find(&f, ""));
}

static void test_status_line(void **state)
{
    struct faces f = {0};
    struct control_pool pool = {
        .name = "dev", .tenant = "t", .protection = "software", .secret_memory = "locked"};
    struct statusd_facts facts = {.pool = &pool, .faces = &f, .loops = 2, .region = "r"};
    uint8_t hash[32] = {0xab};
    struct wire_status m = {
        .pool_state = POOL_ACTIVE,
        .keys = 3,
        .audit_seq = 9,
        .audit_hash = bytes_of(hash, sizeof hash),
        .audit_key = bytes_str("\x01\x02\x03"),
    };
    uint8_t out[4096];
    struct json_tok toks[128];
    struct json_doc d;
    struct bytes text;
    int64_t n;
    (void)state;
    assert_int_equal(faces_add(&f, FACE), HSM_OK);
    assert_int_equal(faces_bind(&f, bytes_str("dev"), bytes_str("t")), HSM_OK);
    struct wr w = wr_of(out, sizeof out);
    statusd_render(&facts, &m, &w);
    assert_int_equal(wr_ok(&w), HSM_OK);
    assert_int_equal(out[w.n - 1], '\n');
    assert_int_equal(json_parse(bytes_of(out, w.n - 1), toks, 128, &d), HSM_OK);
    assert_int_equal(json_plain(&d, json_get(&d, 0, "state"), &text), HSM_OK);
    assert_true(bytes_eq_str(text, "Active"));
    assert_int_equal(json_plain(&d, json_get(&d, 0, "auditKey"), &text), HSM_OK);
    assert_true(bytes_eq_str(text, "AQID"));
    assert_int_equal(json_plain(&d, json_get(&d, 0, "auditHash"), &text), HSM_OK);
    assert_int_equal(text.n, 64);
    assert_int_equal(json_int(&d, json_get(&d, 0, "auditSeq"), &n), HSM_OK);
    assert_int_equal(n, 9);
    w = wr_of(out, sizeof out);
    statusd_render(&facts, NULL, &w);
    assert_int_equal(json_parse(bytes_of(out, w.n - 1), toks, 128, &d), HSM_OK);
    assert_int_equal(json_plain(&d, json_get(&d, 0, "state"), &text), HSM_OK);
    assert_true(bytes_eq_str(text, "Unknown"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_options, make_rings, drop_rings),
        cmocka_unit_test(test_faces),
        cmocka_unit_test(test_status_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
