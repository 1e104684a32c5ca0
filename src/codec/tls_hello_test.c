#include "codec/tls_hello.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include "base/mutate.h"

/* The ClientHello a real client sends. */
static size_t real_hello(const char *name, uint8_t *dst, size_t cap)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (name != NULL) {
        char copy[256]; /* the macro casts const away */
        memcpy(copy, name, strlen(name) + 1);
        assert_int_equal(SSL_set_tlsext_host_name(ssl, copy), 1);
    }
    assert_true(SSL_connect(ssl) < 0);
    int n = BIO_read(SSL_get_wbio(ssl), dst, (int)cap);
    assert_true(n > 0);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return (size_t)n;
}

static void real_clients(void **state)
{
    (void)state;
    uint8_t in[2048];
    char host[256] = "?";
    size_t n = real_hello("Hsm-1.Example.NET", in, sizeof in);
    for (size_t k = 0; k < n; k++)
        assert_int_equal(tls_hello_server_name(bytes_of(in, k), host), HSM_E_AGAIN);
    assert_string_equal(host, "?");
    assert_int_equal(tls_hello_server_name(bytes_of(in, n), host), HSM_OK);
    assert_string_equal(host, "hsm-1.example.net");
    n = real_hello(NULL, in, sizeof in);
    assert_int_equal(tls_hello_server_name(bytes_of(in, n), host), HSM_OK);
    assert_string_equal(host, "");
}

/* The same message in records of k bytes. */
static void fragments(void **state)
{
    (void)state;
    uint8_t in[2048];
    uint8_t cut[16384];
    size_t n = real_hello("a.example", in, sizeof in);
    for (size_t k = 1; k < 300; k += k < 8 ? 1 : 41) {
        struct wr w = wr_of(cut, sizeof cut);
        for (size_t at = 5; at < n; at += k) {
            size_t len = n - at < k ? n - at : k;
            wr_u8(&w, 22);
            wr_u16(&w, 0x0301);
            wr_u16(&w, (uint16_t)len);
            wr_bytes(&w, in + at, len);
        }
        char host[256] = "";
        assert_int_equal(wr_ok(&w), HSM_OK);
        assert_int_equal(tls_hello_server_name(wr_view(&w), host), HSM_OK);
        assert_string_equal(host, "a.example");
    }
}

struct recipe {
    const char *names[3];
    size_t names_n;
    int extensions; /* how many server_name extensions */
    uint16_t lie;   /* added to the length of the extension block */
};

static struct bytes build(const struct recipe *q, uint8_t *dst, size_t cap)
{
    uint8_t names[512];
    struct wr l = wr_of(names, sizeof names);
    for (size_t i = 0; i < q->names_n; i++) {
        wr_u8(&l, 0);
        wr_u16(&l, (uint16_t)strlen(q->names[i]));
        wr_str(&l, q->names[i]);
    }
    uint8_t ext[2048];
    struct wr e = wr_of(ext, sizeof ext);
    for (int i = 0; i < q->extensions; i++) {
        wr_u16(&e, 0);
        wr_u16(&e, (uint16_t)(l.n + 2));
        wr_u16(&e, (uint16_t)l.n);
        wr_bytes(&e, names, l.n);
    }
    uint8_t zero[32] = {0};
    size_t body = 2 + 32 + 1 + 4 + 2 + (q->extensions >= 0 ? 2 + e.n : 0);
    struct wr w = wr_of(dst, cap);
    wr_u8(&w, 22);
    wr_u16(&w, 0x0301);
    wr_u16(&w, (uint16_t)(body + 4));
    wr_u32(&w, 1u << 24 | (uint32_t)body);
    wr_u16(&w, 0x0303);
    wr_bytes(&w, zero, sizeof zero);
    wr_u8(&w, 0);
    wr_u16(&w, 2);
    wr_u16(&w, 0x1301);
    wr_u16(&w, 0x0100);
    if (q->extensions >= 0) {
        wr_u16(&w, (uint16_t)(e.n + q->lie));
        wr_bytes(&w, ext, e.n);
    }
    return wr_view(&w);
}

static void built_hellos(void **state)
{
    (void)state;
    static const struct {
        struct recipe q;
        hsm_err want;
        const char *host;
    } rows[] = {
        {{{"a", "b"}, 2, 1, 0}, HSM_E_MALFORMED, NULL},
        {{{"a"}, 1, 2, 0}, HSM_E_MALFORMED, NULL},
        {{{"a"}, 0, 1, 0}, HSM_E_MALFORMED, NULL},
        {{{""}, 1, 1, 0}, HSM_E_MALFORMED, NULL},
        {{{"a."}, 1, 1, 0}, HSM_E_MALFORMED, NULL},
        {{{"a:1"}, 1, 1, 0}, HSM_E_MALFORMED, NULL},
        {{{"[::1]"}, 1, 1, 0}, HSM_E_MALFORMED, NULL},
        {{{"a b"}, 1, 1, 0}, HSM_E_MALFORMED, NULL},
        {{{"a\n"}, 1, 1, 0}, HSM_E_MALFORMED, NULL},
        {{{"a"}, 1, 1, 1}, HSM_E_MALFORMED, NULL},
        {{{"a"}, 1, 1, 0xffff}, HSM_E_MALFORMED, NULL},
        {{{"A.b"}, 1, 1, 0}, HSM_OK, "a.b"},
        {{{"a"}, 1, 0, 0}, HSM_OK, ""},
        {{{"a"}, 1, -1, 0}, HSM_OK, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t in[4096];
        char host[256] = "?";
        assert_int_equal(tls_hello_server_name(build(&rows[i].q, in, sizeof in), host),
                         rows[i].want);
        assert_string_equal(host, rows[i].host == NULL ? "?" : rows[i].host);
    }
}

static void not_tls(void **state)
{
    (void)state;
    static const char *const bad[] = {"GET / HTTP/1.1\r\n",   "SSH-2.0",
                                      "\x15\x03\x01",         "\x16\x02\x01\x01\x01",
                                      "\x16\x03\x01\xff\xff", "\x16\x03\x01\x01\x01\x02",
                                      "\x80\x2e\x01\x03\x01"};
    char host[256];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(tls_hello_server_name(bytes_str(bad[i]), host), HSM_E_MALFORMED);
    assert_int_equal(tls_hello_server_name(bytes_of("\x16\x03\x01\0\0", 5), host), HSM_E_MALFORMED);
    /* a message longer than we take */
    assert_int_equal(tls_hello_server_name(bytes_of("\x16\x03\x01\x40\0\x01\x01\0\0", 9), host),
                     HSM_E_MALFORMED);
    assert_int_equal(tls_hello_server_name((struct bytes){0}, host), HSM_E_AGAIN);
}

static void one_mutant(struct bytes in, void *arg)
{
    (void)arg;
    char host[256] = "";
    if (tls_hello_server_name(in, host) == HSM_OK)
        assert_true(strlen(host) < 256);
}

static void mutants(void **state)
{
    (void)state;
    uint8_t in[2048];
    size_t n = real_hello("hsm.example.net", in, sizeof in);
    mutate_each(bytes_of(in, n), one_mutant, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_tls),   cmocka_unit_test(built_hellos), cmocka_unit_test(real_clients),
        cmocka_unit_test(fragments), cmocka_unit_test(mutants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
