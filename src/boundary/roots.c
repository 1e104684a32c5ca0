#include "boundary/roots.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include "base/clock.h"

#define BACKUP_LEN   64u
#define CERT_DAYS    9131 /* 25 years */
#define FORMAT       1u
#define KEY_DER_MAX  512u
#define CERT_DER_MAX 4096u
#define MAGIC        "KHRT"

static void pkey_done(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}

static void x509_done(X509 **p)
{
    X509_free(*p);
}

static void bn_done(BIGNUM **p)
{
    BN_free(*p);
}

static void kdf_ctx_done(EVP_KDF_CTX **p)
{
    EVP_KDF_CTX_free(*p);
}

static void kdf_done(EVP_KDF **p)
{
    EVP_KDF_free(*p);
}

static void p8_done(PKCS8_PRIV_KEY_INFO **p)
{
    PKCS8_PRIV_KEY_INFO_free(*p);
}

static hsm_err openssl_failed(void)
{
    ERR_clear_error();
    return HSM_E_INTERNAL;
}

void roots_done(struct roots *r)
{
    secret_buf_done(&r->owner_key);
    secret_buf_done(&r->audit_key);
    secret_buf_done(&r->mem);
    secret_free(r->owner_cert);
    *r = (struct roots){0};
}

static hsm_err roots_alloc(struct roots *r, size_t cert_n)
{
    TRY(secret_buf_new(&r->mem, ROOT_KEY_LEN + BACKUP_LEN));
    r->dek = r->mem.p;
    r->backup = r->mem.p + ROOT_KEY_LEN;
    r->owner_cert = (uint8_t *)secret_alloc(cert_n);
    if (r->owner_cert == NULL)
        return HSM_E_NOMEM;
    r->owner_cert_n = cert_n;
    return HSM_OK;
}

/* ---- generation ------------------------------------------------------------------------------ */
static hsm_err key_to_der(const EVP_PKEY *key, struct secret_buf *ret)
{
    DEFER(p8_done) PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);
    int n = p8 == NULL ? -1 : i2d_PKCS8_PRIV_KEY_INFO(p8, NULL);
    if (n <= 0)
        return openssl_failed();
    struct secret_buf b;
    TRY(secret_buf_new(&b, (size_t)n));
    uint8_t *p = b.p;
    if (i2d_PKCS8_PRIV_KEY_INFO(p8, &p) != n) {
        secret_buf_done(&b);
        return openssl_failed();
    }
    *ret = b;
    return HSM_OK;
}

static bool cert_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

static bool cert_serial(X509 *cert)
{
    DEFER(bn_done) BIGNUM *serial = BN_new();
    return serial != NULL && BN_rand(serial, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
           BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)) != NULL;
}

static bool cert_name(X509 *cert, const char *name)
{
    X509_NAME *n = X509_get_subject_name(cert);
    return X509_NAME_add_entry_by_NID(n, NID_commonName, MBSTRING_UTF8, (const unsigned char *)name,
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, n) == 1;
}

static hsm_err owner_cert(EVP_PKEY *key, const char *name, X509 **ret)
{
    DEFER(x509_done) X509 *cert = X509_new();
    time_t now = (time_t)(clock_now_ms() / 1000);
    bool ok = cert != NULL && X509_set_version(cert, X509_VERSION_3) == 1 && cert_serial(cert) &&
              cert_name(cert, name) &&
              X509_time_adj_ex(X509_getm_notBefore(cert), 0, 0, &now) != NULL &&
              X509_time_adj_ex(X509_getm_notAfter(cert), CERT_DAYS, 0, &now) != NULL &&
              X509_set_pubkey(cert, key) == 1 &&
              cert_extension(cert, NID_basic_constraints, "critical,CA:TRUE") &&
              cert_extension(cert, NID_key_usage, "critical,keyCertSign,digitalSignature") &&
              cert_extension(cert, NID_subject_key_identifier, "hash") &&
              X509_sign(cert, key, EVP_sha384()) > 0;
    if (!ok)
        return openssl_failed();
    *ret = cert;
    cert = NULL;
    return HSM_OK;
}

static hsm_err generate(const char *pool_name, struct roots *r)
{
    DEFER(pkey_done) EVP_PKEY *owner = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp384r1");
    DEFER(pkey_done) EVP_PKEY *audit = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "prime256v1");
    if (owner == NULL || audit == NULL)
        return openssl_failed();
    DEFER(x509_done) X509 *cert = NULL;
    TRY(owner_cert(owner, pool_name, &cert));
    int cert_n = i2d_X509(cert, NULL);
    if (cert_n <= 0 || (size_t)cert_n > CERT_DER_MAX)
        return openssl_failed();
    TRY(roots_alloc(r, (size_t)cert_n));
    uint8_t *p = r->owner_cert;
    if (i2d_X509(cert, &p) != cert_n || RAND_priv_bytes(r->mem.p, (int)r->mem.n) != 1)
        return openssl_failed();
    uuid_new_v4(&r->pool);
    TRY(key_to_der(owner, &r->owner_key));
    return key_to_der(audit, &r->audit_key);
}

hsm_err roots_generate(const char *pool_name, struct roots *ret)
{
    struct roots r = {0};
    hsm_err err = generate(pool_name, &r);
    if (err != HSM_OK) {
        roots_done(&r);
        return err;
    }
    *ret = r;
    return HSM_OK;
}

/* ---- serialisation --------------------------------------------------------------------------- */
hsm_err roots_encode(const struct roots *r, struct secret_buf *ret)
{
    size_t n = 4 + 4 + sizeof r->pool.b + 5 * 4 + ROOT_KEY_LEN + BACKUP_LEN + r->owner_key.n +
               r->audit_key.n + r->owner_cert_n;
    struct secret_buf b;
    TRY(secret_buf_new(&b, n));
    struct wr w = wr_of(b.p, b.n);
    wr_str(&w, MAGIC);
    wr_u32(&w, FORMAT);
    wr_bytes(&w, r->pool.b, sizeof r->pool.b);
    wr_lv(&w, bytes_of(r->dek, ROOT_KEY_LEN));
    wr_lv(&w, bytes_of(r->backup, BACKUP_LEN));
    wr_lv(&w, bytes_of(r->owner_key.p, r->owner_key.n));
    wr_lv(&w, bytes_of(r->audit_key.p, r->audit_key.n));
    wr_lv(&w, bytes_of(r->owner_cert, r->owner_cert_n));
    if (wr_ok(&w) != HSM_OK || w.n != n) {
        secret_buf_done(&b);
        return HSM_E_INTERNAL;
    }
    *ret = b;
    return HSM_OK;
}

struct roots_parts {
    struct uuid pool;
    struct bytes dek, backup, owner_key, audit_key, cert;
};

static hsm_err parse(struct rd in, struct roots_parts *ret)
{
    struct roots_parts p;
    struct bytes magic;
    uint32_t format;
    TRY(rd_bytes(&in, 4, &magic));
    TRY(rd_u32(&in, &format));
    if (!bytes_eq_str(magic, MAGIC) || format != FORMAT)
        return HSM_E_MALFORMED;
    TRY(rd_copy(&in, p.pool.b, sizeof p.pool.b));
    TRY(rd_lv(&in, ROOT_KEY_LEN, &p.dek));
    TRY(rd_lv(&in, BACKUP_LEN, &p.backup));
    TRY(rd_lv(&in, KEY_DER_MAX, &p.owner_key));
    TRY(rd_lv(&in, KEY_DER_MAX, &p.audit_key));
    TRY(rd_lv(&in, CERT_DER_MAX, &p.cert));
    TRY(rd_end(&in));
    if (p.dek.n != ROOT_KEY_LEN || p.backup.n != BACKUP_LEN)
        return HSM_E_MALFORMED;
    *ret = p;
    return HSM_OK;
}

/* The whole of der is the private key of that curve. */
static hsm_err key_from_der(struct bytes der, const char *group, EVP_PKEY **ret)
{
    const uint8_t *p = der.p;
    DEFER(p8_done) PKCS8_PRIV_KEY_INFO *p8 = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)der.n);
    DEFER(pkey_done) EVP_PKEY *key = NULL;
    if (p8 != NULL && p == der.p + der.n)
        key = EVP_PKCS82PKEY(p8);
    char name[32] = "";
    bool ok = key != NULL && EVP_PKEY_get_group_name(key, name, sizeof name, NULL) == 1 &&
              strcmp(name, group) == 0;
    ERR_clear_error();
    if (!ok)
        return HSM_E_CORRUPT;
    *ret = key;
    key = NULL;
    return HSM_OK;
}

static hsm_err parts_check(const struct roots_parts *p)
{
    DEFER(pkey_done) EVP_PKEY *owner = NULL;
    DEFER(pkey_done) EVP_PKEY *audit = NULL;
    TRY(key_from_der(p->owner_key, "secp384r1", &owner));
    TRY(key_from_der(p->audit_key, "prime256v1", &audit));
    const uint8_t *at = p->cert.p;
    DEFER(x509_done) X509 *cert = d2i_X509(NULL, &at, (long)p->cert.n);
    bool ok = cert != NULL && at == p->cert.p + p->cert.n &&
              EVP_PKEY_eq(X509_get0_pubkey(cert), owner) == 1;
    ERR_clear_error();
    return ok ? HSM_OK : HSM_E_CORRUPT;
}

static hsm_err copy_secret(struct bytes b, struct secret_buf *ret)
{
    struct secret_buf s;
    TRY(secret_buf_new(&s, b.n));
    memcpy(s.p, b.p, b.n);
    *ret = s;
    return HSM_OK;
}

static hsm_err fill(const struct roots_parts *p, struct roots *r)
{
    r->pool = p->pool;
    TRY(roots_alloc(r, p->cert.n));
    memcpy(r->dek, p->dek.p, ROOT_KEY_LEN);
    memcpy(r->backup, p->backup.p, BACKUP_LEN);
    memcpy(r->owner_cert, p->cert.p, p->cert.n);
    TRY(copy_secret(p->owner_key, &r->owner_key));
    return copy_secret(p->audit_key, &r->audit_key);
}

hsm_err roots_decode(struct bytes b, struct roots *ret)
{
    struct roots_parts p;
    if (parse(rd_of(b), &p) != HSM_OK)
        return HSM_E_CORRUPT;
    TRY(parts_check(&p));
    struct roots r = {0};
    hsm_err err = fill(&p, &r);
    if (err != HSM_OK) {
        roots_done(&r);
        return err;
    }
    *ret = r;
    return HSM_OK;
}

/* ---- derivation ------------------------------------------------------------------------------ */
#define INFO_MAX 512u

static hsm_err hkdf(struct bytes key, struct bytes salt, const char *label, struct bytes context,
                    uint8_t *out, size_t n)
{
    uint8_t info[INFO_MAX];
    struct wr w = wr_of(info, sizeof info);
    wr_str(&w, label);
    wr_bytes(&w, context.p, context.n);
    TRY(wr_ok(&w));
    char md[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, md, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key.p, key.n),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt.p, salt.n),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, w.n),
        OSSL_PARAM_construct_end(),
    };
    DEFER(kdf_done) EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    DEFER(kdf_ctx_done) EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    if (ctx == NULL || EVP_KDF_derive(ctx, out, n, params) != 1)
        return openssl_failed();
    return HSM_OK;
}

hsm_err roots_derive(const struct roots *r, const char *label, struct bytes context,
                     uint8_t out[32])
{
    return hkdf(bytes_of(r->dek, ROOT_KEY_LEN), bytes_of(r->pool.b, sizeof r->pool.b), label,
                context, out, 32);
}

hsm_err roots_derive_backup(const struct roots *r, const char *label, struct bytes context,
                            uint8_t *out, size_t n)
{
    static const uint8_t none[1];
    return hkdf(bytes_of(r->backup, BACKUP_LEN), bytes_of(none, 0), label, context, out, n);
}
