#include "fabric/identity/signing.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include "base/secret.h"
#include "codec/base64url.h"
#include "fabric/identity/idfile.h"

#define SIGNING_FILE "signing.key"
#define SIGNING_BITS 2048

static void bio_done(BIO **b)
{
    BIO_free(*b);
}

static void bn_done(BIGNUM **b)
{
    BN_clear_free(*b);
}

static void md_ctx_done(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}

static void pkey_done(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}

void signing_done(struct signing_key *s)
{
    EVP_PKEY_free(s->key);
    *s = (struct signing_key){0};
}

static hsm_err number_of(const EVP_PKEY *key, const char *name, uint8_t *dst, size_t cap,
                         size_t *ret_len)
{
    DEFER(bn_done) BIGNUM *v = NULL;
    if (EVP_PKEY_get_bn_param(key, name, &v) != 1 || (size_t)BN_num_bytes(v) > cap)
        return HSM_E_CORRUPT;
    *ret_len = (size_t)BN_bn2bin(v, dst);
    return HSM_OK;
}

/* RFC 7638: the required members in lexicographic order, without blanks. */
static hsm_err thumbprint(struct signing_key *s)
{
    char text[1024];
    uint8_t digest[32];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    json_name(&j, "e");
    json_put_b64u(&j, bytes_of(s->e, s->e_len));
    json_name(&j, "kty");
    json_put_str(&j, "RSA");
    json_name(&j, "n");
    json_put_b64u(&j, bytes_of(s->n, s->n_len));
    json_obj_close(&j);
    TRY(wr_ok(&w));
    if (EVP_Digest(w.p, w.n, digest, NULL, EVP_sha256(), NULL) != 1)
        return HSM_E_INTERNAL;
    size_t n = b64u_encode(s->kid, digest, sizeof digest);
    s->kid[n] = 0;
    return HSM_OK;
}

/* Takes over key on success. */
static hsm_err signing_of(EVP_PKEY *key, struct signing_key *ret)
{
    struct signing_key s = {.key = key};
    if (EVP_PKEY_is_a(key, "RSA") != 1 || EVP_PKEY_get_bits(key) < SIGNING_BITS)
        return HSM_E_CORRUPT;
    TRY(number_of(key, OSSL_PKEY_PARAM_RSA_N, s.n, sizeof s.n, &s.n_len));
    TRY(number_of(key, OSSL_PKEY_PARAM_RSA_E, s.e, sizeof s.e, &s.e_len));
    TRY(thumbprint(&s));
    *ret = s;
    return HSM_OK;
}

/* A private key is never encrypted here: refuse to ask anybody for a pass phrase. */
static int no_pass_phrase(char *buf, int size, int rwflag, void *user)
{
    (void)buf, (void)size, (void)rwflag, (void)user;
    return -1;
}

static hsm_err load(const char *dir, EVP_PKEY **ret)
{
    DEFER(secret_buf_done) struct secret_buf text = {0};
    TRY(idfile_read(dir, SIGNING_FILE, &text));
    DEFER(bio_done) BIO *b = BIO_new_mem_buf(text.p, (int)text.n);
    if (b == NULL)
        return HSM_E_NOMEM;
    *ret = PEM_read_bio_PrivateKey(b, NULL, no_pass_phrase, NULL);
    return *ret != NULL ? HSM_OK : HSM_E_CORRUPT;
}

static hsm_err create(const char *dir, EVP_PKEY **ret)
{
    DEFER(pkey_done) EVP_PKEY *key = EVP_RSA_gen(SIGNING_BITS);
    DEFER(bio_done) BIO *b = BIO_new(BIO_s_secmem());
    if (key == NULL || b == NULL)
        return HSM_E_NOMEM;
    char *text = NULL;
    if (PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) != 1)
        return HSM_E_INTERNAL;
    long n = BIO_get_mem_data(b, &text);
    if (n <= 0)
        return HSM_E_INTERNAL;
    TRY(idfile_write(dir, SIGNING_FILE, bytes_of(text, (size_t)n), 0600));
    *ret = key;
    key = NULL;
    return HSM_OK;
}

hsm_err signing_load_or_create(const char *dir, struct signing_key *ret)
{
    DEFER(idfile_close) int lock = -1;
    TRY(idfile_lock_dir(dir, &lock));
    DEFER(pkey_done) EVP_PKEY *key = NULL;
    hsm_err e = load(dir, &key);
    if (e == HSM_E_NOT_FOUND)
        e = create(dir, &key);
    TRY(e);
    TRY(signing_of(key, ret));
    key = NULL;
    return HSM_OK;
}

static hsm_err put_b64u(struct wr *out, struct bytes b)
{
    size_t max = b64_encoded_max(b.n);
    if (out->overflow || out->cap - out->n < max)
        return HSM_E_RANGE;
    out->n += b64u_encode((char *)out->p + out->n, b.p, b.n);
    return HSM_OK;
}

hsm_err signing_jwt(const struct signing_key *s, struct bytes claims, struct wr *out)
{
    char head[160];
    struct wr h = wr_of(head, sizeof head);
    struct json_wr j = json_wr_of(&h);
    json_obj_open(&j);
    json_name(&j, "typ");
    json_put_str(&j, "JWT");
    json_name(&j, "alg");
    json_put_str(&j, "RS256");
    json_name(&j, "kid");
    json_put_str(&j, s->kid);
    json_obj_close(&j);
    TRY(wr_ok(&h));

    size_t start = out->n;
    TRY(put_b64u(out, wr_view(&h)));
    wr_str(out, ".");
    TRY(put_b64u(out, claims));
    TRY(wr_ok(out));

    uint8_t signature[512];
    size_t n = sizeof signature;
    DEFER(md_ctx_done) EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (c == NULL)
        return HSM_E_NOMEM;
    if (EVP_DigestSignInit_ex(c, NULL, "SHA256", NULL, NULL, s->key, NULL) != 1 ||
        EVP_DigestSign(c, signature, &n, out->p + start, out->n - start) != 1)
        return HSM_E_INTERNAL;
    wr_str(out, ".");
    TRY(put_b64u(out, bytes_of(signature, n)));
    return wr_ok(out);
}

void signing_put_jwks(const struct signing_key *s, struct json_wr *j)
{
    json_obj_open(j);
    json_name(j, "keys");
    json_arr_open(j);
    json_obj_open(j);
    json_name(j, "kty");
    json_put_str(j, "RSA");
    json_name(j, "use");
    json_put_str(j, "sig");
    json_name(j, "alg");
    json_put_str(j, "RS256");
    json_name(j, "kid");
    json_put_str(j, s->kid);
    json_name(j, "n");
    json_put_b64u(j, bytes_of(s->n, s->n_len));
    json_name(j, "e");
    json_put_b64u(j, bytes_of(s->e, s->e_len));
    json_obj_close(j);
    json_arr_close(j);
    json_obj_close(j);
}
