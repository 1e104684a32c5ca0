#include "codec/jwe.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/pem.h>
#include <stdio.h>
#include "base/mutate.h"
#include "base/uuid.h"
#include "codec/base64url.h"
#include "codec/json.h"

#define VECTORS KEYHOLD_SOURCE_DIR "/tests/vectors/security-domain/primitives.json"

static char file_text[1 << 17];
static struct json_tok toks[8192];
static struct json_doc doc;
static EVP_PKEY *rsa;

static int setup(void **state)
{
    (void)state;
    FILE *f = fopen(VECTORS, "rb");
    if (f == NULL)
        return -1;
    size_t n = fread(file_text, 1, sizeof file_text, f);
    (void)fclose(f);
    rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    return rsa != NULL && json_parse(bytes_of(file_text, n), toks, sizeof toks / sizeof toks[0],
                                     &doc) == HSM_OK
               ? 0
               : -1;
}
static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    return 0;
}

static struct bytes plain(uint32_t obj, const char *name)
{
    struct bytes b;
    assert_int_equal(json_plain(&doc, json_get(&doc, obj, name), &b), HSM_OK);
    return b;
}

static struct bytes from_hex(uint32_t obj, const char *name, uint8_t *dst)
{
    struct bytes text = plain(obj, name);
    assert_int_equal(hex_decode(dst, text.n / 2, text), HSM_OK);
    return bytes_of(dst, text.n / 2);
}

static void kid_of(uint32_t obj, char *dst)
{
    struct bytes b = plain(obj, "kid");
    memcpy(dst, b.p, b.n);
    dst[b.n] = '\0';
}

static void dir_vectors(void **state)
{
    (void)state;
    uint32_t list = json_get(&doc, 0, "jwe_dir");
    size_t rows = 0;
    for (uint32_t at = json_first(&doc, list); at != JSON_NONE; at = json_next(&doc, list, at)) {
        uint8_t cek[JWE_CEK_LEN];
        uint8_t want[8192];
        char kid[64];
        struct secret_buf got = {0};
        assert_int_equal(from_hex(at, "cek_hex", cek).n, JWE_CEK_LEN);
        struct bytes expected = from_hex(at, "plaintext_hex", want);
        kid_of(at, kid);
        struct bytes text = plain(at, "compact_jwe");
        assert_int_equal(jwe_open_dir(text, cek, kid, &got), HSM_OK);
        assert_true(bytes_eq(bytes_of(got.p, got.n), expected));
        secret_buf_done(&got);
        assert_int_equal(jwe_open_dir(text, cek, "item_x", &got), HSM_E_CRYPTO);
        /* our own text differs in the IV and what follows from it only */
        char ours[16384];
        struct wr w = wr_of(ours, sizeof ours);
        assert_int_equal(jwe_seal_dir(cek, kid, expected, &w), HSM_OK);
        assert_int_equal(w.n, text.n);
        assert_true(w.n <= jwe_text_max(expected.n, strlen(kid), 0));
        size_t head = (size_t)((const uint8_t *)memchr(text.p, '.', text.n) - text.p) + 2;
        assert_memory_equal(ours, text.p, head);
        cek[0] ^= 1; /* the half that authenticates */
        assert_int_equal(jwe_open_dir(text, cek, kid, &got), HSM_E_CRYPTO);
        rows++;
    }
    assert_true(rows >= 9);
}

static void rsa_vectors(void **state)
{
    (void)state;
    uint32_t list = json_get(&doc, 0, "jwe_rsa_oaep_256");
    size_t rows = 0;
    for (uint32_t at = json_first(&doc, list); at != JSON_NONE; at = json_next(&doc, list, at)) {
        char pem[8192];
        uint8_t want[8192];
        size_t n;
        struct secret_buf got = {0};
        assert_int_equal(
            json_string(&doc, json_get(&doc, at, "private_key_pem"), pem, sizeof pem, &n), HSM_OK);
        BIO *bio = BIO_new_mem_buf(pem, (int)n);
        EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        BIO_free(bio);
        assert_non_null(key);
        struct bytes text = plain(at, "compact_jwe");
        struct bytes expected = from_hex(at, "plaintext_hex", want);
        assert_int_equal(jwe_open_rsa(text, key, &got), HSM_OK);
        assert_true(bytes_eq(bytes_of(got.p, got.n), expected));
        secret_buf_done(&got);
        assert_int_equal(jwe_open_rsa(text, rsa, &got), HSM_E_CRYPTO);
        EVP_PKEY_free(key);
        rows++;
    }
    assert_true(rows >= 2);
}

static void rsa_round_trip(void **state)
{
    (void)state;
    char text[4096];
    struct wr w = wr_of(text, sizeof text);
    struct secret_buf got = {0};
    assert_int_equal(jwe_seal_rsa(rsa, "k\"1", bytes_str("attack at dawn"), &w), HSM_OK);
    assert_true(w.n <= jwe_text_max(14, 3, 256));
    assert_int_equal(jwe_open_rsa(wr_view(&w), rsa, &got), HSM_OK);
    assert_true(bytes_eq_str(bytes_of(got.p, got.n), "attack at dawn"));
    secret_buf_done(&got);
    uint8_t head[128];
    size_t n;
    size_t dot = (size_t)((char *)memchr(text, '.', w.n) - text);
    assert_int_equal(b64u_decode(head, bytes_of(text, dot), &n), HSM_OK);
    assert_true(
        bytes_eq_str(bytes_of(head, n),
                     "{\"alg\":\"RSA-OAEP-256\",\"enc\":\"A256CBC-HS512\",\"kid\":\"k\\\"1\"}"));
    for (size_t cap = 0; cap < w.n; cap += 7) {
        char small[4096];
        struct wr s = wr_of(small, cap);
        assert_int_equal(jwe_seal_rsa(rsa, "k\"1", bytes_str("attack at dawn"), &s), HSM_E_RANGE);
    }
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    assert_int_equal(jwe_seal_rsa(ec, "k", bytes_str("x"), &w), HSM_E_CRYPTO);
    assert_int_equal(jwe_open_rsa(wr_view(&w), ec, &got), HSM_E_CRYPTO);
    EVP_PKEY_free(ec);
}

/* The same answer for damage of every part, the encrypted key among them. */
static void one_rsa_mutant(struct bytes text, void *arg)
{
    struct secret_buf got = {0};
    assert_int_equal(jwe_open_rsa(text, (EVP_PKEY *)arg, &got), HSM_E_CRYPTO);
}

static void rsa_mutants(void **state)
{
    (void)state;
    char text[4096];
    struct wr w = wr_of(text, sizeof text);
    assert_int_equal(jwe_seal_rsa(rsa, "k", bytes_str("x"), &w), HSM_OK);
    /* every 37th bit: one private operation each */
    for (size_t bit = 0; bit < 8 * w.n; bit += 37)
        mutate_call(w.p, w.n, bit, one_rsa_mutant, rsa);
    for (size_t n = 0; n < w.n; n += 5)
        mutate_call(w.p, n, SIZE_MAX, one_rsa_mutant, rsa);
}

static const uint8_t test_cek[JWE_CEK_LEN] = {1, 2, 3};

static void one_dir_mutant(struct bytes text, void *arg)
{
    (void)arg;
    struct secret_buf got = {0};
    assert_int_equal(jwe_open_dir(text, test_cek, "k", &got), HSM_E_CRYPTO);
}

static void dir_mutants(void **state)
{
    (void)state;
    char text[512];
    struct wr w = wr_of(text, sizeof text);
    assert_int_equal(jwe_seal_dir(test_cek, "k", bytes_str("hello"), &w), HSM_OK);
    mutate_each(wr_view(&w), one_dir_mutant, NULL);
}

/* In the caller's memory: both ways give and take what the others do. */
static void in_place(void **state)
{
    static uint8_t buf[70000], plain[65536];
    static char text[100000];
    static const size_t sizes[] = {0, 1, 15, 16, 17, 4096, 65535, 65536};
    (void)state;
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * 7 + i / 256);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t n = sizes[i];
        struct secret_buf got = {0};
        struct bytes view;
        struct wr w = wr_of(text, sizeof text);
        memcpy(buf, plain, n);
        assert_int_equal(jwe_seal_dir_over(test_cek, "k", buf, n, &w), HSM_OK);
        assert_int_equal(jwe_open_dir(wr_view(&w), test_cek, "k", &got), HSM_OK);
        assert_true(bytes_eq(bytes_of(got.p, got.n), bytes_of(plain, n)));
        secret_buf_done(&got);
        assert_int_equal(
            jwe_open_dir_into(wr_view(&w), test_cek, "k", buf, b64_decoded_max(w.n), &view),
            HSM_OK);
        assert_true(bytes_eq(view, bytes_of(plain, n)) && view.p == buf);
        assert_int_equal(jwe_open_dir_into(wr_view(&w), test_cek, "j", buf, sizeof buf, &view),
                         HSM_E_CRYPTO);
        assert_int_equal(jwe_open_dir_into(wr_view(&w), test_cek, "k", buf, n, &view),
                         HSM_E_CRYPTO);
        text[w.n / 2] ^= 1;
        assert_int_equal(jwe_open_dir_into(wr_view(&w), test_cek, "k", buf, sizeof buf, &view),
                         HSM_E_CRYPTO);
        struct wr small = wr_of(text, w.n - 1);
        memcpy(buf, plain, n);
        assert_int_equal(jwe_seal_dir_over(test_cek, "k", buf, n, &small), HSM_E_RANGE);
    }
}

/* Replace the header of a good text: all of these must fail before or at the tag. */
static void refused_headers(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"alg\":\"dir\"}",
        "{\"alg\":\"dir\",\"enc\":\"A256GCM\",\"kid\":\"k\"}",
        "{\"alg\":\"RSA-OAEP-256\",\"enc\":\"A256CBC-HS512\",\"kid\":\"k\"}",
        "{\"alg\":\"dir\",\"enc\":\"A256CBC-HS512\",\"kid\":\"k2\"}",
        "{\"alg\":\"dir\",\"enc\":\"A256CBC-HS512\"}",
        "{\"alg\":\"dir\",\"enc\":\"A256CBC-HS512\",\"kid\":\"k\",\"zip\":\"DEF\"}",
        "{\"alg\":\"dir\",\"enc\":\"A256CBC-HS512\",\"kid\":\"k\",\"crit\":[]}",
        "{\"alg\":\"dir\",\"enc\":\"A256CBC-HS512\",\"kid\":\"k\",\"kid\":\"k\"}",
        "{\"alg\":\"dir\",\"enc\":\"A256CBC-HS512\",\"kid\":\"k\"} ",
    };
    char good[512];
    struct wr w = wr_of(good, sizeof good);
    assert_int_equal(jwe_seal_dir(test_cek, "k", bytes_str("hello"), &w), HSM_OK);
    size_t dot = (size_t)((char *)memchr(good, '.', w.n) - good);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[1024];
        struct secret_buf got = {0};
        size_t n = b64u_encode(text, (const uint8_t *)bad[i], strlen(bad[i]));
        memcpy(text + n, good + dot, w.n - dot);
        assert_int_equal(jwe_open_dir(bytes_of(text, n + w.n - dot), test_cek, "k", &got),
                         HSM_E_CRYPTO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dir_vectors),    cmocka_unit_test(rsa_vectors),
        cmocka_unit_test(rsa_round_trip), cmocka_unit_test(rsa_mutants),
        cmocka_unit_test(dir_mutants),    cmocka_unit_test(refused_headers),
        cmocka_unit_test(in_place),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
