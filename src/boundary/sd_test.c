#include "boundary/sd.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include "boundary/sd_testing.h"
#include "codec/base64url.h"
#include "codec/jwe.h"

#define FILE_MAX 200000u
#define NOW      1700000000u

struct custodian {
    EVP_PKEY *key;
    uint8_t der[4096];
    size_t der_n;
    char cert_pem[8192], key_pem[8192];
};

static struct roots roots;
static struct custodian set3[3], set5[5];

static EVP_PKEY *key_of_pem(const char *pem)
{
    BIO *b = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *k = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
    assert_non_null(k);
    BIO_free(b);
    return k;
}

static size_t der_of_pem(const char *pem, uint8_t *dst, size_t cap)
{
    BIO *b = BIO_new_mem_buf(pem, -1);
    X509 *c = PEM_read_bio_X509(b, NULL, NULL, NULL);
    assert_non_null(c);
    assert_true((size_t)i2d_X509(c, NULL) <= cap);
    int n = i2d_X509(c, &dst);
    X509_free(c);
    BIO_free(b);
    return (size_t)n;
}

static void load_custodians(const char *file, struct custodian *c, unsigned count)
{
    struct vectors *v = vectors_load(file);
    uint32_t list = vec_get(v, 0, "custodians");
    unsigned i = 0;
    for (uint32_t at = json_first(&v->doc, list); at != JSON_NONE;
         at = json_next(&v->doc, list, at)) {
        assert_true(i < count);
        vec_text(v, vec_get(v, at, "certificate_pem"), c[i].cert_pem, sizeof c[i].cert_pem);
        vec_text(v, vec_get(v, at, "private_key_pem"), c[i].key_pem, sizeof c[i].key_pem);
        c[i].key = key_of_pem(c[i].key_pem);
        c[i].der_n = der_of_pem(c[i].cert_pem, c[i].der, sizeof c[i].der);
        i++;
    }
    assert_int_equal(i, count);
    free(v);
}

static int setup(void **state)
{
    (void)state;
    assert_int_equal(roots_generate("my-pool", &roots), HSM_OK);
    load_custodians("sd-2of3.json", set3, 3);
    load_custodians("sd-3of5.json", set5, 5);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        EVP_PKEY_free(set3[i].key);
    for (unsigned i = 0; i < 5; i++)
        EVP_PKEY_free(set5[i].key);
    roots_done(&roots);
    return 0;
}

/* ---- requests -------------------------------------------------------------------------------- */
struct ask {
    uint8_t list[60000];
    struct wr w;
    uint8_t required;
    uint8_t file[FILE_MAX];
    struct wr out;
    char thumbprints[1024];
    const char *why;
};

static struct ask *ask_new(uint8_t required)
{
    static struct ask a;
    a.w = wr_of(a.list, sizeof a.list);
    a.out = wr_of(a.file, sizeof a.file);
    a.required = required;
    a.why = NULL;
    return &a;
}

static void ask_cert(struct ask *a, struct bytes der, struct bytes n, struct bytes e)
{
    struct wire_sd_cert c = {.der = der, .n = n, .e = e};
    size_t at = wr_lv_open(&a->w);
    wire_sd_cert_put(&a->w, &c);
    wr_lv_close(&a->w, at);
    assert_int_equal(wr_ok(&a->w), HSM_OK);
}

static void ask_custodian(struct ask *a, const struct custodian *c)
{
    struct bytes none = {0};
    ask_cert(a, bytes_of(c->der, c->der_n), none, none);
}

static hsm_err ask_run(struct ask *a)
{
    struct wire_sd_download req = {.required = a->required, .certificates = wr_view(&a->w)};
    return sd_download(&req, &roots, "my-pool", NOW, &a->out, a->thumbprints, sizeof a->thumbprints,
                       &a->why);
}

static void ask_refused(struct ask *a, const char *mentions)
{
    assert_int_equal(ask_run(a), HSM_E_BAD_PARAMETER);
    assert_non_null(a->why);
    if (strstr(a->why, mentions) == NULL)
        fail_msg("\"%s\" does not mention \"%s\"", a->why, mentions);
    assert_int_equal(a->out.n, 0);
}

/* ---- opening a file as a custodian does ------------------------------------------------------ */
struct file {
    struct json_tok tok[512];
    struct json_doc doc;
};

static void file_parse(struct bytes text, struct file *f)
{
    assert_int_equal(json_parse(text, f->tok, 512, &f->doc), HSM_OK);
}

static struct bytes file_text(const struct file *f, uint32_t obj, const char *name)
{
    struct bytes b = {0};
    assert_int_equal(json_plain(&f->doc, json_get(&f->doc, obj, name), &b), HSM_OK);
    return b;
}

static uint32_t element(const struct file *f, uint32_t list, unsigned i)
{
    uint32_t at = json_first(&f->doc, list);
    while (i-- > 0)
        at = json_next(&f->doc, list, at);
    return at;
}

/* The master key from the custodians in mask. */
static hsm_err open_master(const struct file *f, const struct custodian *c, unsigned mask,
                           uint8_t master[32])
{
    struct secret_buf share[10] = {0};
    const uint8_t *p[10];
    unsigned k = 0;
    uint32_t list = json_get(&f->doc, json_get(&f->doc, 0, "SharedKeys"), "enc_shares");
    for (unsigned i = 0; i < 10; i++) {
        if ((mask >> i & 1) == 0)
            continue;
        uint32_t entry = element(f, list, i);
        assert_int_equal(jwe_open_rsa(file_text(f, entry, "enc_key"), c[i].key, &share[k]), HSM_OK);
        assert_int_equal(share[k].n, 64);
        p[k] = share[k].p;
        k++;
    }
    hsm_err err = sd_shamir_join(p, k, 32, master);
    for (unsigned i = 0; i < k; i++)
        secret_buf_done(&share[i]);
    return err;
}

static void open_item(const struct file *f, const uint8_t *master, unsigned i, char tag[64],
                      struct secret_buf *ret)
{
    uint8_t cek[64];
    uint32_t list = json_get(&f->doc, json_get(&f->doc, 0, "EncData"), "data");
    uint32_t entry = element(f, list, i);
    struct bytes t = file_text(f, entry, "tag");
    assert_true(t.n < 64);
    memcpy(tag, t.p, t.n);
    tag[t.n] = '\0';
    sd_kdf(master, 32, tag, "", 512, cek);
    assert_int_equal(jwe_open_dir(file_text(f, entry, "compact_jwe"), cek, tag, ret), HSM_OK);
}

static void expect_lv(struct rd *r, const uint8_t *p, size_t n)
{
    struct bytes b;
    assert_int_equal(rd_lv(r, 4096, &b), HSM_OK);
    assert_int_equal(b.n, n);
    assert_memory_equal(b.p, p, n);
}

static struct rd expect_head(const struct secret_buf *b, const char *magic)
{
    struct rd r = rd_of(bytes_of(b->p, b->n));
    struct bytes m = {0};
    uint32_t format = 0;
    assert_int_equal(rd_bytes(&r, 4, &m), HSM_OK);
    assert_true(bytes_eq_str(m, magic));
    assert_int_equal(rd_u32(&r, &format), HSM_OK);
    assert_int_equal(format, 1);
    return r;
}

static void expect_items(const struct file *f, const uint8_t *master)
{
    struct secret_buf item[3] = {0};
    char tag[3][64];
    struct bytes b = {0};
    uint64_t created = 0;
    uint32_t count = 0;
    for (unsigned i = 0; i < 3; i++)
        open_item(f, master, i, tag[i], &item[i]);
    assert_string_equal(tag[0], "sd_header");
    assert_string_equal(tag[1], "sd_owner");
    assert_string_equal(tag[2], "sd_root_keys");

    struct rd r = expect_head(&item[0], "KHSD");
    assert_int_equal(rd_bytes(&r, 16, &b), HSM_OK);
    assert_memory_equal(b.p, roots.pool.b, 16);
    assert_int_equal(rd_u64(&r, &created), HSM_OK);
    assert_int_equal(created, NOW);
    expect_lv(&r, (const uint8_t *)"my-pool", 7);
    assert_int_equal(rd_u32(&r, &count), HSM_OK);
    assert_int_equal(count, 2);
    for (unsigned i = 1; i < 3; i++) {
        uint8_t digest[32];
        EVP_Digest(item[i].p, item[i].n, digest, NULL, EVP_sha256(), NULL);
        expect_lv(&r, (const uint8_t *)tag[i], strlen(tag[i]));
        assert_int_equal(rd_bytes(&r, 32, &b), HSM_OK);
        assert_memory_equal(b.p, digest, 32);
    }
    assert_int_equal(rd_end(&r), HSM_OK);

    r = expect_head(&item[1], "KHSO");
    expect_lv(&r, roots.owner_key.p, roots.owner_key.n);
    expect_lv(&r, roots.audit_key.p, roots.audit_key.n);
    expect_lv(&r, roots.owner_cert, roots.owner_cert_n);
    assert_int_equal(rd_end(&r), HSM_OK);
    r = expect_head(&item[2], "KHSK");
    expect_lv(&r, roots.dek, 32);
    expect_lv(&r, roots.backup, 64);
    assert_int_equal(rd_end(&r), HSM_OK);
    for (unsigned i = 0; i < 3; i++)
        secret_buf_done(&item[i]);
}

static void every_quorum_opens(const struct custodian *c, unsigned n, unsigned required,
                               unsigned expected)
{
    static struct file f;
    struct ask *a = ask_new((uint8_t)required);
    uint8_t first[32] = {0};
    unsigned subsets = 0;
    for (unsigned i = 0; i < n; i++)
        ask_custodian(a, &c[i]);
    assert_int_equal(ask_run(a), HSM_OK);
    file_parse(wr_view(&a->out), &f);
    for (unsigned mask = 0; mask < 1u << n; mask++) {
        uint8_t master[32];
        unsigned k = (unsigned)__builtin_popcount(mask);
        if (k == required) {
            assert_int_equal(open_master(&f, c, mask, master), HSM_OK);
            if (subsets++ == 0)
                memcpy(first, master, 32);
            assert_memory_equal(master, first, 32);
        } else if (k > 1 && k + 1 == required) {
            /* One too few gives something else. */
            if (open_master(&f, c, mask, master) == HSM_OK)
                assert_memory_not_equal(master, first, 32);
        }
    }
    assert_int_equal(subsets, expected);
    expect_items(&f, first);
}

static void quorums(void **state)
{
    (void)state;
    every_quorum_opens(set3, 3, 2, 3);
    every_quorum_opens(set3, 3, 3, 1);
    every_quorum_opens(set5, 5, 3, 10);
}

/* ---- form of the file ------------------------------------------------------------------------ */
static void decode_part(struct bytes jwe, unsigned index, uint8_t *dst, size_t *ret_n)
{
    const uint8_t *p = jwe.p;
    const uint8_t *end = jwe.p + jwe.n;
    for (; index > 0; index--)
        p = (const uint8_t *)memchr(p, '.', (size_t)(end - p)) + 1;
    const uint8_t *dot = (const uint8_t *)memchr(p, '.', (size_t)(end - p));
    size_t n = (size_t)((dot == NULL ? end : dot) - p);
    assert_int_equal(b64u_decode(dst, bytes_of(p, n), ret_n), HSM_OK);
}

/* Write the frame again around the parts that are random: the whole text must come out. */
static void file_text_is_exact(void **state)
{
    static struct file f;
    static char again[FILE_MAX];
    struct ask *a = ask_new(0); /* not sent: 2 */
    uint8_t part[1024];
    size_t n = 0;
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        ask_custodian(a, &set3[i]);
    assert_int_equal(ask_run(a), HSM_OK);
    file_parse(wr_view(&a->out), &f);
    struct wr w = wr_of(again, sizeof again);
    uint32_t data = json_get(&f.doc, json_get(&f.doc, 0, "EncData"), "data");
    uint32_t shares = json_get(&f.doc, json_get(&f.doc, 0, "SharedKeys"), "enc_shares");
    wr_str(&w, "{\"EncData\":{\"data\":[");
    for (unsigned i = 0; i < 3; i++) {
        static const char *const tags[] = {"sd_header", "sd_owner", "sd_root_keys"};
        char header[128];
        struct bytes jwe = file_text(&f, element(&f, data, i), "compact_jwe");
        decode_part(jwe, 0, part, &n);
        snprintf(header, sizeof header,
                 "{\"alg\":\"dir\",\"enc\":\"A256CBC-HS512\",\"kid\":\"%s\"}", tags[i]);
        assert_true(bytes_eq_str(bytes_of(part, n), header));
        decode_part(jwe, 1, part, &n);
        assert_int_equal(n, 0);
        wr_str(&w, i > 0 ? ",{\"compact_jwe\":\"" : "{\"compact_jwe\":\"");
        wr_bytes(&w, jwe.p, jwe.n);
        wr_str(&w, "\",\"tag\":\"");
        wr_str(&w, tags[i]);
        wr_str(&w, "\"}");
    }
    wr_str(&w, "],\"kdf\":\"sp108_kdf\"},\"SharedKeys\":{\"enc_shares\":[");
    for (unsigned i = 0; i < 3; i++) {
        char header[160];
        char thumb[44];
        uint8_t digest[32];
        struct uuid kid;
        struct bytes jwe = file_text(&f, element(&f, shares, i), "enc_key");
        decode_part(jwe, 0, part, &n);
        assert_int_equal(n, 89);
        assert_int_equal(uuid_parse(bytes_of(part + 51, 36), &kid), HSM_OK);
        assert_int_equal(kid.b[6] >> 4, 4);
        snprintf(header, sizeof header,
                 "{\"alg\":\"RSA-OAEP-256\",\"enc\":\"A256CBC-HS512\",\"kid\":\"%.36s\"}",
                 (const char *)part + 51);
        assert_true(bytes_eq_str(bytes_of(part, n), header));
        decode_part(jwe, 1, part, &n);
        assert_int_equal(n, 256);
        decode_part(jwe, 3, part, &n);
        assert_int_equal(n, 80);
        EVP_Digest(set3[i].der, set3[i].der_n, digest, NULL, EVP_sha256(), NULL);
        assert_int_equal(b64u_encode(thumb, digest, 32), 43);
        thumb[43] = '\0';
        assert_memory_equal(a->thumbprints + 44 * (size_t)i, thumb, 43);
        wr_str(&w, i > 0 ? ",{\"enc_key\":\"" : "{\"enc_key\":\"");
        wr_bytes(&w, jwe.p, jwe.n);
        wr_str(&w, "\",\"x5t_256\":\"");
        wr_str(&w, thumb);
        wr_str(&w, "\"}");
    }
    wr_str(&w, "],\"key_algorithm\":\"shamir_share\",\"required\":2},\"version\":2}");
    assert_int_equal(a->out.n, w.n);
    assert_memory_equal(a->out.p, w.p, w.n);
    assert_int_equal(strlen(a->thumbprints), 3 * 43 + 2);
    assert_int_equal(a->thumbprints[43], ',');
    for (size_t i = 0; i < w.n; i++)
        assert_in_range(again[i], 0x20, 0x7e);
}

static void every_download_has_its_own_master_key(void **state)
{
    static struct file f;
    uint8_t master[2][32];
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        struct ask *a = ask_new(2);
        for (unsigned i = 0; i < 3; i++)
            ask_custodian(a, &set3[i]);
        assert_int_equal(ask_run(a), HSM_OK);
        file_parse(wr_view(&a->out), &f);
        assert_int_equal(open_master(&f, set3, 5, master[round]), HSM_OK);
    }
    assert_memory_not_equal(master[0], master[1], 32);
}

/* ---- files of others ------------------------------------------------------------------------- */
static void vector_domains_open(void **state)
{
    static const struct {
        const char *file;
        const struct custodian *c;
        unsigned mask;
    } rows[] = {{"sd-2of3.json", set3, 6}, {"sd-3of5.json", set5, 0x15}};
    static char text[FILE_MAX];
    static struct file f;
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct vectors *v = vectors_load(rows[i].file);
        uint8_t want[32], master[32];
        size_t n = vec_text(v, vec_get(v, 0, "security_domain"), text, sizeof text);
        file_parse(bytes_of(text, n), &f);
        vec_hex(v, vec_get(v, 0, "master_key_hex"), want, sizeof want);
        assert_int_equal(open_master(&f, rows[i].c, rows[i].mask, master), HSM_OK);
        assert_memory_equal(master, want, 32);
        uint32_t items = vec_get(v, 0, "items");
        unsigned k = 0;
        for (uint32_t at = json_first(&v->doc, items); at != JSON_NONE;
             at = json_next(&v->doc, items, at)) {
            static uint8_t plain[8192];
            struct secret_buf got = {0};
            char tag[64];
            size_t plain_n = vec_hex(v, vec_get(v, at, "plaintext_hex"), plain, sizeof plain);
            open_item(&f, master, k++, tag, &got);
            assert_int_equal(got.n, plain_n);
            assert_memory_equal(got.p, plain, plain_n);
            secret_buf_done(&got);
        }
        assert_true(k >= 3);
        free(v);
    }
}

/* ---- refusals -------------------------------------------------------------------------------- */
static size_t self_signed(EVP_PKEY *key, long serial, uint8_t *dst, size_t cap)
{
    X509 *c = X509_new();
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(c), serial), 1);
    X509_gmtime_adj(X509_getm_notBefore(c), -2000);
    X509_gmtime_adj(X509_getm_notAfter(c), -1000); /* expired: must not matter */
    assert_int_equal(X509_set_pubkey(c, key), 1);
    assert_true(X509_sign(c, key, EVP_sha256()) > 0);
    assert_true((size_t)i2d_X509(c, NULL) <= cap);
    int n = i2d_X509(c, &dst);
    X509_free(c);
    return (size_t)n;
}

static void numbers_and_quorum(void **state)
{
    struct ask *a;
    (void)state;
    a = ask_new(2);
    ask_refused(a, "3 to 10");
    ask_custodian(a, &set3[0]);
    ask_custodian(a, &set3[1]);
    ask_refused(a, "3 to 10");
    static const uint8_t bad[] = {1, 4, 5, 10, 11, 255};
    for (size_t i = 0; i < sizeof bad; i++) {
        a = ask_new(bad[i]);
        for (unsigned k = 0; k < 3; k++)
            ask_custodian(a, &set3[k]);
        ask_refused(a, "required");
    }
}

static void ten_custodians_and_no_more(void **state)
{
    struct bytes none = {0};
    struct ask *a = ask_new(10);
    static uint8_t der[11][2048];
    (void)state;
    for (unsigned i = 0; i < 11; i++) {
        EVP_PKEY *k = EVP_RSA_gen(2048);
        size_t n = self_signed(k, i + 1, der[i], sizeof der[i]);
        EVP_PKEY_free(k);
        if (i == 10)
            assert_int_equal(ask_run(a), HSM_OK);
        a->out.n = 0;
        ask_cert(a, bytes_of(der[i], n), none, none);
    }
    ask_refused(a, "3 to 10");
}

static void numbers_of_the_request_must_match(void **state)
{
    static const uint8_t e[] = {1, 0, 1};
    static const uint8_t e_padded[] = {0, 0, 1, 0, 1};
    static const uint8_t e_wrong[] = {3};
    uint8_t n[256];
    BIGNUM *b = NULL;
    (void)state;
    assert_int_equal(EVP_PKEY_get_bn_param(set3[2].key, "n", &b), 1);
    assert_int_equal(BN_bn2binpad(b, n, 256), 256);
    BN_free(b);
    const struct {
        struct bytes n, e;
        bool ok;
    } rows[] = {
        {bytes_of(n, 256), bytes_of(e, 3), true},
        {bytes_of(n, 256), bytes_of(NULL, 0), true},
        {bytes_of(n, 256), bytes_of(e_padded, 5), true},
        {bytes_of(n, 255), bytes_of(e, 3), false},
        {bytes_of(n, 256), bytes_of(e_wrong, 1), false},
        {bytes_of(e, 3), bytes_of(e, 3), false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ask *a = ask_new(2);
        ask_custodian(a, &set3[0]);
        ask_custodian(a, &set3[1]);
        ask_cert(a, bytes_of(set3[2].der, set3[2].der_n), rows[i].n, rows[i].e);
        if (rows[i].ok)
            assert_int_equal(ask_run(a), HSM_OK);
        else
            ask_refused(a, "n and e");
    }
}

static void custodians_must_differ(void **state)
{
    struct bytes none = {0};
    uint8_t der[4096];
    struct ask *a = ask_new(2);
    (void)state;
    ask_custodian(a, &set3[0]);
    ask_custodian(a, &set3[1]);
    ask_custodian(a, &set3[0]);
    ask_refused(a, "different");
    /* Another certificate for the same key is the same custodian. */
    a = ask_new(2);
    ask_custodian(a, &set3[0]);
    ask_custodian(a, &set3[1]);
    size_t n = self_signed(set3[0].key, 99, der, sizeof der);
    ask_cert(a, bytes_of(der, n), none, none);
    ask_refused(a, "different");
}

static void certificates_that_do_not_do(void **state)
{
    struct sd_cert c = {0};
    const char *why = NULL;
    uint8_t der[4096];
    (void)state;
    assert_int_equal(sd_cert_parse(bytes_of(NULL, 0), &c, &why), HSM_E_BAD_PARAMETER);
    assert_int_equal(sd_cert_parse(bytes_str("hello"), &c, &why), HSM_E_BAD_PARAMETER);
    size_t n = set3[0].der_n;
    memcpy(der, set3[0].der, n);
    der[n] = 0;
    assert_int_equal(sd_cert_parse(bytes_of(der, n), &c, &why), HSM_OK);
    sd_cert_done(&c);
    assert_int_equal(sd_cert_parse(bytes_of(der, n + 1), &c, &why), HSM_E_BAD_PARAMETER);
    assert_int_equal(sd_cert_parse(bytes_of(der, n - 1), &c, &why), HSM_E_BAD_PARAMETER);
    assert_int_equal(sd_cert_parse(bytes_of(roots.owner_cert, roots.owner_cert_n), &c, &why),
                     HSM_E_BAD_PARAMETER);
    assert_non_null(strstr(why, "RSA"));
    static const unsigned bits[] = {1024, 2040, 4104};
    for (unsigned i = 0; i < 3; i++) {
        EVP_PKEY *k = EVP_RSA_gen(bits[i]);
        n = self_signed(k, 1, der, sizeof der);
        assert_int_equal(sd_cert_parse(bytes_of(der, n), &c, &why), HSM_E_BAD_PARAMETER);
        assert_non_null(strstr(why, "2048"));
        EVP_PKEY_free(k);
    }
    assert_null(c.key);
}

static void short_buffers(void **state)
{
    struct ask *a = ask_new(2);
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        ask_custodian(a, &set3[i]);
    struct wire_sd_download req = {.required = 2, .certificates = wr_view(&a->w)};
    assert_int_equal(ask_run(a), HSM_OK);
    size_t whole = a->out.n;
    for (size_t cap = 0; cap < whole;
         cap += cap + 611 < whole || cap + 1 == whole ? 611 : whole - 1 - cap) {
        struct wr out = wr_of(a->file, cap);
        assert_int_equal(sd_download(&req, &roots, "my-pool", NOW, &out, a->thumbprints,
                                     sizeof a->thumbprints, &a->why),
                         HSM_E_RANGE);
    }
    a->out = wr_of(a->file, whole);
    assert_int_equal(
        sd_download(&req, &roots, "my-pool", NOW, &a->out, a->thumbprints, 100, &a->why),
        HSM_E_RANGE);
}

/* ---- a sample for the oracle ----------------------------------------------------------------- */
/* The end-to-end suite opens it with check_vectors.py. */
static void write_sample(void **state)
{
    static uint8_t text[FILE_MAX];
    static struct file f;
    struct ask *a = ask_new(2);
    uint8_t master[32];
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        ask_custodian(a, &set3[i]);
    assert_int_equal(ask_run(a), HSM_OK);
    file_parse(wr_view(&a->out), &f);
    assert_int_equal(open_master(&f, set3, 3, master), HSM_OK);
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    json_name(&j, "custodians");
    json_arr_open(&j);
    for (unsigned i = 0; i < 3; i++) {
        json_obj_open(&j);
        json_name(&j, "certificate_pem");
        json_put_str(&j, set3[i].cert_pem);
        json_name(&j, "private_key_pem");
        json_put_str(&j, set3[i].key_pem);
        json_obj_close(&j);
    }
    json_arr_close(&j);
    json_name(&j, "security_domain");
    json_put_bytes(&j, wr_view(&a->out));
    json_name(&j, "items");
    json_obj_open(&j);
    for (unsigned i = 0; i < 3; i++) {
        struct secret_buf item = {0};
        char tag[64];
        open_item(&f, master, i, tag, &item);
        json_name(&j, tag);
        json_put_b64(&j, bytes_of(item.p, item.n));
        secret_buf_done(&item);
    }
    json_obj_close(&j);
    json_obj_close(&j);
    assert_int_equal(wr_ok(&w), HSM_OK);
    int fd =
        open(KEYHOLD_BINARY_DIR "/sd-sample.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, w.p, w.n), w.n);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quorums),
        cmocka_unit_test(file_text_is_exact),
        cmocka_unit_test(every_download_has_its_own_master_key),
        cmocka_unit_test(vector_domains_open),
        cmocka_unit_test(numbers_and_quorum),
        cmocka_unit_test(ten_custodians_and_no_more),
        cmocka_unit_test(numbers_of_the_request_must_match),
        cmocka_unit_test(custodians_must_differ),
        cmocka_unit_test(certificates_that_do_not_do),
        cmocka_unit_test(short_buffers),
        cmocka_unit_test(write_sample),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
