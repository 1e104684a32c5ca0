#include "codec/http1.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/mutate.h"

#define H "Host: h\r\n"

static const char *const bad_heads[] = {
    "\r\n\r\n",
    "\n",
    "GET\r\n\r\n",
    "GET /\r\n\r\n",
    "GET / HTTP/1.1\n" H "\r\n",
    "GET / HTTP/1.1\r\nHost: h\n\r\n",
    "GET  / HTTP/1.1\r\n" H "\r\n",
    " GET / HTTP/1.1\r\n" H "\r\n",
    "GET / HTTP/1.1 \r\n" H "\r\n",
    "GET / HTTP/2.0\r\n" H "\r\n",
    "GET / HTTP/1.2\r\n" H "\r\n",
    "GET / http/1.1\r\n" H "\r\n",
    "GET / HTTP/1.10\r\n" H "\r\n",
    "G@T / HTTP/1.1\r\n" H "\r\n",
    "GET /a\tb HTTP/1.1\r\n" H "\r\n",
    "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n",
    "GET a HTTP/1.1\r\n" H "\r\n",
    "GET * HTTP/1.1\r\n" H "\r\n",
    "GET h:1 HTTP/1.1\r\n" H "\r\n",
    "GET http://other/ HTTP/1.1\r\n" H "\r\n",
    "GET https://h:1/ HTTP/1.1\r\n" H "\r\n",
    "GET ftp://h/ HTTP/1.1\r\n" H "\r\n",
    "GET https://u@h/ HTTP/1.1\r\n" H "\r\n",
    "GET https:/// HTTP/1.1\r\n" H "\r\n",
    "GET https://h?x HTTP/1.1\r\n" H "\r\n",
    "CONNECT / HTTP/1.1\r\n" H "\r\n",
    /* Host */
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.1\r\n" H H "\r\n",
    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n",
    /* header lines */
    "GET / HTTP/1.1\r\n" H "X\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "X : 1\r\n\r\n",
    "GET / HTTP/1.1\r\n" H " X: 1\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "X: 1\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "X: 1\r\n\tfolded\r\n\r\n",
    "GET / HTTP/1.1\r\n" H ": 1\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "X: \x01\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "X: \x7f\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "X\xc3\xa4: 1\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "X(: 1\r\n\r\n",
    /* framing */
    "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Content-Length: 1 1\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
    "chunked\r\n\r\n",
    /* duplicates */
    "GET / HTTP/1.1\r\n" H "Authorization: a\r\nauthorization: b\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "Content-Type: a\r\ncontent-type: a\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n",
};

static void malformed_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_heads / sizeof bad_heads[0]; i++) {
        struct http1_head h;
        size_t used = 99;
        if (http1_parse(bytes_str(bad_heads[i]), &h, &used) != HSM_E_MALFORMED)
            fail_msg("accepted: %s", bad_heads[i]);
        assert_int_equal(used, 99);
    }
    struct http1_head h;
    size_t used;
    const char nul[] = "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n";
    assert_int_equal(http1_parse(bytes_of(nul, sizeof nul - 1), &h, &used), HSM_E_MALFORMED);
}

static void limits(void **state)
{
    (void)state;
    static char text[HTTP1_HEAD_MAX + 100];
    struct http1_head h;
    size_t used;
    struct wr w = wr_of(text, sizeof text);
    wr_str(&w, "GET / HTTP/1.1\r\n" H);
    for (int i = 0; i < HTTP1_HEADERS_MAX - 1; i++)
        wr_str(&w, "A: b\r\n");
    size_t before_last = w.n;
    wr_str(&w, "A: b\r\n\r\n");
    assert_int_equal(http1_parse(wr_view(&w), &h, &used), HSM_E_HEADERS_TOO_LARGE);
    w.n = before_last;
    wr_str(&w, "\r\n");
    assert_int_equal(http1_parse(wr_view(&w), &h, &used), HSM_OK);
    assert_int_equal(h.header_n, HTTP1_HEADERS_MAX);
    memset(text, 'a', sizeof text);
    assert_int_equal(http1_parse(bytes_of(text, HTTP1_HEAD_MAX), &h, &used),
                     HSM_E_HEADERS_TOO_LARGE);
    assert_int_equal(http1_parse(bytes_of(text, HTTP1_HEAD_MAX - 1), &h, &used), HSM_E_AGAIN);
}

#define GOOD                                                                                       \
    "POST /keys/a/sign?api-version=7.4 HTTP/1.1\r\nhOST: Hsm.example:8443\r\n"                     \
    "Authorization: Bearer abc\r\nContent-Type:application/json\r\nContent-Length: 12 \r\n"        \
    "User-Agent:\t ua/1\t\r\nx-ms-client-request-id: id\r\nExpect: 100-Continue\r\n\r\n"

static void good_head(void **state)
{
    (void)state;
    struct http1_head h;
    size_t used = 0;
    struct bytes in = bytes_str(GOOD "{\"body\": 1}\r\n");
    assert_int_equal(http1_parse(in, &h, &used), HSM_OK);
    assert_int_equal(used, strlen(GOOD));
    assert_int_equal(h.method, HTTP1_POST);
    assert_true(bytes_eq_str(h.target, "/keys/a/sign?api-version=7.4"));
    assert_true(bytes_eq_str(h.host, "Hsm.example:8443"));
    assert_true(bytes_eq_str(h.authorization, "Bearer abc"));
    assert_true(bytes_eq_str(h.content_type, "application/json"));
    assert_true(bytes_eq_str(h.user_agent, "ua/1"));
    assert_true(bytes_eq_str(h.client_request_id, "id"));
    assert_true(h.has_length && h.content_length == 12 && !h.chunked);
    assert_true(h.keep_alive && h.expect_continue && h.minor == 1);
    assert_int_equal(h.header_n, 7);
    assert_null(http1_header_get(&h, "cookie").p);
    for (size_t n = 0; n < strlen(GOOD); n++)
        assert_int_equal(http1_parse(bytes_of(in.p, n), &h, &used), HSM_E_AGAIN);
}

static void variants(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum http1_method method;
        const char *target;
        bool keep;
    } rows[] = {
        {"GET / HTTP/1.0\r\n" H "\r\n", HTTP1_GET, "/", false},
        {"GET / HTTP/1.0\r\n" H "Connection: Keep-Alive\r\n\r\n", HTTP1_GET, "/", true},
        {"GET / HTTP/1.1\r\n" H "Connection: foo , CLOSE\r\n\r\n", HTTP1_GET, "/", false},
        {"GET / HTTP/1.1\r\n" H "Connection: x\r\nConnection: close\r\n\r\n", HTTP1_GET, "/",
         false},
        {"PUT https://H/a?b HTTP/1.1\r\n" H "\r\n", HTTP1_PUT, "/a?b", true},
        {"PATCH HTTP://h HTTP/1.1\r\n" H "\r\n", HTTP1_PATCH, "/", true},
        {"DELETE /x HTTP/1.1\r\n" H "\r\n", HTTP1_DELETE, "/x", true},
        {"HEAD /x HTTP/1.1\r\n" H "\r\n", HTTP1_HEAD, "/x", true},
        {"OPTIONS * HTTP/1.1\r\n" H "\r\n", HTTP1_OPTIONS, "*", true},
        {"CONNECT h:443 HTTP/1.1\r\n" H "\r\n", HTTP1_CONNECT, "h:443", true},
        {"get / HTTP/1.1\r\n" H "\r\n", HTTP1_OTHER, "/", true},
        {"BREW / HTTP/1.1\r\n" H "X:\r\n\r\n", HTTP1_OTHER, "/", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http1_head h;
        size_t used;
        if (http1_parse(bytes_str(rows[i].text), &h, &used) != HSM_OK)
            fail_msg("refused: %s", rows[i].text);
        assert_int_equal(h.method, rows[i].method);
        assert_true(bytes_eq_str(h.target, rows[i].target));
        assert_int_equal(h.keep_alive, rows[i].keep);
    }
    struct http1_head h;
    size_t used;
    assert_int_equal(
        http1_parse(bytes_str("POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n"), &h,
                    &used),
        HSM_OK);
    assert_true(h.chunked && !h.has_length);
}

static hsm_err feed(const char *text, size_t n, size_t piece, struct wr *out, size_t *used)
{
    struct http1_chunks c = {0};
    hsm_err err = HSM_E_AGAIN;
    *used = 0;
    while (err == HSM_E_AGAIN && *used < n) {
        size_t k;
        size_t take = n - *used < piece ? n - *used : piece;
        err = http1_chunks_feed(&c, bytes_of(text + *used, take), out, &k);
        if (err == HSM_OK || err == HSM_E_AGAIN)
            *used += k;
    }
    return err;
}

static void bad_chunks(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\r\n",
        "g\r\n",
        " 1\r\na",
        "1 \r\na",
        "-1\r\n",
        "0x1\r\na",
        "1\na",
        "1\r\nab",
        "1\r\na\n",
        "1\r\na\rb",
        "1;a\rb\r\n",
        "1;a\n",
        "0\r\nX\n",
        "0\r\n\rX",
        "1234567890123456\r\n",
        "0000000000000001\r\na",
        ";x\r\n",
        "1\r\na\r\n\r\n",
        "0\r\n\x01",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t body[64];
        struct wr out = wr_of(body, sizeof body);
        size_t used;
        if (feed(bad[i], strlen(bad[i]), 1, &out, &used) != HSM_E_MALFORMED)
            fail_msg("accepted: %s", bad[i]);
    }
    uint8_t body[4];
    struct wr out = wr_of(body, sizeof body);
    size_t used;
    assert_int_equal(feed("5\r\nabc", 6, 100, &out, &used), HSM_E_TOO_LARGE);
    out = wr_of(body, sizeof body);
    assert_int_equal(feed("3\r\nabc\r\n2\r\n", 11, 100, &out, &used), HSM_E_AGAIN);
    assert_int_equal(feed("3\r\nabc\r\n2\r\nx", 12, 100, &out, &used), HSM_E_TOO_LARGE);
    out = wr_of(body, sizeof body);
    assert_int_equal(feed("fffffffffffffff\r\na", 18, 100, &out, &used), HSM_E_TOO_LARGE);
    static char lots[9000];
    memset(lots, 'x', sizeof lots);
    memcpy(lots, "0\r\n", 3);
    assert_int_equal(feed(lots, sizeof lots, 100, &out, &used), HSM_E_MALFORMED);
    memcpy(lots, "0;\r", 2);
    assert_int_equal(feed(lots, 400, 100, &out, &used), HSM_E_MALFORMED);
}

#define CHUNKS                                                                                     \
    "4;ext=\"a b\"\r\nWiki\r\n05\r\npedia\r\nE\r\n in\r\n\r\nchunks.\r\n0\r\nT: v\r\nU: w\r\n\r\n"
static void good_chunks(void **state)
{
    (void)state;
    static const char text[] = CHUNKS "GET";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        uint8_t body[64];
        struct wr out = wr_of(body, sizeof body);
        size_t used;
        assert_int_equal(feed(text, sizeof text - 1, piece, &out, &used), HSM_OK);
        assert_int_equal(used, strlen(CHUNKS));
        assert_true(bytes_eq_str(wr_view(&out), "Wikipedia in\r\n\r\nchunks."));
    }
    struct http1_chunks c = {0};
    uint8_t body[64];
    struct wr out = wr_of(body, sizeof body);
    size_t used;
    assert_int_equal(http1_chunks_feed(&c, bytes_str("0\r\n\r\n"), &out, &used), HSM_OK);
    assert_int_equal(http1_chunks_feed(&c, bytes_str("x"), &out, &used), HSM_OK);
    assert_int_equal(used, 0);
}

static void one_mutant(struct bytes text, void *arg)
{
    (void)arg;
    struct http1_head h;
    struct http1_chunks c = {0};
    uint8_t body[32];
    struct wr out = wr_of(body, sizeof body);
    size_t used;
    if (http1_parse(text, &h, &used) == HSM_OK) {
        assert_true(used <= text.n && h.header_n > 0 && h.host.n > 0);
        assert_false(h.chunked && h.has_length);
    }
    if (http1_chunks_feed(&c, text, &out, &used) == HSM_OK)
        assert_true(used <= text.n && out.n == c.total);
}

static void mutants(void **state)
{
    (void)state;
    mutate_each(bytes_str(GOOD), one_mutant, NULL);
    mutate_each(bytes_str(CHUNKS), one_mutant, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_heads), cmocka_unit_test(limits),
        cmocka_unit_test(good_head),       cmocka_unit_test(variants),
        cmocka_unit_test(bad_chunks),      cmocka_unit_test(good_chunks),
        cmocka_unit_test(mutants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
