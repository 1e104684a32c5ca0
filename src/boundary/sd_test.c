/* The file of the security domain: who can open it, what is in it, its form to the letter. */
#include "boundary/sd_ask_testing.h"
#include "codec/base64url.h"
#include "codec/jwe.h"

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
        cmocka_unit_test(write_sample),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
