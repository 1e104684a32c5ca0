#include "fabric/identity/pki.h"

#include <stdio.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include "base/secret.h"
#include "base/uuid.h"
#include "fabric/identity/idfile.h"
#include "fabric/identity/pki_internal.h"

#define RENEW_MARGIN_S (30u * 86400u)

const char *const pki_default_names[] = {
    "localhost",
    "managedhsm.localhost",
    "*.managedhsm.localhost",
    "127.0.0.1",
    "::1",
    "managedhsm.azure.net",
    "*.managedhsm.azure.net",
    "management.azure.com",
    "login.microsoftonline.com",
    "graph.microsoft.com",
};
const size_t pki_default_names_n = sizeof pki_default_names / sizeof *pki_default_names;

static void bio_done(BIO **b)
{
    BIO_free(*b);
}

static int no_pass_phrase(char *buf, int size, int rwflag, void *user)
{
    (void)buf, (void)size, (void)rwflag, (void)user;
    return -1;
}

static hsm_err read_pem(const char *dir, const char *name, struct secret_buf *text, BIO **ret)
{
    TRY(idfile_read(dir, name, text));
    *ret = BIO_new_mem_buf(text->p, (int)text->n);
    return *ret != NULL ? HSM_OK : HSM_E_NOMEM;
}

static hsm_err load_cert(const char *dir, const char *name, X509 **ret)
{
    DEFER(secret_buf_done) struct secret_buf text = {0};
    DEFER(bio_done) BIO *b = NULL;
    TRY(read_pem(dir, name, &text, &b));
    *ret = PEM_read_bio_X509(b, NULL, no_pass_phrase, NULL);
    return *ret != NULL ? HSM_OK : HSM_E_CORRUPT;
}

static hsm_err load_key(const char *dir, const char *name, EVP_PKEY **ret)
{
    DEFER(secret_buf_done) struct secret_buf text = {0};
    DEFER(bio_done) BIO *b = NULL;
    TRY(read_pem(dir, name, &text, &b));
    *ret = PEM_read_bio_PrivateKey(b, NULL, no_pass_phrase, NULL);
    return *ret != NULL ? HSM_OK : HSM_E_CORRUPT;
}

static hsm_err store_bio(const char *dir, const char *name, mode_t mode, BIO *b)
{
    char *text = NULL;
    long n = BIO_get_mem_data(b, &text);
    return n > 0 ? idfile_write(dir, name, bytes_of(text, (size_t)n), mode) : HSM_E_INTERNAL;
}

static hsm_err store_key(const char *dir, const char *name, EVP_PKEY *key)
{
    DEFER(bio_done) BIO *b = BIO_new(BIO_s_secmem());
    if (b == NULL)
        return HSM_E_NOMEM;
    if (PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) != 1)
        return HSM_E_INTERNAL;
    return store_bio(dir, name, 0600, b);
}

/* issuer may be NULL. */
static hsm_err store_certs(const char *dir, const char *name, X509 *cert, X509 *issuer)
{
    DEFER(bio_done) BIO *b = BIO_new(BIO_s_mem());
    if (b == NULL)
        return HSM_E_NOMEM;
    if (PEM_write_bio_X509(b, cert) != 1 || (issuer != NULL && PEM_write_bio_X509(b, issuer) != 1))
        return HSM_E_INTERNAL;
    return store_bio(dir, name, 0644, b);
}

static hsm_err load_pair(const char *dir, const char *cert, const char *key, struct pki_pair *ret)
{
    DEFER(pki_pair_done) struct pki_pair p = {0};
    hsm_err c = load_cert(dir, cert, &p.cert);
    hsm_err k = load_key(dir, key, &p.key);
    ERR_clear_error();
    /* The key is written first, so a key alone is what a crash leaves: start over. */
    if (c == HSM_E_NOT_FOUND && k != HSM_E_IO)
        return HSM_E_NOT_FOUND;
    if (c == HSM_E_IO || k == HSM_E_IO)
        return HSM_E_IO;
    if (c != HSM_OK || k != HSM_OK || X509_check_private_key(p.cert, p.key) != 1) {
        ERR_clear_error();
        return HSM_E_CORRUPT;
    }
    *ret = p;
    p = (struct pki_pair){0};
    return HSM_OK;
}

static hsm_err create_ca(const char *dir, uint64_t now_s, struct pki_pair *ret)
{
    DEFER(pki_pair_done) struct pki_pair ca = {0};
    TRY(pki_make_ca(now_s, &ca));
    TRY(store_key(dir, PKI_CA_KEY, ca.key));
    TRY(store_certs(dir, PKI_CA_CERT, ca.cert, NULL));
    *ret = ca;
    ca = (struct pki_pair){0};
    return HSM_OK;
}

static hsm_err ensure_ca(const char *dir, uint64_t now_s, struct pki_pair *ret, char *why,
                         size_t cap)
{
    DEFER(pki_pair_done) struct pki_pair ca = {0};
    hsm_err e = load_pair(dir, PKI_CA_CERT, PKI_CA_KEY, &ca);
    if (e == HSM_E_NOT_FOUND)
        return create_ca(dir, now_s, ret);
    if (e != HSM_OK) {
        snprintf(why, cap, "%s/%s and %s are damaged or do not belong together", dir, PKI_CA_CERT,
                 PKI_CA_KEY);
        return e;
    }
    if (!pki_is_current(ca.cert, now_s, 0))
        return create_ca(dir, now_s, ret);
    *ret = ca;
    ca = (struct pki_pair){0};
    return HSM_OK;
}

/* Old pair still good? Anything wrong with it only means that a new one is needed. */
static bool leaf_is_good(const char *dir, const char *cert, const char *key, X509 *ca,
                         const char *san, uint64_t now_s)
{
    DEFER(pki_pair_done) struct pki_pair leaf = {0};
    bool good = load_pair(dir, cert, key, &leaf) == HSM_OK &&
                pki_is_current(leaf.cert, now_s, RENEW_MARGIN_S) && pki_leaf_fits(&leaf, ca, san);
    ERR_clear_error();
    return good;
}

static hsm_err ensure_server(const char *dir, const struct pki_pair *ca, const char *san,
                             uint64_t now_s, bool *ret_issued)
{
    DEFER(pki_pair_done) struct pki_pair server = {0};
    *ret_issued = !leaf_is_good(dir, PKI_SERVER_CERT, PKI_SERVER_KEY, ca->cert, san, now_s);
    if (!*ret_issued)
        return HSM_OK;
    TRY(pki_make_server(ca, san, now_s, &server));
    /* Key first: a certificate without its key would look finished after a crash. */
    TRY(store_key(dir, PKI_SERVER_KEY, server.key));
    return store_certs(dir, PKI_SERVER_CERT, server.cert, ca->cert);
}

hsm_err pki_ensure(const char *dir, const char *const *names, size_t n, uint64_t now_ms,
                   bool *ret_issued, char *why, size_t cap)
{
    char san[PKI_SAN_MAX];
    uint64_t now_s = now_ms / 1000;
    snprintf(why, cap, "cannot write the certificates in %s", dir);
    if (n > PKI_NAMES_MAX || pki_san_text(names, n, san) != HSM_OK) {
        snprintf(why, cap, "a name for the server certificate is not valid");
        return HSM_E_BAD_PARAMETER;
    }
    DEFER(idfile_close) int lock = -1;
    TRY(idfile_lock_dir(dir, &lock));
    DEFER(pki_pair_done) struct pki_pair ca = {0};
    bool issued;
    TRY(ensure_ca(dir, now_s, &ca, why, cap));
    TRY(ensure_server(dir, &ca, san, now_s, &issued));
    if (cap > 0)
        why[0] = 0;
    if (ret_issued != NULL)
        *ret_issued = issued;
    return HSM_OK;
}

hsm_err pki_ensure_pool(const char *ca_dir, const char *dir, const char *const *names, size_t n,
                        uint64_t now_ms, char *why, size_t cap)
{
    char san[PKI_SAN_MAX];
    uint64_t now_s = now_ms / 1000;
    bool issued;
    snprintf(why, cap, "cannot write the certificates in %s", dir);
    if (n > PKI_NAMES_MAX || pki_san_text(names, n, san) != HSM_OK) {
        snprintf(why, cap, "a name for the server certificate is not valid");
        return HSM_E_BAD_PARAMETER;
    }
    DEFER(idfile_close) int lock = -1;
    TRY(idfile_lock_dir(dir, &lock));
    DEFER(pki_pair_done) struct pki_pair own = {0};
    DEFER(pki_pair_done) struct pki_pair ca = {0};
    TRY(ensure_ca(dir, now_s, &own, why, cap));
    hsm_err err = load_pair(ca_dir, PKI_CA_CERT, PKI_CA_KEY, &ca);
    if (err != HSM_OK) {
        snprintf(why, cap, "%s has no usable CA", ca_dir);
        return err;
    }
    TRY(ensure_server(dir, &ca, san, now_s, &issued));
    if (cap > 0)
        why[0] = 0;
    return HSM_OK;
}

/* A host of the pool may have the CA's certificate without its key, and a pair made elsewhere. */
static bool peer_is_there(const char *ca_dir, const char *dir, const char *san, uint64_t now_s)
{
    DEFER(pki_pair_done) struct pki_pair ca = {0};
    bool there = load_cert(ca_dir, PKI_CA_CERT, &ca.cert) == HSM_OK &&
                 leaf_is_good(dir, PKI_PEER_CERT, PKI_PEER_KEY, ca.cert, san, now_s);
    ERR_clear_error();
    return there;
}

hsm_err pki_ensure_peer(const char *ca_dir, const char *dir, const char *pool, unsigned partition,
                        uint64_t now_ms, char *why, size_t cap)
{
    char name[32], san[128];
    uint64_t now_s = now_ms / 1000;
    snprintf(name, sizeof name, "partition %u", partition);
    snprintf(san, sizeof san, "URI:keyhold:%s:%u", pool, partition);
    snprintf(why, cap, "cannot write the certificate in %s", dir);
    DEFER(idfile_close) int lock = -1;
    TRY(idfile_lock_dir(dir, &lock));
    if (!peer_is_there(ca_dir, dir, san, now_s)) {
        DEFER(pki_pair_done) struct pki_pair ca = {0};
        DEFER(pki_pair_done) struct pki_pair peer = {0};
        hsm_err err = load_pair(ca_dir, PKI_CA_CERT, PKI_CA_KEY, &ca);
        if (err != HSM_OK) {
            snprintf(why, cap,
                     "%s/%s is missing, damaged or expires, and %s has no CA to make a new one",
                     dir, PKI_PEER_CERT, ca_dir);
            return err;
        }
        TRY(pki_make_peer(&ca, name, san, now_s, &peer));
        TRY(store_key(dir, PKI_PEER_KEY, peer.key));
        TRY(store_certs(dir, PKI_PEER_CERT, peer.cert, ca.cert));
    }
    if (cap > 0)
        why[0] = 0;
    return HSM_OK;
}

static void key_done(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}

static bool is_p256(const EVP_PKEY *key)
{
    char group[32] = "";
    size_t n = 0;
    return key != NULL && EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

hsm_err pki_issue_peer(const char *ca_dir, struct bytes spki, const char *pool, unsigned number,
                       uint64_t now_ms, struct wr *out)
{
    char name[32], san[128], *text = NULL;
    const uint8_t *at = spki.p;
    snprintf(name, sizeof name, "node %u", number);
    snprintf(san, sizeof san, "URI:keyhold:%s:%u", pool, number);
    DEFER(key_done) EVP_PKEY *pub = d2i_PUBKEY(NULL, &at, (long)spki.n);
    ERR_clear_error();
    if (!is_p256(pub) || at != spki.p + spki.n)
        return HSM_E_BAD_PARAMETER;
    DEFER(pki_pair_done) struct pki_pair ca = {0};
    DEFER(pki_pair_done) struct pki_pair peer = {0};
    TRY(load_pair(ca_dir, PKI_CA_CERT, PKI_CA_KEY, &ca));
    TRY(pki_make_peer_of(&ca, pub, name, san, now_ms / 1000, &peer.cert));
    DEFER(bio_done) BIO *b = BIO_new(BIO_s_mem());
    if (b == NULL || PEM_write_bio_X509(b, peer.cert) != 1 || PEM_write_bio_X509(b, ca.cert) != 1)
        return HSM_E_NOMEM;
    long n = BIO_get_mem_data(b, &text);
    wr_bytes(out, text, (size_t)n);
    return wr_ok(out);
}

hsm_err pki_ca_fingerprint(const char *ca_dir, char ret[65])
{
    DEFER(pki_pair_done) struct pki_pair ca = {0};
    uint8_t hash[32];
    unsigned n = 0;
    TRY(load_cert(ca_dir, PKI_CA_CERT, &ca.cert));
    if (X509_digest(ca.cert, EVP_sha256(), hash, &n) != 1 || n != sizeof hash)
        return HSM_E_INTERNAL;
    hex_encode(ret, hash, sizeof hash);
    return HSM_OK;
}
