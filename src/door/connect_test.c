#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "door/connect.h"

struct row {
    const char *text;
    hsm_err err;
    const char *host;
    uint16_t port;
    size_t left; /* bytes behind the head */
};

static const struct row rows[] = {
    {"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", HSM_OK, "a.example", 443, 0},
    {"CONNECT a.example:443 HTTP/1.0\r\n\r\n", HSM_OK, "a.example", 443, 0},
    {"CONNECT Pool.ManagedHSM.localhost:8443 HTTP/1.1\r\nX-a: \tb\r\nProxy-Connection: "
     "c\r\n\r\nxyz",
     HSM_OK, "pool.managedhsm.localhost", 8443, 3},
    {"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n", HSM_OK, "127.0.0.1", 1, 0},
    {"", HSM_E_AGAIN, NULL, 0, 0},
    {"CONNECT a:1 HTTP/1.1\r\n", HSM_E_AGAIN, NULL, 0, 0},
    {"CONNECT a:1 HTTP/1.1\r\nA: b\r\n\r", HSM_E_AGAIN, NULL, 0, 0},
    {"CONNECT a:1\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT a HTTP/1.1\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT a:0 HTTP/1.1\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT a:65536 HTTP/1.1\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT :1 HTTP/1.1\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT u@a:1 HTTP/1.1\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT a:1 HTTP/2.0\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT a:1 HTTP/1.2\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT a:1  HTTP/1.1\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT  a:1 HTTP/1.1\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT a:1 HTTP/1.1\nA: b\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT a:1 HTTP/1.1\r\nA b\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT a:1 HTTP/1.1\r\n: b\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT a:1 HTTP/1.1\r\nA : b\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT a:1 HTTP/1.1\r\nA: b\r\n c\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT a:1 HTTP/1.1\r\nA: \rb\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"CONNECT a:1 HTTP/1.1\r\nA: \x01\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"GET / HTTP/1.1\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"connect a:1 HTTP/1.1\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
    {"\r\n\r\n", HSM_E_MALFORMED, NULL, 0, 0},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char host[256] = "untouched";
        uint16_t port = 7;
        size_t used = 99;
        hsm_err e = connect_parse(bytes_str(rows[i].text), host, &port, &used);
        if (e != rows[i].err)
            fail_msg("row %zu: %s", i, hsm_err_name(e));
        assert_string_equal(host, e == HSM_OK ? rows[i].host : "untouched");
        assert_int_equal(port, e == HSM_OK ? rows[i].port : 7);
        assert_int_equal(used, e == HSM_OK ? strlen(rows[i].text) - rows[i].left : 99);
    }
}

static void test_ipv6(void **state)
{
    char host[256];
    uint16_t port = 0;
    size_t used = 0;
    (void)state;
    struct bytes in = bytes_str("CONNECT [::1]:8443 HTTP/1.1\r\n\r\n");
    assert_int_equal(connect_parse(in, host, &port, &used), HSM_OK);
    assert_int_equal(port, 8443);
    assert_non_null(strstr(host, "::1"));
}

static void test_truncations_and_flips(void **state)
{
    char text[128], host[256];
    uint16_t port = 0;
    size_t used = 0;
    (void)state;
    size_t n = strlen(rows[0].text);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(connect_parse(bytes_of(rows[0].text, i), host, &port, &used), HSM_E_AGAIN);
    for (size_t bit = 0; bit < n * 8; bit++) {
        memcpy(text, rows[0].text, n);
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        hsm_err e = connect_parse(bytes_of(text, n), host, &port, &used);
        assert_true(e == HSM_OK || e == HSM_E_AGAIN || e == HSM_E_MALFORMED);
    }
}

static void test_bound(void **state)
{
    static char text[CONNECT_HEAD_MAX + 100];
    char host[256];
    uint16_t port = 0;
    size_t used = 0;
    (void)state;
    int n = snprintf(text, sizeof(text), "CONNECT a:1 HTTP/1.1\r\nA: ");
    memset(text + n, 'x', sizeof(text) - (size_t)n);
    assert_int_equal(connect_parse(bytes_of(text, CONNECT_HEAD_MAX - 1), host, &port, &used),
                     HSM_E_AGAIN);
    assert_int_equal(connect_parse(bytes_of(text, CONNECT_HEAD_MAX), host, &port, &used),
                     HSM_E_HEADERS_TOO_LARGE);
    memcpy(text + CONNECT_HEAD_MAX - 3, "\r\n\r\n", 4); /* one too long */
    assert_int_equal(connect_parse(bytes_of(text, sizeof(text)), host, &port, &used),
                     HSM_E_HEADERS_TOO_LARGE);
    memcpy(text + CONNECT_HEAD_MAX - 4, "\r\n\r\n", 4);
    assert_int_equal(connect_parse(bytes_of(text, sizeof(text)), host, &port, &used), HSM_OK);
    assert_int_equal(used, CONNECT_HEAD_MAX);
}

static void test_first_kind(void **state)
{
    (void)state;
    assert_int_equal(first_kind_of(bytes_str("")), FIRST_MORE);
    assert_int_equal(first_kind_of(bytes_str("\x16")), FIRST_TLS);
    assert_int_equal(first_kind_of(bytes_str("C")), FIRST_MORE);
    assert_int_equal(first_kind_of(bytes_str("CONNECT")), FIRST_MORE);
    assert_int_equal(first_kind_of(bytes_str("CONNECT ")), FIRST_CONNECT);
    assert_int_equal(first_kind_of(bytes_str("CONNECTX")), FIRST_OTHER);
    assert_int_equal(first_kind_of(bytes_str("CO x")), FIRST_OTHER);
    assert_int_equal(first_kind_of(bytes_str("G")), FIRST_OTHER);
    assert_int_equal(first_kind_of(bytes_of("\0", 1)), FIRST_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_truncations_and_flips),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_first_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
