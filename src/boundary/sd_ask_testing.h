/* Shared by the tests of downloads: custodians of the vectors, and a request with its answer. */
#ifndef BOUNDARY_SD_ASK_TESTING_H
#define BOUNDARY_SD_ASK_TESTING_H

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include "boundary/sd.h"
#include "boundary/sd_testing.h"

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

static inline EVP_PKEY *key_of_pem(const char *pem)
{
    BIO *b = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *k = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
    assert_non_null(k);
    BIO_free(b);
    return k;
}

static inline size_t der_of_pem(const char *pem, uint8_t *dst, size_t cap)
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

static inline void load_custodians(const char *file, struct custodian *c, unsigned count)
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

static inline int setup(void **state)
{
    (void)state;
    assert_int_equal(roots_generate("my-pool", &roots), HSM_OK);
    load_custodians("sd-2of3.json", set3, 3);
    load_custodians("sd-3of5.json", set5, 5);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        EVP_PKEY_free(set3[i].key);
    for (unsigned i = 0; i < 5; i++)
        EVP_PKEY_free(set5[i].key);
    roots_done(&roots);
    return 0;
}

struct ask {
    uint8_t list[60000];
    struct wr w;
    uint8_t required;
    uint8_t file[FILE_MAX];
    struct wr out;
    char thumbprints[1024];
    const char *why;
};

static inline struct ask *ask_new(uint8_t required)
{
    static struct ask a;
    a.w = wr_of(a.list, sizeof a.list);
    a.out = wr_of(a.file, sizeof a.file);
    a.required = required;
    a.why = NULL;
    return &a;
}

static inline void ask_cert(struct ask *a, struct bytes der, struct bytes n, struct bytes e)
{
    struct wire_sd_cert c = {.der = der, .n = n, .e = e};
    size_t at = wr_lv_open(&a->w);
    wire_sd_cert_put(&a->w, &c);
    wr_lv_close(&a->w, at);
    assert_int_equal(wr_ok(&a->w), HSM_OK);
}

static inline void ask_custodian(struct ask *a, const struct custodian *c)
{
    struct bytes none = {0};
    ask_cert(a, bytes_of(c->der, c->der_n), none, none);
}

static inline hsm_err ask_run(struct ask *a)
{
    struct wire_sd_download req = {.required = a->required, .certificates = wr_view(&a->w)};
    return sd_download(&req, &roots, "my-pool", NOW, &a->out, a->thumbprints, sizeof a->thumbprints,
                       &a->why);
}

static inline void ask_refused(struct ask *a, const char *mentions)
{
    assert_int_equal(ask_run(a), HSM_E_BAD_PARAMETER);
    assert_non_null(a->why);
    if (strstr(a->why, mentions) == NULL)
        fail_msg("\"%s\" does not mention \"%s\"", a->why, mentions);
    assert_int_equal(a->out.n, 0);
}

#endif
