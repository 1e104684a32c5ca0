#include "codec/url.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/mutate.h"
#include "codec/utf8.h"

static uint8_t buf[8192];

static void refused_targets(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "a",
        "*",
        "http://h/",
        "?a=b",
        "/%",
        "/%4",
        "/%zz",
        "/%4g",
        "/a%",
        "/a?b=%4",
        "/a?%=1",
        "/.",
        "/..",
        "/a/../b",
        "/a/.",
        "/%2e",
        "/%2E%2e/x",
        "/a/%2e%2E",
        "/a/.%2e",
        "/a%2f..%2fb",
        "/a b",
        "/a\tb",
        "/\n",
        "/a%00",
        "/a%0a",
        "/a%7f",
        "/%1f",
        "/a#b",
        "/a?x=1#f",
        "/\xff",
        "/%ff",
        "/%c0%af",
        "/%ed%a0%80",
        "/a?b=%ff",
        "/a?x=%00",
        "/a?x=1&x=2",
        "/a?x=1&%78=2",
        "/a?=1",
        "/a?x&x",
        "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17",
        "/?1=&2=&3=&4=&5=&6=&7=&8=&9=&10=&11=&12=&13=&14=&15=&16=&17=",
    };
    struct url_target t;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (url_parse(bytes_str(bad[i]), buf, sizeof buf, &t) != HSM_E_MALFORMED)
            fail_msg("accepted: %s", bad[i]);
    char longest[URL_PATH_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[0] = '/';
    assert_int_equal(url_parse(bytes_of(longest, URL_PATH_MAX + 1), buf, sizeof buf, &t),
                     HSM_E_MALFORMED);
    assert_int_equal(url_parse(bytes_of(longest, URL_PATH_MAX), buf, sizeof buf, &t), HSM_OK);
    assert_int_equal(url_parse(bytes_of(longest, 10), buf, 9, &t), HSM_E_MALFORMED);
}

static void paths(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path;
        size_t seg_n;
        const char *last;
    } rows[] = {
        {"/", "/", 0, NULL},
        {"//", "/", 0, NULL},
        {"/?x", "/", 0, NULL},
        {"/keys", "/keys", 1, "keys"},
        {"/keys/", "/keys", 1, "keys"},
        {"//keys///a//", "/keys/a", 2, "a"},
        {"///providers/x", "/providers/x", 2, "x"},
        {"/%2F/providers", "/providers", 1, "providers"},
        {"/keys%2fa", "/keys/a", 2, "a"},
        {"/k%65ys/%C3%A4", "/keys/\xc3\xa4", 2, "\xc3\xa4"},
        {"/a%252e", "/a%2e", 1, "a%2e"}, /* decoded once */
        {"/a+b", "/a+b", 1, "a+b"},
        {"/...", "/...", 1, "..."},
        {"/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16", 16,
         "16"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct url_target t;
        struct bytes target = bytes_str(rows[i].target);
        assert_int_equal(url_parse(target, buf, target.n, &t), HSM_OK);
        assert_true(bytes_eq_str(t.path, rows[i].path));
        assert_int_equal(t.seg_n, rows[i].seg_n);
        if (rows[i].last != NULL)
            assert_true(bytes_eq_str(t.seg[t.seg_n - 1], rows[i].last));
    }
}

static void queries(void **state)
{
    (void)state;
    struct url_target t;
    struct bytes target =
        bytes_str("/keys?api-version=7.4&&$skiptoken=a%2Bb+c%26d&empty=&flag&e=a=b");
    assert_int_equal(url_parse(target, buf, target.n, &t), HSM_OK);
    assert_int_equal(t.param_n, 5);
    assert_true(bytes_eq_str(url_param_get(&t, "api-version"), "7.4"));
    assert_true(bytes_eq_str(url_param_get(&t, "$skiptoken"), "a+b c&d"));
    assert_true(bytes_eq_str(url_param_get(&t, "e"), "a=b"));
    assert_non_null(url_param_get(&t, "empty").p);
    assert_int_equal(url_param_get(&t, "empty").n, 0);
    assert_non_null(url_param_get(&t, "flag").p);
    assert_null(url_param_get(&t, "API-version").p);
}

static void forms(void **state)
{
    (void)state;
    struct url_param p[3];
    size_t n;
    assert_int_equal(form_parse(bytes_str("a=1&a=2"), buf, sizeof buf, p, 3, &n), HSM_E_MALFORMED);
    assert_int_equal(form_parse(bytes_str("a=1&b=2&c=3&d=4"), buf, sizeof buf, p, 3, &n),
                     HSM_E_MALFORMED);
    assert_int_equal(form_parse(bytes_str("a=%4"), buf, sizeof buf, p, 3, &n), HSM_E_MALFORMED);
    assert_int_equal(form_parse(bytes_str("a=12345"), buf, 5, p, 3, &n), HSM_E_MALFORMED);
    assert_int_equal(form_parse(bytes_str(""), buf, sizeof buf, p, 3, &n), HSM_OK);
    assert_int_equal(n, 0);
    struct bytes body =
        bytes_str("grant_type=client+credentials&scope=https%3A%2F%2Fx%2F.default&c=");
    assert_int_equal(form_parse(body, buf, body.n, p, 3, &n), HSM_OK);
    assert_int_equal(n, 3);
    assert_true(bytes_eq_str(p[0].value, "client credentials"));
    assert_true(bytes_eq_str(p[1].value, "https://x/.default"));
}

static void hosts(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "a:",
        ":1",
        "a:0",
        "a:65536",
        "a:123456",
        "a:1x",
        "a:-1",
        "u@h",
        "u:p@h",
        "h/",
        "h?x",
        "h#x",
        "[::1",
        "::1",
        "[]",
        "[g::1]",
        "[::1]x",
        "[::1]:",
        "[12]",
        "[::1]:70000",
        "a\\b",
        "a%2e",
        "\xc3\xa4",
        "a,b",
        "[::1%25eth0]",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b",
    };
    char host[256];
    uint16_t port;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (host_parse(bytes_str(bad[i]), host, &port) != HSM_E_MALFORMED)
            fail_msg("accepted: %s", bad[i]);
    char longest[254];
    for (size_t i = 0; i < sizeof longest; i++)
        longest[i] = i % 2 == 0 ? 'a' : '.';
    assert_int_equal(host_parse(bytes_of(longest, 254), host, &port), HSM_E_MALFORMED);
    assert_int_equal(host_parse(bytes_of(longest, 253), host, &port), HSM_OK);
    static const struct {
        const char *text, *host;
        uint16_t port;
    } rows[] = {
        {"Hsm.Example.NET", "hsm.example.net", 0}, {"localhost:8443", "localhost", 8443},
        {"127.0.0.1:65535", "127.0.0.1", 65535},   {"[2001:DB8::1]:443", "2001:db8::1", 443},
        {"[::ffff:1.2.3.4]", "::ffff:1.2.3.4", 0}, {"a_b-c", "a_b-c", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(host_parse(bytes_str(rows[i].text), host, &port), HSM_OK);
        assert_string_equal(host, rows[i].host);
        assert_int_equal(port, rows[i].port);
    }
}

static void one_mutant(struct bytes text, void *arg)
{
    (void)arg;
    struct url_target t;
    char host[256];
    uint16_t port;
    if (url_parse(text, buf, text.n, &t) == HSM_OK) {
        assert_true(t.path.n > 0 && t.path.p[0] == '/' && utf8_valid(t.path));
        assert_true(t.path.n == 1 || t.path.p[t.path.n - 1] != '/');
    }
    if (host_parse(text, host, &port) == HSM_OK)
        assert_true(strlen(host) > 0 && strlen(host) <= text.n);
}

static void mutants(void **state)
{
    (void)state;
    mutate_each(bytes_str("//keys/%C3%A4/0123?api-version=7.4&x=a+b%20c"), one_mutant, NULL);
    mutate_each(bytes_str("hsm-1.example.net:8443"), one_mutant, NULL);
    mutate_each(bytes_str("[2001:db8::1]:443"), one_mutant, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_targets), cmocka_unit_test(paths), cmocka_unit_test(queries),
        cmocka_unit_test(forms),           cmocka_unit_test(hosts), cmocka_unit_test(mutants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
